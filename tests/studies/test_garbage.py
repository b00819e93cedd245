"""What `diamond gc` removes, and what stays."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from diamond.cli.reading.studies import size_text
from diamond.engine.files import digest, in_use
from diamond.engine.stage_claim import Claim
from diamond.engine.store import TRASH, Store
from diamond.engine.study_history import (
    FILE_NAME,
    RUNNING_NAME,
    record_plan,
)
from diamond.errors import RequestError
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.studies import garbage as garbage_module
from diamond.studies.garbage import WEIGHTS, find_garbage, remove_garbage
from diamond.studies.study_list import (
    all_studies,
    disk_sizes,
    find_study,
    folder_bytes,
)
from diamond.weights.checkpoint_folders import adopt_players
from diamond.weights.imported_weights import bringing_weights
from tests.agents import write_agent
from tests.commands import diamond
from tests.homes import keys, made, on_disk, plan_of, unmake


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
