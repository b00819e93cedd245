"""What stays of imagined frames, how it goes, and how it comes back."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.config.base import canonical
from diamond.config.presets import make_preset
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ACTIONS_FILE
from diamond.data.frame_files import StoredFrames, stored_episodes, write_stack
from diamond.data.reference_files import Reference, save_references
from diamond.engine.devices import Workers
from diamond.engine.files import in_use, read_json
from diamond.engine.output_names import FILMS_FILE, FRAMES_FILE, SAMPLES_FILE
from diamond.engine.stage_folders import KEPT
from diamond.engine.store import TRASH, Store
from diamond.engine.study_history import RUNNING_NAME, record_plan
from diamond.envs.real_game import EpisodeKey
from diamond.errors import RequestError
from diamond.findings.store_view import SeenStore
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan, Run
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.results.arm_model import Arm as ArmResult
from diamond.results.arm_model import Run as RunResult
from diamond.results.arm_model import Stage as StageResult
from diamond.results.model import Provenance, Result
from diamond.studies import compared_frames as films_module
from diamond.studies.compared_frames import load_films
from diamond.studies.frame_retention import (
    READERS,
    Dropping,
    Keep,
    check_keep,
    dropped_note,
    to_make_again,
    was_dropped,
)
from diamond.studies.garbage import find_garbage, remove_garbage
from diamond.studies.run_study import StudyRun
from diamond.workers.executor import Executor, OnEvent, StageEvent
from tests.commands import SMOKE, ablate, copy_home, digests, finish, smoke_plan

HORIZON = 3
LENGTHS = (1, 3)
"""Valid env steps of the real episode of each start."""


VIEW = make_preset("smoke", "Boxing").view
SIZE = (VIEW.height, VIEW.width, 3)


def references() -> Iterator[Reference]:
    for number, length in enumerate(LENGTHS):
        frames = np.full((CONTEXT_FRAMES + length, *SIZE), number, dtype=np.uint8)
        codes = (0,) * (CONTEXT_FRAMES + length - 1)
        key = EpisodeKey(number, 0)
        yield Reference(key, codes, 0, length, frames, frames[:1], None, frames[:0])


def imagined() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (len(LENGTHS), HORIZON, *SIZE), dtype=np.uint8)


def save_rollouts(folder: Path) -> None:
    write_stack(folder / FRAMES_FILE, imagined())
    write_stack(folder / SAMPLES_FILE, imagined()[:, None])


def save_real(folder: Path) -> None:
    save_references(references(), folder)
    (folder / ACTIONS_FILE).write_text("[0]")


def filler(spec: StageSpec) -> Callable[[Path], object]:
    fillers: dict[str, Callable[[Path], object]] = {
        "rollouts": save_rollouts,
        "references": save_real,
    }
    return fillers.get(spec.stage, lambda folder: (folder / "out").write_text("x"))


def made(home: Path, plan: Plan, *but: str) -> Store:
    """Record a plan and make its stages but those of some names."""
    store = Store(home)
    store.check_writable()
    record_plan(plan, home / "studies" / plan.study, "diamond ablate")
    for spec in plan.stages():
        if spec.stage not in but:
            finish(store, spec, filler(spec), {"seconds": 1.0})
    return store


@pytest.fixture(autouse=True)
def _one_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smoke has as many starts as a report shows: here it shows one less."""
    monkeypatch.setattr(films_module, "MAX_FILMS", 1)


@pytest.fixture
def plan() -> Plan:
    return smoke_plan("steps=1,3")


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> Store:
    return made(tmp_path, plan)


def drop(store: Store, plan: Plan, keep: Keep | None) -> None:
    """What a command does whose stages are all done."""
    specs = plan.stages()
    assert Dropping(store, keep, plan.study).take_on(specs, [spec.key for spec in specs]) == set()


def rollouts_of(plan: Plan) -> list[StageSpec]:
    return [spec for spec in plan.stages() if spec.stage == "rollouts"]


# --- what goes --------------------------------------------------------------------------------


def test_readers_are_the_stages_that_score_frames() -> None:
    assert READERS == ("fidelity", "policy_fidelity")


@pytest.mark.parametrize("keep", ["none", "films"])
def test_what_is_left_is_whole_and_says_what_went(keep: Keep, store: Store, plan: Plan) -> None:
    before = {spec.key: store.manifest("rollouts", spec.key) for spec in rollouts_of(plan)}
    drop(store, plan, keep)
    for spec in plan.stages():
        assert store.status(spec) == SeenStore(store.home).status(spec) == "done"
        assert store.damage(spec) is None
    for spec in rollouts_of(plan):
        assert was_dropped(store, spec)
        manifest = store.manifest("rollouts", spec.key)
        whole = before[spec.key]
        assert manifest is not None and whole is not None
        assert manifest["dropped"] == sorted(whole["outputs"]) == [FRAMES_FILE, SAMPLES_FILE]
        for name in ("outputs", "config", "upstream", "timings", "device", "events"):
            assert manifest[name] == whole[name]
        folder = store.folder("rollouts", spec.key)
        assert (folder / FILMS_FILE).exists() == (keep == "films")
        assert not (folder / FRAMES_FILE).exists() and not (folder / SAMPLES_FILE).exists()
    assert not (store.home / TRASH).exists() or not list((store.home / TRASH).iterdir())
    assert find_garbage(store, ()).items == ()


def test_films_are_the_starts_whose_episode_lasts_longest(store: Store, plan: Plan) -> None:
    drop(store, plan, "films")
    path = store.folder("rollouts", rollouts_of(plan)[0].key) / FILMS_FILE
    assert stored_episodes(path) == [1]
    assert np.array_equal(StoredFrames(path, 1), imagined()[1])


def result_of(plan: Plan) -> Result:
    """As much of a result as films are read from."""
    arms = tuple(
        ArmResult.model_construct(
            name=arm.name,
            kind=arm.kind,
            game=arm.game,
            runs=(RunResult.model_construct(seed=0, stages=stages_of_run(arm.runs[0])),),
        )
        for arm in plan.arms
    )
    configs = {f"{a.name} | {a.game}": canonical(a.runs[0].config) for a in plan.arms}
    provenance = Provenance.model_construct(config=configs)
    return Result.model_construct(games=("Boxing",), arms=arms, provenance=provenance, command="")


def stages_of_run(run: Run) -> dict[str, StageResult]:
    return {spec.stage: StageResult.model_construct(key=spec.key) for spec in run.stages}


def test_films_from_what_is_kept_are_those_from_all_frames(store: Store, plan: Plan) -> None:
    whole = load_films(result_of(plan), store)
    assert [(film.start, film.length) for film in whole] == [(1, 3)]
    assert len(whole[0].rows) == 1 + len(plan.arms)
    assert len(whole[0].actions) == 3
    drop(store, plan, "films")
    for film, other in zip(whole, load_films(result_of(plan), store), strict=True):
        assert (film.start, film.length) == (other.start, other.length)
        assert (film.actions, film.rewards) == (other.actions, other.rewards)
        for (name, frames), (other_name, others) in zip(film.rows, other.rows, strict=True):
            assert name == other_name
            assert np.array_equal(frames, others)
    for spec in rollouts_of(plan):
        finish(store, spec, save_rollouts)
    drop(store, plan, "none")
    assert load_films(result_of(plan), store) == []


def test_all_and_nothing_said_keep_all(store: Store, plan: Plan) -> None:
    drop(store, plan, "all")
    drop(store, plan, None)
    assert not any(was_dropped(store, spec) for spec in rollouts_of(plan))
    assert not list(store.home.glob(f"{KEPT}/*/*"))


def test_frames_go_once_the_last_stage_that_reads_them_is_done(tmp_path: Path, plan: Plan) -> None:
    store = made(tmp_path, plan, "fidelity", "policy_fidelity")
    specs = plan.stages()
    done = {spec.key for spec in specs if store.status(spec) == "done"}
    dropping = Dropping(store, "none", plan.study)
    assert dropping.take_on(specs, done) == set()
    for spec in specs:
        if spec.stage not in READERS:
            continue
        key = spec.upstream["rollouts"]
        (rollouts,) = (one for one in specs if one.key == key)
        assert not was_dropped(store, rollouts)
        finish(store, spec, filler(spec))
        assert dropping.note_done(spec) == []
        readers = [s for s in specs if s.upstream.get("rollouts") == key]
        read = all(store.status(reader) == "done" for reader in readers)
        assert was_dropped(store, rollouts) == read
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))


def test_frames_that_another_study_uses_stay_while_it_runs(store: Store, plan: Plan) -> None:
    """Another study shares the first arm and the baselines."""
    other = make_plan(Request(("steps=1,5",), "smoke", ("Boxing",), 1, None, "other"))
    folder = store.home / "studies" / other.study
    record_plan(other, folder, "diamond ablate")
    used = {spec.key for spec in rollouts_of(plan)} & {spec.key for spec in rollouts_of(other)}
    with in_use(folder / RUNNING_NAME):
        drop(store, plan, "none")
        for spec in rollouts_of(plan):
            assert was_dropped(store, spec) == (spec.key not in used)
    drop(store, plan, "none")
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))


def test_frames_that_a_command_of_the_same_study_has_yet_to_read_stay(
    store: Store, plan: Plan
) -> None:
    """Another command is at work on it, and this one was asked for the second arm alone."""
    first, second = (arm.runs[0].stages for arm in plan.arms[:2])
    shutil.rmtree(store.folder("fidelity", {s.stage: s.key for s in first}["fidelity"]))
    rollouts = [next(s for s in stages if s.stage == "rollouts") for stages in (first, second)]
    with in_use(store.home / "studies" / plan.study / RUNNING_NAME):
        specs = [spec for spec in plan.stages() if store.status(spec) == "done"]
        Dropping(store, "none", plan.study).take_on(specs, [spec.key for spec in specs])
    assert [was_dropped(store, spec) for spec in rollouts] == [False, True]


def test_what_was_kept_is_looked_after_as_any_stage(store: Store, plan: Plan) -> None:
    drop(store, plan, "films")
    spec = rollouts_of(plan)[0]
    path = store.folder("rollouts", spec.key) / FILMS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert store.damage(spec) == f"{FILMS_FILE} differs from its digest"
    store.reset(spec)
    assert store.status(spec) == "todo"


def test_a_study_that_goes_takes_along_what_was_kept(store: Store, plan: Plan) -> None:
    drop(store, plan, "films")
    remove_garbage(store, (plan.study,))
    assert not list(store.home.glob("*/rollouts/*"))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_a_kill_at_any_moment_leaves_one_that_is_whole(
    steps: int, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command dies after so many renames and removals; the next one brings it to its end."""
    spec, left = rollouts_of(plan)[0], [steps]
    rename, remove = Path.rename, shutil.rmtree

    def counted() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    def renaming(path: Path, target: Path) -> Path:
        counted()
        return rename(path, target)

    def removing(path: Path, **options: Any) -> None:
        counted()
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renaming)
        patch.setattr(shutil, "rmtree", removing)
        with contextlib.suppress(KeyboardInterrupt):
            drop(store, plan, "films")
    assert store.status(spec) == "done"
    assert store.damage(spec) is None
    drop(store, plan, "films")
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))


# --- what comes back --------------------------------------------------------------------------


def test_nothing_is_made_again_that_nobody_asks_for(store: Store, plan: Plan) -> None:
    specs, done = plan.stages(), [spec.key for spec in plan.stages()]
    drop(store, plan, "none")
    keys = {spec.key for spec in rollouts_of(plan)}
    wanted: dict[Keep | None, set[str]] = {None: set(), "none": set(), "films": keys, "all": keys}
    for keep, expected in wanted.items():
        assert to_make_again(store, specs, done, keep) == expected


def test_films_are_enough_for_films(store: Store, plan: Plan) -> None:
    specs, done = plan.stages(), [spec.key for spec in plan.stages()]
    drop(store, plan, "films")
    assert to_make_again(store, specs, done, "films") == set()
    assert to_make_again(store, specs, done, "all") == {spec.key for spec in rollouts_of(plan)}


def test_a_score_that_is_missing_brings_its_frames_back(store: Store, plan: Plan) -> None:
    drop(store, plan, "none")
    spec = next(spec for spec in plan.stages() if spec.stage == "fidelity")
    done = [other.key for other in plan.stages() if other.key != spec.key]
    dropping = Dropping(store, "none", plan.study)
    again = dropping.take_on(plan.stages(), done)
    assert again == {spec.upstream["rollouts"]}
    (rollouts,) = (other for other in rollouts_of(plan) if other.key in again)
    before = store.manifest("rollouts", rollouts.key)
    assert store.status(rollouts) == "done"
    finish(store, rollouts, save_rollouts)
    after = store.manifest("rollouts", rollouts.key)
    assert before is not None and after is not None
    assert after["outputs"] == before["outputs"] and after["dropped"] == []
    assert not list(store.home.glob(f"{KEPT}/rollouts/{rollouts.key}"))
    assert dropping.note_done(rollouts) == []
    assert not was_dropped(store, rollouts)
    dropping.note_done(spec)
    assert was_dropped(store, rollouts)


def test_what_is_made_again_brings_back_what_it_reads(store: Store, plan: Plan) -> None:
    """A denoiser and its frames were dropped; imagined frames that are wanted read both."""
    specs = plan.stages()
    first = next(spec for spec in specs if spec.stage == "denoiser")
    gone = [spec for spec in specs if spec.key in (first.key, first.upstream["frames"])]
    for spec in gone:
        store.keep_only(spec.stage, spec.key, ["out"], lambda folder: None)
    drop(store, plan, "none")
    done = [spec.key for spec in specs]
    read = {spec.key for spec in gone}
    assert to_make_again(store, specs, done, None) == set()
    assert to_make_again(store, specs, done, "all") == {s.key for s in rollouts_of(plan)} | read
    frames = first.upstream["frames"]
    assert to_make_again(store, specs, set(done) - {first.key}, None) == {frames}


def test_frames_that_come_back_as_others_are_told(store: Store, plan: Plan) -> None:
    drop(store, plan, "none")
    dropping = Dropping(store, "all", plan.study)
    dropping.take_on(plan.stages(), [spec.key for spec in plan.stages()])
    spec = rollouts_of(plan)[0]
    finish(store, spec, lambda folder: write_stack(folder / FRAMES_FILE, 255 - imagined()))
    (line,) = dropping.note_done(spec)
    assert f"rollouts {spec.key}" in line and "differ from those that were dropped" in line


def test_work_on_frames_that_come_back_is_not_swept_away(store: Store, plan: Plan) -> None:
    drop(store, plan, "none")
    spec = rollouts_of(plan)[0]
    store.prepare(spec, again=True)
    store.prepare(spec)
    assert store.work(spec.stage, spec.key).is_dir()


class Maker(Executor):
    """Makes stages in no time; notes which."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.home, Workers(1))
        self.store = store
        self.made: list[str] = []

    def run(
        self,
        specs: Iterable[StageSpec],
        done: frozenset[str],
        priority: Mapping[str, float],
        on_event: OnEvent,
        on_tick: Callable[[], None] = lambda: None,
        failed: frozenset[str] = frozenset(),
    ) -> None:
        for spec in specs:
            if spec.key in done:
                continue
            for key in spec.upstream.values():
                assert self.store.has_all_files(*folder_of(self.store, key))
            finish(self.store, spec, filler(spec), {"seconds": 1.0})
            self.made.append(f"{spec.stage} {spec.key}")
            on_event(StageEvent("made", spec))


def folder_of(store: Store, key: str) -> tuple[str, str]:
    (place,) = store.home.glob(f"[sk]*/*/{key}")
    return place.parent.name, key


def commanded(store: Store, plan: Plan, keep: Keep | None) -> list[str]:
    """What a command makes."""
    maker = Maker(store)
    run = StudyRun(plan, store, "diamond ablate", keep=keep)
    run.execute(maker, lambda event: None, lambda: None)
    assert not run.errors
    return maker.made


def test_a_command_makes_frames_again_that_a_new_score_reads(store: Store, plan: Plan) -> None:
    assert commanded(store, plan, "none") == []
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))
    assert commanded(store, plan, None) == []
    fidelity = next(spec for spec in plan.stages() if spec.stage == "fidelity")
    shutil.rmtree(store.folder("fidelity", fidelity.key))
    expected = [f"rollouts {fidelity.upstream['rollouts']}", f"fidelity {fidelity.key}"]
    assert commanded(store, plan, "none") == expected
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))


def test_a_command_makes_again_what_it_is_told_to_keep(store: Store, plan: Plan) -> None:
    commanded(store, plan, "none")
    rollouts = [f"rollouts {spec.key}" for spec in rollouts_of(plan)]
    assert commanded(store, plan, "films") == rollouts
    assert all(was_dropped(store, spec) for spec in rollouts_of(plan))
    assert commanded(store, plan, "films") == []
    assert commanded(store, plan, "all") == rollouts
    assert not any(was_dropped(store, spec) for spec in rollouts_of(plan))


# --- what is said -----------------------------------------------------------------------------


def test_the_report_says_which_arms_have_nothing_to_show(store: Store, plan: Plan) -> None:
    assert dropped_note(plan, store) == []
    drop(store, plan, "films")
    assert dropped_note(plan, store) == []
    for spec in rollouts_of(plan):
        finish(store, spec, save_rollouts)
    drop(store, plan, "none")
    (line,) = dropped_note(plan, store)
    for part in ("steps=1 (Boxing)", "steps=3 (Boxing)", "--keep none", "--keep films"):
        assert part in line


def test_another_word_is_refused() -> None:
    assert check_keep(None) is None
    with pytest.raises(RequestError) as caught:
        check_keep("film")
    told = str(caught.value)
    for part in ("unknown --keep 'film'", "Did you mean 'films'?", "allowed: all, films, none"):
        assert part in told


def test_a_study_drops_its_frames_and_makes_the_same_again(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    dropped = ablate(home, *SMOKE, "--keep", "none")
    assert dropped["costs"]["stages_made"] == 0
    assert any("--keep films makes them again" in note for note in dropped["notes"])
    assert not list(home.glob("stages/rollouts/*"))
    names = {path.name for path in home.glob(f"{KEPT}/rollouts/*/*")}
    assert names == {"manifest.json", "events.jsonl"}
    again = ablate(home, *SMOKE, "--keep", "all")
    assert again["costs"]["stages_made"] == len(list(home.glob("stages/rollouts/*"))) > 0
    assert digests(home) == digests(smoke_home)
    assert again["arms"][0]["metrics"] == dropped["arms"][0]["metrics"]
    manifest = read_json(next(home.glob("stages/rollouts/*/manifest.json")))
    assert json.dumps(manifest["dropped"]) == "[]"
