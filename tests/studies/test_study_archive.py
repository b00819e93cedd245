"""`diamond export-study` and `import-study`: studies of several homes as one."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from diamond.cli.app import app
from diamond.data.reference_files import NATIVE_FILE, STILLS_FILE
from diamond.engine.devices import processor_name
from diamond.engine.files import digest, in_use, write_json
from diamond.engine.output_names import (
    EVENTS_FILE,
    FILMS_FILE,
    FRAMES_FILE,
    MANIFEST_FILE,
    RETURNS_FILE,
    SCORES_FILE,
    WEIGHTS_FILE,
)
from diamond.engine.report_file import read_result
from diamond.engine.sealed_json import sealed
from diamond.engine.stage_manifest import Machine, read_manifest, write_manifest
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME, record_plan
from diamond.errors import DiamondError, RequestError, StoreError
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.results.model import Result
from diamond.studies import import_study as importing
from diamond.studies.compared_frames import load_films
from diamond.studies.export_agents import RunChoice, trained_run
from diamond.studies.export_study import export_study, planned
from diamond.studies.import_study import ARRIVING, Received, import_study
from diamond.studies.run_study import StudyRun
from diamond.studies.study_archive import INDEX
from diamond.studies.study_list import named_study
from diamond.sweep.addresses import default_storage
from diamond.sweep.proposals import open_study
from diamond.sweep.storage import open_storage
from tests.campaign.state import CLAIMS
from tests.commands import (
    STUDY,
    ablate,
    check_tracked,
    copy_home,
    digests,
    environment,
    finish,
    tracked,
)
from tests.sweeps import pretended

MARK = "the mark of a sweep"


def plan_of(*assignments: str, **options: Any) -> Plan:
    return make_plan(
        Request(
            assignments or ("steps=1,3",),
            options.pop("preset", "smoke"),
            options.pop("games", ("Boxing",)),
            options.pop("num_seeds", 1),
            options.pop("until", None),
            options.pop("name", None),
            **options,
        )
    )


def as_if_made(source: Path, home: Path, plan: Plan) -> Store:
    """A home in which a plan of two arms is finished: what a seed makes is that of seed 0, moved.

    Args:
        source: The home of the arms ``steps=1,3`` with seed 0.
        home: The home to make.
        plan: The plan.
    """
    store, twins = Store(copy_home(source, home)), _twins(plan)
    for spec in plan.stages():
        finish(
            store,
            spec,
            _filled(store, spec, twins),
            {"seconds": 1.0, **_timings(store, twins, spec)},
        )
    record_plan(plan, home / "studies" / plan.study, "diamond ablate ... --home elsewhere")
    return store


def _twins(plan: Plan) -> dict[str, StageSpec]:
    """The stage with seed 0, by key of one with another seed."""
    first = {(arm.name, arm.game): arm.runs[0].all_stages for arm in plan_of().arms}
    return {
        spec.key: twin
        for arm in plan.arms
        for run in arm.runs
        for spec, twin in zip(run.all_stages, first[arm.name, arm.game], strict=True)
    }


def _timings(store: Store, twins: Mapping[str, StageSpec], spec: StageSpec) -> dict[str, float]:
    twin = twins.get(spec.key, spec)
    manifest = store.manifest(twin.stage, twin.key)
    assert manifest is not None
    return dict(manifest["timings"])


def _filled(
    store: Store, spec: StageSpec, twins: Mapping[str, StageSpec]
) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        twin = twins[spec.key]
        shutil.copytree(
            store.folder(twin.stage, twin.key),
            folder,
            ignore=shutil.ignore_patterns(MANIFEST_FILE),
            dirs_exist_ok=True,
        )
        if (folder / SCORES_FILE).exists():
            scores = {name: 1.01 * v for name, v in load_file(folder / SCORES_FILE).items()}
            save_file(scores, folder / SCORES_FILE)

    return fill


def sent(store: Store, target: Path, study: str = STUDY) -> Path:
    export_study(store, named_study(store, study), target, None)
    return target


def taken(file: Path, home: Path) -> Received:
    """Import without report and tracking."""
    return import_study(Store(home), file, lambda *_: None)


def diamond(*arguments: object) -> str:
    """Run a command in this process; it must succeed."""
    words = [str(one) for one in arguments]
    found = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    return found.stdout


def everything(home: Path) -> dict[str, str]:
    """Digest of every file of a home but the database of MLflow, locks and what is its own."""
    return {
        path.relative_to(home).as_posix(): digest(path)
        for path in sorted(home.rglob("*"))
        if path.is_file() and not path.name.startswith((".", "mlflow.db"))
    }


@dataclass(frozen=True)
class Homes:
    """Homes of one study with seed 0 and with seed 1, and the files that they wrote."""

    first: Path
    second: Path
    files: tuple[Path, Path]


@pytest.fixture(scope="module")
def homes(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    folder = tmp_path_factory.mktemp("homes")
    second = as_if_made(smoke_home, folder / "second", plan_of(first_seed=1))
    files = (sent(Store(smoke_home), folder / "a.zip"), sent(second, folder / "b.zip"))
    return Homes(smoke_home, second.home, files)


@pytest.fixture(scope="module")
def joined(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that both files were imported into, with the commands."""
    home = tmp_path_factory.mktemp("joined") / "home"
    for file in homes.files:
        diamond("import-study", file, "--home", home)
    return home


def report(home: Path, study: str = STUDY) -> Result:
    result = read_result(home / "studies" / study / "report.json")
    assert result is not None
    return result


# --- joining ----------------------------------------------------------------------------------


def test_seeds_of_two_homes_are_one_study(homes: Homes, joined: Path, tmp_path: Path) -> None:
    result = report(joined)
    assert result.seeds == (0, 1)
    whole = as_if_made(homes.second, tmp_path / "whole", plan_of(num_seeds=2))
    expected = StudyRun(plan_of(num_seeds=2), whole, "diamond").result()
    for arm, made in zip(result.arms, expected.arms, strict=True):
        assert arm.metrics == made.metrics
        assert arm.curves == made.curves
        assert [run.state for run in arm.runs] == ["done"] * len(made.runs)
        assert [run.returns for run in arm.runs] == [run.returns for run in made.runs]
        seen = [run.seen_starts for run in arm.runs]
        assert seen == [run.seen_starts for run in made.runs]
        assert (None in seen) == (arm.kind == "baseline")


def test_what_reads_a_study_reads_the_joined_one(joined: Path, tmp_path: Path) -> None:
    file = tmp_path / "claim.toml"
    file.write_text(CLAIMS)
    assert "4 done" in diamond("studies", "--home", joined)
    assert "steps=3" in diamond("show", STUDY, "--home", joined)
    verdicts = json.loads(
        diamond("verify", STUDY, "--declaration", file, "--json", "--home", joined)
    )
    assert verdicts["claims"][0]["games"][0]["parts"][0]["n"] == 2
    out = tmp_path / "out"
    diamond("report", STUDY, "--out", out, "--home", joined)
    assert "seed" in (out / "report.md").read_text()


def test_the_films_are_those_of_the_home_that_made_them(homes: Homes, joined: Path) -> None:
    here = load_films(report(joined), Store(joined))
    there = load_films(report(homes.first), Store(homes.first))
    assert len(here) == len(there) > 0
    for one, other in zip(here, there, strict=True):
        assert (one.start, one.length) == (other.start, other.length)
        assert [name for name, _ in one.rows] == [name for name, _ in other.rows]
        for (_, frames), (_, expected) in zip(one.rows, other.rows, strict=True):
            np.testing.assert_array_equal(frames, expected)


def test_mlflow_shows_every_run_once_with_its_curves(homes: Homes, joined: Path) -> None:
    check_tracked(joined)
    names = {run.info.run_name for run in tracked(joined)}
    assert {f"steps=3 seed {seed}" for seed in (0, 1)} <= names
    assert "steps=3 mean" in names
    trained = next(r for r in tracked(joined) if r.info.run_name == "steps=1 seed 1")
    assert any(name.startswith("denoiser/") for name in trained.data.metrics)


def test_importing_again_changes_nothing(homes: Homes, joined: Path) -> None:
    before, runs = everything(joined), len(tracked(joined))
    for file in homes.files:
        assert "0 stages are new" in diamond("import-study", file, "--home", joined)
    assert everything(joined) == before
    assert len(tracked(joined)) == runs


def test_the_order_of_the_files_decides_nothing_but_who_is_first(
    homes: Homes, tmp_path: Path
) -> None:
    plans = [taken(file, tmp_path / "home").plan for file in reversed(homes.files)]
    last = plans[-1]
    assert last is not None
    assert last.stages() == plan_of(num_seeds=2, name=STUDY).stages()


def test_an_arm_from_each_home(smoke_home: Path, tmp_path: Path) -> None:
    files = []
    for steps in (1, 3):
        plan = plan_of(f"steps={steps}", name="mine")
        store = as_if_made(smoke_home, tmp_path / f"home-{steps}", plan)
        files.append(sent(store, tmp_path / f"{steps}.zip", "mine"))
    for file in files:
        received = taken(file, tmp_path / "home")
    assert received.plan is not None
    assert received.plan.request.assignments == ("steps=1,3",)
    assert received.plan.baseline("Boxing").name == "steps=1"
    store = Store(tmp_path / "home")
    assert set(store.statuses(received.plan.stages()).values()) == {"done"}
    assert named_study(store, "mine").arms == ["steps=1", "steps=3"]


def test_what_nobody_made_is_pending(smoke_home: Path, homes: Homes, tmp_path: Path) -> None:
    plan = plan_of("steps=1", name=STUDY)
    one = as_if_made(smoke_home, tmp_path / "one", plan)
    for file in (sent(one, tmp_path / "one.zip"), homes.files[1]):
        diamond("import-study", file, "--home", tmp_path / "home")
    arms = report(tmp_path / "home").arms
    states = {arm.name: [run.state for run in arm.runs] for arm in arms}
    assert states["steps=3"] == ["pending", "done"]
    assert states["steps=1"] == ["done", "done"]


def test_the_command_of_a_joined_study_plans_it(joined: Path) -> None:
    command = report(joined).command.split()
    assert command[0] == "diamond"
    shown = diamond(*command[1:], "--dry-run")
    assert "seeds 2" in shown


def test_a_study_that_was_joined_travels_on(joined: Path, tmp_path: Path) -> None:
    file = sent(Store(joined), tmp_path / "both.zip")
    taken(file, tmp_path / "home")
    assert digests(tmp_path / "home") == digests(joined)


@pytest.mark.slow
def test_what_stayed_behind_is_made_again_with_the_same_bits(homes: Homes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken(homes.files[0], home)
    kept = digests(home)
    ablate(home, "steps=1,3", "--preset", "smoke", "--seeds", "2")
    made, there = digests(home), digests(homes.first)
    again = {stage for stage in kept if made[stage] != kept[stage]}
    assert {stage.partition("/")[0] for stage in again} == {
        "references",
        "frames",
        "inverse_dynamics",
    }
    assert {stage: made[stage] for stage in again} == {stage: there[stage] for stage in again}


# --- what travels -----------------------------------------------------------------------------


def test_weights_and_other_frames_stay(homes: Homes, tmp_path: Path) -> None:
    with zipfile.ZipFile(homes.files[0]) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    assert not names & {WEIGHTS_FILE, FRAMES_FILE, NATIVE_FILE, STILLS_FILE}
    assert {SCORES_FILE, RETURNS_FILE, EVENTS_FILE, MANIFEST_FILE, FILMS_FILE} <= names
    taken(homes.files[0], tmp_path / "home")
    store = Store(tmp_path / "home")
    denoiser = next(spec for spec in plan_of().stages() if spec.stage == "denoiser")
    with pytest.raises(StoreError, match=r"weights of the denoiser of study .* not in this home"):
        trained_run(STUDY, RunChoice("steps=1", None, None), store.home)
    manifest = store.manifest(denoiser.stage, denoiser.key)
    whole = Store(homes.first).manifest(denoiser.stage, denoiser.key)
    assert manifest is not None and whole is not None
    assert manifest["outputs"] == whole["outputs"]


def test_equal_studies_give_equal_bytes(homes: Homes, tmp_path: Path) -> None:
    again = sent(Store(homes.first), tmp_path / "again.zip")
    assert again.read_bytes() == homes.files[0].read_bytes()


def test_a_file_that_exists_is_not_overwritten(homes: Homes) -> None:
    before = digest(homes.files[0])
    with pytest.raises(RequestError, match="exists; it is not overwritten"):
        diamond("export-study", STUDY, homes.files[0], "--home", homes.first)
    assert digest(homes.files[0]) == before


def test_a_study_that_is_not_there_is_named(homes: Homes, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"Did you mean '{STUDY}'"):
        diamond("export-study", STUDY[:-1], tmp_path / "a.zip", "--home", homes.first)


def test_a_study_of_which_nothing_is_finished_does_not_travel(tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "home"), plan_of()
    store.check_writable()
    record_plan(plan, store.home / "studies" / plan.study, "diamond ablate steps=1,3")
    with pytest.raises(RequestError, match="nothing of study"):
        sent(store, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_damaged_stage_does_not_travel(homes: Homes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(homes.second, home)
    scores = next(home.glob(f"stages/fidelity/*/{SCORES_FILE}"))
    key = next(s.key for s in plan_of(first_seed=1).stages() if s.stage == "fidelity")
    scores = home / "stages" / "fidelity" / key / SCORES_FILE
    scores.write_bytes(scores.read_bytes()[:-1])
    with pytest.raises(StoreError, match=f"fidelity {key} is damaged"):
        sent(Store(home), tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == [home]


def test_a_study_that_another_version_planned_does_not_travel(homes: Homes) -> None:
    study = named_study(Store(homes.first), STUDY)
    run = next(iter(study.needs))
    needs = study.needs | {run: study.needs[run] | {"fidelity": "0" * 20}}
    with pytest.raises(RequestError, match=f"the fidelity of '{run[:7]}.*another version"):
        planned(STUDY, study.entries[-1], needs)


# --- disagreement -----------------------------------------------------------------------------


def refused(file: Path, home: Path, why: str, kind: type[DiamondError] = RequestError) -> None:
    """Importing is refused, and the home stays as it is."""
    before = everything(home) if home.exists() else {}
    with pytest.raises(kind, match=why):
        taken(file, home)
    after = everything(home) if home.exists() else {}
    after.pop("home.json", None)
    before.pop("home.json", None)
    assert after == before


def test_other_outputs_of_one_stage_are_refused(homes: Homes, tmp_path: Path) -> None:
    home = tmp_path / "other"
    shutil.copytree(homes.second, home)
    key = next(s.key for s in plan_of(first_seed=1).stages() if s.stage == "references")
    folder = home / "stages" / "references" / key
    manifest = read_manifest(folder)
    assert manifest is not None
    (folder / "episodes.json").write_text((folder / "episodes.json").read_text() + "\n")
    outputs = manifest["outputs"] | {"episodes.json": digest(folder / "episodes.json")}
    gpu: Machine = {"name": "a gpu", "instructions": None, "host": "n2"}
    write_manifest(folder, manifest | {"outputs": outputs, "machine": gpu})
    file = sent(Store(home), tmp_path / "other.zip")
    taken(homes.files[0], tmp_path / "home")
    refused(
        file,
        tmp_path / "home",
        f"episodes.json of the stage references {key}, of the run '.*', is not the same: it was "
        f"made on a gpu there and on {re.escape(processor_name())} .* here",
    )


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (plan_of(until="returns", name=STUDY), "--until is not given in one and returns in"),
        (plan_of("steps=3,1", name=STUDY), "baseline arm .* was 'steps=3', now it is 'steps=1'"),
        (plan_of("steps=1,3", name=STUDY, settings=("offset_noise=0.1",)), "--set is nothing"),
        (plan_of("churn=0,1", name=STUDY), "what varies is steps in one and churn in the other"),
    ],
    ids=["until", "baseline", "settings", "axes"],
)
def test_another_plan_of_one_name_is_refused(
    homes: Homes, tmp_path: Path, plan: Plan, why: str
) -> None:
    store = Store(tmp_path / "other")
    store.check_writable()
    for spec in plan.stages()[:1]:
        finish(store, spec, lambda folder: (folder / "out.json").write_text("[]"))
    record_plan(plan, store.home / "studies" / plan.study, "diamond ablate")
    file = tmp_path / "other.zip"
    sent(store, file)
    taken(homes.files[0], tmp_path / "home")
    refused(file, tmp_path / "home", why)


def test_a_study_that_a_command_runs_is_left_to_it(homes: Homes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken(homes.files[0], home)
    with in_use(home / "studies" / STUDY / RUNNING_NAME):
        refused(homes.files[1], home, "a command is running the study")


def test_a_damaged_home_is_told(homes: Homes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    taken(homes.files[0], home)
    scores = next(home.glob(f"stages/fidelity/*/{SCORES_FILE}"))
    scores.write_bytes(b"")
    refused(homes.files[0], home, "is damaged: scores.safetensors", StoreError)


# --- damage -----------------------------------------------------------------------------------


def test_a_file_that_is_cut_is_refused(homes: Homes, tmp_path: Path) -> None:
    data, file = homes.files[0].read_bytes(), tmp_path / "cut.zip"
    for end in (0, 1, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:end])
        refused(file, tmp_path / "home", "is cut, damaged, or not a file", StoreError)


def test_a_file_with_one_other_byte_is_refused_or_means_the_same(
    homes: Homes, tmp_path: Path
) -> None:
    data, file = homes.files[0].read_bytes(), tmp_path / "flipped.zip"
    for place in np.random.default_rng(0).integers(0, len(data), 25).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        home = tmp_path / f"home-{place}"
        try:
            taken(file, home)
        except StoreError:
            assert not digests(home) and not list(home.glob("studies/*/*"))
        else:  # A date, or what only other readers of archives look at.
            taken(homes.files[0], tmp_path / "whole")
            assert digests(home) == digests(tmp_path / "whole")


def rewritten(
    source: Path, target: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> Path:
    """An archive with other members; its index is sealed again."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in change(members).items():
            archive.writestr(name, data)
    return target


def with_index(members: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    index = json.loads(members[INDEX]) | changes
    return members | {INDEX: json.dumps(sealed(index)).encode()}


def with_member(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    known = json.loads(members[INDEX])["digests"]
    return with_index(members | {name: b""}, digests=known | {name: sha256().hexdigest()})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: with_index(m, home_format=1), "for homes of format 1; this one"),
        (lambda m: with_index(m, format=9), "was written by diamond"),
        (lambda m: with_index(m, kind="a song"), "is not as it was written"),
        (lambda m: with_index(m, study="../mine"), "cannot be the name of a study"),
        (lambda m: with_member(m, "../escaped"), "not the place of a file"),
        (lambda m: with_member(m, "/escaped"), "not the place of a file"),
        (lambda m: with_member(m, "stages/frames/../../../../escaped"), "not the place of a file"),
        (lambda m: m | {"more": b""}, "not those that its index names"),
        (lambda m: {name: data for name, data in m.items() if name != INDEX}, f"it has no {INDEX}"),
        (lambda m: with_member(m, "stages/frames/0/manifest.json"), "no run of it needs its stage"),
    ],
)
def test_a_file_that_says_what_it_may_not_is_refused(
    homes: Homes, tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], why: str
) -> None:
    file = rewritten(homes.files[0], tmp_path / "changed.zip", change)
    refused(file, tmp_path / "home", why, StoreError)
    assert not list(tmp_path.rglob("escaped"))


def test_a_link_in_a_file_is_refused(homes: Homes, tmp_path: Path) -> None:
    file = tmp_path / "link.zip"
    shutil.copyfile(homes.files[0], file)
    entry = zipfile.ZipInfo("stages/link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, "/etc")
    refused(file, tmp_path / "home", "not the place of a file", StoreError)


def test_a_stage_with_other_bytes_than_its_manifest_says_is_refused(
    homes: Homes, tmp_path: Path
) -> None:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        name = next(name for name in members if name.endswith(SCORES_FILE))
        (tmp_path / "scores").write_bytes(members[name] + b"x")
        known = json.loads(members[INDEX])["digests"] | {name: digest(tmp_path / "scores")}
        return with_index(members | {name: members[name] + b"x"}, digests=known)

    file = rewritten(homes.files[0], tmp_path / "changed.zip", change)
    refused(file, tmp_path / "home", "scores.safetensors differs from its digest", StoreError)


def test_no_such_file_and_no_such_home_format(homes: Homes, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"Did you mean '.*a\.zip'"):
        taken(homes.files[0].with_name("a.zi"), tmp_path / "home")
    assert not (tmp_path / "home").exists()
    old = tmp_path / "old"
    old.mkdir()
    write_json(old / "home.json", {"format": 1})
    refused(homes.files[0], old, "another version of diamond", StoreError)


# --- cut short --------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from diamond.studies import import_study as importing
from diamond.engine.store import Store
place, left = sys.argv[3], [int(sys.argv[4])]
owner = Store if place == "take_in" else importing
old = getattr(owner, place)
def killed(*arguments):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return old(*arguments)
setattr(owner, place, killed)
importing.import_study(Store(Path(sys.argv[1])), Path(sys.argv[2]), lambda *_: None)
"""


@pytest.mark.parametrize(("place", "calls"), [("damage_of", 3), ("take_in", 0), ("take_in", 4)])
def test_an_import_that_is_killed_leaves_no_study_and_can_be_done_again(
    homes: Homes, tmp_path: Path, place: str, calls: int
) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-c", KILLED, str(home), str(homes.files[0]), place, str(calls)]
    done = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not list(home.glob("studies/*/*"))
    assert len(digests(home)) == (calls if place == "take_in" else 0)
    taken(homes.files[0], home)
    taken(homes.files[0], tmp_path / "other")
    assert digests(home) == digests(tmp_path / "other")
    assert not (home / ARRIVING).exists()


def test_an_import_that_is_stopped_leaves_nothing(
    homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "_take_ablation", stopped)
    with pytest.raises(KeyboardInterrupt):
        taken(homes.files[0], tmp_path / "home")
    assert set(everything(tmp_path / "home")) == {"home.json"}
    assert not (tmp_path / "home" / ARRIVING).exists()


# --- sweeps -----------------------------------------------------------------------------------


def swept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a finished sweep of four trials, in its own journal."""
    bench = pretended(folder, monkeypatch)
    bench.storage = open_storage(default_storage(folder))
    monkeypatch.setattr(
        type(bench), "study", property(lambda b: open_study(b.sweep, b.storage, "m"))
    )
    bench.run()
    write_json(
        folder / "studies" / "mine" / "sweep.json", sealed({"file": "mine.toml", "mark": "m"})
    )
    return folder


def test_a_sweep_travels_with_its_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, file = swept(tmp_path / "a", monkeypatch), tmp_path / "sweep.zip"
    diamond("export-study", "mine", file, "--home", home)
    assert "its trials are in" in diamond("import-study", file, "--home", tmp_path / "b")
    here, there = (_trials(one) for one in (home, tmp_path / "b"))
    assert here == there and len(here) == 4
    before = everything(tmp_path / "b")
    diamond("import-study", file, "--home", tmp_path / "b")
    assert everything(tmp_path / "b") == before


def test_trials_of_two_searches_are_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = swept(tmp_path / "a", monkeypatch), tmp_path / "sweep.zip"
    diamond("export-study", "mine", file, "--home", home)
    other = swept(tmp_path / "b", monkeypatch)
    write_json(other / "studies" / "mine" / "sweep.json", sealed({"file": "x", "mark": "n"}))
    refused(file, other, "trials of two searches are not joined")


def test_trials_in_another_storage_do_not_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = pretended(tmp_path / "a", monkeypatch)
    bench.run()
    write_json(bench.home / "studies" / "mine" / "sweep.json", sealed({"file": "x", "mark": ""}))
    with pytest.raises(RequestError, match="are not in the journal of this home"):
        diamond("export-study", "mine", tmp_path / "sweep.zip", "--home", bench.home)
    assert not (tmp_path / "sweep.zip").exists()


def _trials(home: Path) -> list[tuple[object, ...]]:
    storage = open_storage(default_storage(home))
    (study,) = storage.get_all_studies()
    return [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.datetime_complete)
        for t in storage.get_all_trials(study._study_id)
    ]
