"""Which stages a study needs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from diamond.engine import needed_stages as needs_module
from diamond.engine.files import read_json, write_json
from diamond.engine.needed_stages import REPORT_FILE, needed_stages, read_needs
from diamond.engine.run_identity import aggregate_key, tracked_key
from diamond.engine.store import Store
from diamond.engine.study_history import (
    FILE_NAME,
    check_history,
    known_aggregates,
    record_plan,
)
from diamond.errors import RequestError, StoreError
from diamond.findings.reader_notes import study_notes
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.stages import registry as registry_module
from diamond.stages.policy import POLICY
from diamond.stages.registry import OWN
from diamond.studies.garbage import find_garbage, remove_garbage
from diamond.studies.run_study import StudyRun
from diamond.studies.study_list import (
    StageStates,
    all_studies,
)
from tests.commands import STUDY, diamond, smoke_plan
from tests.homes import keys, made, on_disk, plan_of


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
