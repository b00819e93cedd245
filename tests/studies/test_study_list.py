"""`diamond studies`, `show` and `gc`: what a home holds, and what can go."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diamond.cli.reading.studies import show_study, size_text
from diamond.cli.reading.verify import verify_and_show
from diamond.engine import needed_stages as needs_module
from diamond.engine.files import digest, in_use, read_json, write_json
from diamond.engine.needed_stages import REPORT_FILE, needed_stages, read_needs
from diamond.engine.run_identity import aggregate_key, tracked_key
from diamond.engine.stage_claim import Claim
from diamond.engine.store import TRASH, Store
from diamond.engine.study_history import (
    FILE_NAME,
    RUNNING_NAME,
    check_history,
    known_aggregates,
    record_plan,
)
from diamond.errors import RequestError, StoreError
from diamond.findings.reader_notes import study_notes
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.stages import registry as registry_module
from diamond.stages.policy import POLICY
from diamond.stages.registry import OWN
from diamond.studies import garbage as garbage_module
from diamond.studies.garbage import WEIGHTS, find_garbage, remove_garbage
from diamond.studies.run_study import StudyRun
from diamond.studies.study_list import (
    StageStates,
    all_studies,
    disk_sizes,
    find_study,
    folder_bytes,
)
from diamond.weights.checkpoint_folders import adopt_players
from diamond.weights.imported_weights import bringing_weights
from tests.agents import write_agent
from tests.commands import SMOKE, STUDY, ablate, diamond, digests, environment, finish, smoke_plan


def made(home: Path, plan: Plan) -> Store:
    """Record a plan and make its stages, each of them one byte."""
    store = Store(home)
    store.check_writable()
    record_plan(plan, home / "studies" / plan.study, f"diamond ablate --name {plan.study}")
    for spec in plan.stages():
        finish(store, spec, lambda folder: (folder / "out").write_text("x"), {"seconds": 1.0})
    return store


def unmake(store: Store, spec: StageSpec) -> StageSpec:
    """Let a finished stage be one that is to be made."""
    shutil.rmtree(store.folder(spec.stage, spec.key))
    store.prepare(spec)
    return spec


def plan_of(*assignments: str, name: str, seeds: int = 1, until: str | None = None) -> Plan:
    return make_plan(Request(assignments, "smoke", ("Boxing",), seeds, until, name))


def keys(plan: Plan) -> set[str]:
    return {spec.key for spec in plan.stages()}


def on_disk(home: Path) -> set[str]:
    return {path.name for part in ("stages", "work") for path in home.glob(f"{part}/*/*")}


# --- what a study needs -----------------------------------------------------------------------


def test_a_study_needs_the_stages_of_every_plan_that_it_had(tmp_path: Path) -> None:
    plans = [
        plan_of("steps=1,3", name="a", seeds=2),
        plan_of("steps=5", name="a", until="fidelity"),
        plan_of("steps=1", name="a", until="fidelity"),
    ]
    for plan in plans:
        store = made(tmp_path, plan)
    (study,) = all_studies(store)
    found = {key for _, key in needed_stages(study.needs)}
    assert found == set().union(*(keys(plan) for plan in plans)) == on_disk(tmp_path)
    assert find_garbage(store, ()).items == ()
    assert study.arms == ["steps=1", "steps=3", "steps=5"]
    assert (study.axes, study.games, study.presets) == (["steps"], ["Boxing"], ["smoke"])
    assert study.num_seeds == 2
    assert StageStates(store).runs(study) == {"done": 5}


def test_a_home_from_before_needs_were_written_down_keeps_its_stages(tmp_path: Path) -> None:
    store = made(tmp_path, plan_of("steps=1,3", name="a", seeds=2))
    made(tmp_path, plan_of("denoiser.history=2,4", name="b", until="fidelity"))
    for path in tmp_path.glob("studies/*/stages.json"):
        path.unlink()
    assert find_garbage(store, ()).items == ()
    # A command later, what the old plans need is written down with the new.
    plan = plan_of("steps=5", name="a")
    made(tmp_path, plan)
    assert (tmp_path / "studies/a/stages.json").exists()
    assert find_garbage(store, ()).items == ()


def test_the_other_seeds_of_an_aa_arm_are_known_without_the_list_of_stages(tmp_path: Path) -> None:
    request = Request(("steps=1,3",), "smoke", ("Boxing",), 2, None, "a", aa=True)
    store = made(tmp_path, make_plan(request))
    path = tmp_path / "studies" / "a" / needs_module.FILE_NAME
    written = needs_module.written_needs(path.parent)
    path.unlink()
    (study,) = all_studies(store)
    assert study.needs == written
    assert find_garbage(store, ()).items == ()


def test_fresh_seeds_belong_to_the_study_that_they_confirm(tmp_path: Path) -> None:
    """Its needs, also where the list of stages is lost, its aggregates and its document."""
    request = Request(("steps=1,3",), "smoke", ("Boxing",), 2, None, "a", aa=True)
    made(tmp_path, make_plan(request))
    fresh = make_plan(replace(request, first_seed=4))
    store = made(tmp_path, fresh)
    folder = tmp_path / "studies" / "a"
    check_history(fresh, folder)
    path = folder / needs_module.FILE_NAME
    written = needs_module.written_needs(path.parent)
    path.unlink()
    (study,) = all_studies(store)
    assert study.needs == written
    assert find_garbage(store, ()).items == ()
    assert study.num_seeds == 4
    keys = [tracked_key(fresh, run) for run in fresh.arms[0].runs]
    assert aggregate_key(keys) in known_aggregates(fresh, folder)
    result = StudyRun(fresh, Store(tmp_path / "empty"), "diamond").result()
    assert result.seeds == (4, 5)
    assert [run.seed for run in result.arms[0].runs] == [4, 5]


def test_other_starts_are_another_study(tmp_path: Path) -> None:
    request = Request(("steps=1,3",), "smoke", ("Boxing",), 1, None, "a")
    made(tmp_path, make_plan(request))
    moved = make_plan(replace(request, first_start=16))
    with pytest.raises(RequestError, match=r"references\.first_start: was null, now 16"):
        check_history(moved, tmp_path / "studies" / "a")
    assert "(one an episode, from number 16 on)" in study_notes(moved)[0]


def test_stages_of_an_older_code_go_when_the_study_has_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = plan_of("steps=1", name="a")
    store = made(tmp_path, old)
    raised = replace(POLICY, numerics=POLICY.numerics + 1)
    monkeypatch.setattr(registry_module, "OWN", {**OWN, "policy": raised})
    # Until the study has run again its results rest on the old ones.
    assert find_garbage(store, ()).items == ()
    new = plan_of("steps=1", name="a")
    made(tmp_path, new)
    gone = {item.path.name for item in find_garbage(store, ()).items}
    assert gone == keys(old) - keys(new)
    assert {item.what for item in find_garbage(store, ()).items} == {
        "policy",
        "policy_fidelity",
        "returns",
    }


def test_nothing_goes_while_it_is_not_known_what_a_study_needs(tmp_path: Path) -> None:
    store = made(tmp_path, plan_of("steps=1", name="a"))
    folder = tmp_path / "studies" / "a"
    (folder / "stages.json").unlink()
    entries = read_json(folder / FILE_NAME)
    entries[0]["arms"]["steps=1 | Boxing"]["world"]["denoiser"]["gone"] = 1
    write_json(folder / FILE_NAME, entries)
    with pytest.raises(RequestError, match="--forget a"):
        find_garbage(store, ())
    with pytest.raises(RequestError, match="--forget a"):
        remove_garbage(store, ())
    remove_garbage(store, ("a",))
    assert on_disk(tmp_path) == set()


@pytest.mark.parametrize("text", [None, "", '[{"arms": {', "{}", "[]"])
def test_a_study_that_lost_its_plans_keeps_the_stages_that_are_written_down(
    text: str | None, tmp_path: Path
) -> None:
    store = made(tmp_path, plan_of("steps=1", name="a"))
    made(tmp_path, plan_of("steps=3", name="b"))
    folder = tmp_path / "studies" / "a"
    (folder / FILE_NAME).unlink() if text is None else (folder / FILE_NAME).write_text(text)
    assert find_garbage(store, ()).items == ()
    # Without that list, no stage can be told from another one.
    (folder / needs_module.FILE_NAME).write_text("{")
    for look in (find_garbage, remove_garbage):
        with pytest.raises(RequestError, match="--forget a") as caught:
            look(store, ())
        assert str(folder) in str(caught.value)
    remove_garbage(store, ("a",))
    assert on_disk(tmp_path) == keys(plan_of("steps=3", name="b"))


def test_a_history_that_cannot_be_read_is_not_begun_anew(tmp_path: Path) -> None:
    plan = plan_of("steps=1", name="a")
    store = made(tmp_path, plan)
    path = tmp_path / "studies" / "a" / FILE_NAME
    path.write_text(cut := path.read_text()[:100])
    with pytest.raises(StoreError, match="is damaged") as caught:
        check_history(plan, path.parent)
    assert str(path) in str(caught.value)
    with pytest.raises(StoreError, match="is damaged"):
        record_plan(plan, path.parent, "diamond")
    assert path.read_text() == cut
    assert all_studies(store) == []
    listed = diamond("studies", "--home", str(tmp_path))
    assert f"what it was asked is lost, {path.parent}" in listed.stdout


def test_a_study_with_a_report_and_without_its_plans_is_not_asked_anew(tmp_path: Path) -> None:
    plan = plan_of("steps=1", name="a")
    made(tmp_path, plan)
    folder = tmp_path / "studies" / "a"
    (folder / REPORT_FILE).write_text("{}")
    (folder / FILE_NAME).unlink()
    with pytest.raises(StoreError, match=r"plans\.json is missing"):
        check_history(plan, folder)
    with pytest.raises(StoreError, match=r"plans\.json is missing"):
        record_plan(plan, folder, "diamond")
    assert not (folder / FILE_NAME).exists()


def test_the_report_knows_stages_that_the_history_cannot_name(
    smoke_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / STUDY
    shutil.copytree(smoke_home / "studies" / STUDY, folder)
    (folder / needs_module.FILE_NAME).unlink()
    found = {key for _, key in needed_stages(read_needs(folder, ()))}
    players = {one.spec.key for one in smoke_plan().players}
    assert found == keys(smoke_plan()) - players


# --- removal ----------------------------------------------------------------------------------


def test_a_forgotten_study_takes_along_what_only_it_needs(tmp_path: Path) -> None:
    one, two = plan_of("steps=1,3", name="one"), plan_of("steps=3,5", name="two")
    store = made(tmp_path, one)
    made(tmp_path, two)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "stages" / "policy" / "mine").mkdir()
    before, _ = disk_sizes(store, all_studies(store))
    items = find_garbage(store, ("one",)).items
    assert {i.path.name for i in items if i.what != "study"} == keys(one) - keys(two)
    assert sum(item.num_bytes for item in items) == before["one"].own
    assert on_disk(tmp_path) == keys(one) | keys(two) | {"mine"}, "listing removes nothing"

    remove_garbage(store, ("one",))
    assert on_disk(tmp_path) == keys(two) | {"mine"}
    assert [study.name for study in all_studies(store)] == ["two"]
    assert (tmp_path / "checkpoints").is_dir()
    assert not (tmp_path / TRASH).exists()
    assert all(store.status(spec) == "done" for spec in two.stages())


def test_what_studies_share_is_counted_once(tmp_path: Path) -> None:
    one, two = plan_of("steps=1,3", name="one"), plan_of("steps=3,5", name="two")
    store = made(tmp_path, one)
    made(tmp_path, two)
    sizes, shared = disk_sizes(store, all_studies(store))

    def bytes_of(plan: Plan) -> int:
        specs = {(spec.stage, spec.key) for spec in plan.stages()}
        return sum(folder_bytes(store.folder(*spec)) for spec in specs)

    common = keys(one) & keys(two)
    assert shared == sum(
        folder_bytes(store.folder(s.stage, s.key)) for s in one.stages() if s.key in common
    )
    for plan in (one, two):
        size = sizes[plan.study]
        assert size.shared == shared
        folder = folder_bytes(tmp_path / "studies" / plan.study)
        assert size.own + size.shared == bytes_of(plan) + folder
    for command in ("studies", "gc"):
        text = " ".join(diamond(command, "--home", str(tmp_path)).stdout.split())
        assert f"the shared {size_text(shared)} count once" in text
        assert size_text(sizes["one"].own) in text


def test_a_stage_that_is_being_made_stays(tmp_path: Path) -> None:
    one = plan_of("steps=1", name="one")
    store = made(tmp_path, one)
    shutil.rmtree(tmp_path / "studies" / "one")
    spec = unmake(store, one.stages()[0])
    assert Claim(store.work(spec.stage, spec.key)).try_acquire()
    found = find_garbage(store, ())
    assert {item.path.name for item in found.items} == keys(one) - {spec.key}
    assert found.kept == (
        f"references {spec.key}: process {os.getpid()} on {os.uname().nodename} is making it",
    )
    remove_garbage(store, ())
    assert on_disk(tmp_path) == {spec.key}


def test_a_stage_that_is_begun_after_the_listing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plan_of("steps=1", name="one")
    store = made(tmp_path, one)
    shutil.rmtree(tmp_path / "studies" / "one")
    spec = unmake(store, one.stages()[0])
    listed = find_garbage(store, ())
    assert Claim(store.work(spec.stage, spec.key)).try_acquire()
    monkeypatch.setattr(garbage_module, "find_garbage", lambda *_: listed)
    assert len(remove_garbage(store, ())) == len(listed.items) - 1
    assert on_disk(tmp_path) == {spec.key}


def test_a_study_at_work_is_not_forgotten(tmp_path: Path) -> None:
    one = plan_of("steps=1", name="one")
    store = made(tmp_path, one)
    spec = unmake(store, one.stages()[0])
    assert Claim(store.work(spec.stage, spec.key)).try_acquire()
    with pytest.raises(RequestError, match="is making its stage references"):
        remove_garbage(store, ("one",))
    assert on_disk(tmp_path) == keys(one)


def test_a_study_between_two_stages_is_not_forgotten(tmp_path: Path) -> None:
    one = plan_of("steps=1", name="one")
    store = made(tmp_path, one)
    path = tmp_path / "studies" / "one" / RUNNING_NAME
    with in_use(path), in_use(path):
        for look in (find_garbage, remove_garbage):
            with pytest.raises(RequestError, match="a command is running this study"):
                look(store, ("one",))
        assert find_garbage(store, ()).items == ()
    remove_garbage(store, ("one",))
    assert on_disk(tmp_path) == set()


def test_an_interrupted_removal_is_ended_by_the_next(tmp_path: Path) -> None:
    store = made(tmp_path, plan_of("steps=1", name="one"))
    (tmp_path / TRASH / "policy-0123").mkdir(parents=True)
    (tmp_path / TRASH / "policy-0123" / "out").write_text("abc")
    (item,) = find_garbage(store, ()).items
    assert (item.what, item.num_bytes) == ("trash", 3)
    remove_garbage(store, ())
    assert not (tmp_path / TRASH).exists()


def test_a_study_by_its_name(tmp_path: Path) -> None:
    store = made(tmp_path, plan_of("steps=1", name="one"))
    studies = all_studies(store)
    assert find_study(studies, "one").name == "one"
    with pytest.raises(RequestError, match=r"unknown study 'onne'\. Did you mean 'one'\?"):
        find_study(studies, "onne")
    with pytest.raises(RequestError, match="the home has none"):
        find_study([], "one")


# --- imported weights -------------------------------------------------------------------------


def bring(agent: Path, name: str, home: Path) -> Plan:
    """Record a study whose frames are played by an agent, as a command does."""
    request = Request((f"collector={agent}",), "smoke", ("Breakout",), 1, "frames", name)
    plan = make_plan(request)
    adopt_players(plan, home)
    made(home, plan)
    return plan


def stored(home: Path) -> set[str]:
    return {path.name for path in home.glob("weights/*.safetensors")}


def test_weights_go_with_the_last_study_that_names_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = (write_agent(tmp_path / f"a{n}", scale=n / 10) for n in (1, 2))
    bring(first, "one", home)
    both = {f"{digest(agent / 'policy.safetensors')}.safetensors" for agent in (first, second)}
    bring(first, "again", home)
    bring(second, "two", home)
    other = home / "weights" / "mine.safetensors"
    other.write_text("of the user")
    cut = home / "weights" / f".{'0' * 64}.safetensors.17.tmp"
    store = Store(home)
    assert find_garbage(store, ()).items == ()
    assert {item.what for item in find_garbage(store, ("again",)).items} == {"study"}

    cut.write_text("half")
    size = (second / "policy.safetensors").stat().st_size
    items = [item for item in find_garbage(store, ("two",)).items if item.what == WEIGHTS]
    assert [item.num_bytes for item in items] == [size, 4]
    cut.unlink()
    sizes, _ = disk_sizes(store, all_studies(store))
    assert sum(item.num_bytes for item in find_garbage(store, ("two",)).items) == sizes["two"].own
    assert stored(home) == both | {other.name}, "listing removes nothing"
    remove_garbage(store, ("two",))
    assert stored(home) == {f"{digest(first / 'policy.safetensors')}.safetensors", other.name}
    remove_garbage(store, ("one",))
    assert len(stored(home)) == 2
    text = diamond("gc", "--forget", "again", "--yes", "--home", str(home)).stdout
    assert "and 1 file" in text
    assert stored(home) == {other.name}


def test_weights_stay_while_a_stage_that_reads_them_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    plan = bring(write_agent(tmp_path / "agent"), "one", home)
    shutil.rmtree(home / "studies" / "one")
    store = Store(home)
    frames = next(spec for spec in plan.stages() if spec.stage == "frames")
    unmake(store, frames)
    claim = Claim(store.work("frames", frames.key))
    assert claim.try_acquire()
    remove_garbage(store, ())
    assert len(stored(home)) == 1
    store.clear_work("frames", frames.key)
    remove_garbage(store, ())
    assert stored(home) == set()


def test_weights_stay_while_the_plans_of_a_study_are_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    bring(write_agent(tmp_path / "agent"), "one", home)
    (home / "studies" / "one" / FILE_NAME).write_text("[{")
    store = Store(home)
    found = find_garbage(store, ())
    assert found.items == ()
    assert found.kept == ("all weights: the plans of study 'one' are lost, it may need them",)
    remove_garbage(store, ())
    assert len(stored(home)) == 1
    remove_garbage(store, ("one",))
    assert stored(home) == set()


def test_weights_are_not_removed_between_their_coming_and_their_plan(tmp_path: Path) -> None:
    home, agent = tmp_path / "home", write_agent(tmp_path / "agent")
    store = Store(home)
    store.check_writable()
    request = Request((f"collector={agent}",), "smoke", ("Breakout",), 1, "frames", "one")
    plan = make_plan(request)
    remover = threading.Thread(target=remove_garbage, args=(store, ()))
    with bringing_weights(home):
        adopt_players(plan, home)
        remover.start()
        remover.join(0.5)
        assert remover.is_alive(), "it waits for the plan"
        record_plan(plan, home / "studies" / "one", "diamond ablate --name one")
    remover.join(60)
    assert len(stored(home)) == 1


# --- commands ---------------------------------------------------------------------------------


def test_a_home_is_listed_shown_and_cleaned(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    before = digests(home)
    listed = diamond("studies", "--home", str(home))
    assert listed.returncode == 0, listed.stderr
    (row,) = (line for line in listed.stdout.splitlines() if line.startswith(STUDY))
    for part in (" steps ", " smoke ", " Boxing ", " 2 done ", " MB"):
        assert part in row
    assert max(len(line.rstrip()) for line in listed.stdout.splitlines()) <= 100

    shown = diamond("show", STUDY, "--home", str(home)).stdout
    told = (smoke_home.parent / "stdout.txt").read_text()
    assert shown.splitlines()[:10] == told.splitlines()[:10]
    assert f"report:  {home / 'studies' / STUDY / 'report.html'}" in shown
    assert "command: diamond ablate steps=1,3 --preset smoke" in shown

    assert "nothing to free" in diamond("gc", "--home", str(home)).stdout
    forget = ("gc", "--forget", STUDY, "--home", str(home))
    text = diamond(*forget).stdout
    assert "nothing was removed. To free" in text
    assert f"diamond {' '.join(forget)} --yes" in text
    assert digests(home) == before
    assert "freed" in diamond(*forget, "--yes").stdout
    assert digests(home) == {}
    empty = diamond("studies", "--home", str(home))
    assert empty.returncode == 0
    assert "no studies" in empty.stdout


def verify_a(home: Path) -> None:
    verify_and_show("a", None, home, as_json=False)


def show_a(home: Path) -> None:
    show_study(home, "a")


@pytest.mark.parametrize("look", [show_a, verify_a])
@pytest.mark.parametrize(("text", "word"), [("[{", "is damaged"), (None, "is missing")])
def test_a_study_that_lost_its_plans_is_not_said_to_be_unknown(
    look: Callable[[Path], None], text: str | None, word: str, tmp_path: Path
) -> None:
    made(tmp_path, plan_of("steps=1", name="a"))
    made(tmp_path, plan_of("steps=3", name="b"))
    path = tmp_path / "studies" / "a" / FILE_NAME
    path.unlink() if text is None else path.write_text(text)
    (path.parent / "report.md").write_text("# a")
    with pytest.raises(StoreError, match="study 'a' is there, but") as caught:
        look(tmp_path)
    told = str(caught.value)
    for part in (f"{path} {word}", "put a copy", str(path.parent / "report.md"), "--forget a"):
        assert part in told


@pytest.mark.parametrize("command", [("studies",), ("show", STUDY), ("gc",)])
def test_a_home_is_read_without_the_heavy_libraries(
    command: tuple[str, ...], smoke_home: Path
) -> None:
    script = (
        "import sys; sys.argv = ['diamond', *sys.argv[1:]]\n"
        "from diamond.cli.app import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--home", str(smoke_home)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_study_without_a_result_shows_how_far_it_is(tmp_path: Path) -> None:
    plan = plan_of("steps=1,3", name="mine", seeds=2)
    store = made(tmp_path, plan)
    last = plan.arms[1].runs[1].stages[-1]
    shutil.rmtree(store.folder(last.stage, last.key))
    text = diamond("show", "mine", "--home", str(tmp_path)).stdout
    assert "mine: 3 done, 1 begun" in text
    assert "9 of 10 stages done" in text
    assert "command: diamond ablate --name mine" in text


def test_a_stage_whose_manifest_was_changed_is_shown_as_damaged(tmp_path: Path) -> None:
    plan = plan_of("steps=1", name="mine")
    store = made(tmp_path, plan)
    (denoiser,) = (spec for spec in plan.stages() if spec.stage == "denoiser")
    path = store.folder("denoiser", denoiser.key) / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": 2.0'))
    states = StageStates(store)
    state, cause = states.of("denoiser", denoiser.key)
    assert state == "failed" and cause is not None and "is damaged" in cause
    assert states.of("frames", denoiser.upstream["frames"]) == ("done", None)


@pytest.mark.parametrize("command", [("studies",), ("show", "mine"), ("gc",)])
def test_a_home_that_is_not_there_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    done = diamond(*command, "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert f"there is no home '{tmp_path / 'home'}'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_was_freed_is_made_again(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    remove_garbage(Store(home), (STUDY,))
    document = ablate(home, *SMOKE, "--until", "references")
    assert document["costs"]["stages_made"] == 1
    assert digests(home).items() < digests(smoke_home).items()
