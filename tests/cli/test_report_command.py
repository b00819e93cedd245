"""`diamond report`: the report once more, and what it refuses."""

import re
from pathlib import Path

import pytest

from diamond.cli.reading.report import write_again
from diamond.engine.report_file import write_result
from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.errors import RequestError, StoreError
from tests.commands import STUDY, diamond, smoke_plan
from tests.result_documents import document, result


def planned(home: Path) -> Path:
    """A home with a study that was planned and never run; the folder of the study."""
    Store(home).check_writable()
    plan = smoke_plan()
    folder = home / "studies" / plan.study
    record_plan(plan, folder, "diamond ablate steps=1,3 --preset smoke")
    return folder


def test_an_unknown_study_names_the_nearest_one(tmp_path: Path) -> None:
    name = planned(tmp_path).name
    with pytest.raises(RequestError, match=f"unknown study {name + 's'!r}.*{name}"):
        write_again(tmp_path, f"{name}s", None)
    with pytest.raises(StoreError, match="there is no home"):
        write_again(tmp_path / "nowhere", name, None)


def test_a_study_without_scores_says_how_to_go_on(tmp_path: Path) -> None:
    folder = planned(tmp_path)
    command = "diamond ablate steps=1,3 --preset smoke"
    with pytest.raises(RequestError, match=rf"report\.json is missing\n.*{command}"):
        write_again(tmp_path, folder.name, None)
    expected = rf"nothing of study .* is scored yet.*\n.*{command}"
    unscored = result(document({"steps=1": 0.5}, []))
    arms = tuple(arm.model_copy(update={"metrics": {}}) for arm in unscored.arms)
    write_result(folder / "report.json", unscored.model_copy(update={"arms": arms}))
    with pytest.raises(RequestError, match=expected):
        write_again(tmp_path, folder.name, None)


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "x"}'])
def test_a_damaged_result_is_named_with_the_command_that_makes_it(
    tmp_path: Path, text: str
) -> None:
    folder = planned(tmp_path)
    (folder / "report.json").write_text(text)
    with pytest.raises(StoreError, match=r"report\.json is damaged\n.*diamond ablate steps=1,3"):
        write_again(tmp_path, folder.name, None)
    # Even where what the study was asked is lost too, it is known by its name.
    (folder / "plans.json").write_text("{")
    with pytest.raises(StoreError, match=r"report\.json is damaged"):
        write_again(tmp_path, folder.name, None)


def test_the_report_is_the_one_that_ablate_wrote(smoke_home: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "report"
    done = diamond("report", STUDY, "--home", str(smoke_home), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert f"page: {out / 'report.html'}" in done.stdout
    made = smoke_home / "studies" / STUDY
    for path in sorted(out.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (made / path.relative_to(out)).read_bytes(), path.name
    page = (out / "report.html").read_text()
    assert 'class="player"' in page
    assert re.search(r"diamond report \S+ --home", page)
    assert list((out / "tables").glob("*.tex"))


def test_a_place_that_cannot_be_written_is_refused(smoke_home: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    for out in (taken, taken / "below"):
        with pytest.raises(RequestError, match="--out"):
            write_again(smoke_home, STUDY, out)


def test_a_store_without_frames_still_gives_a_report(
    smoke_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its figures are those of the report with frames, which take seconds to draw.
    blank = b'<svg width="1pt" xmlns="http://www.w3.org/2000/svg"></svg>'
    monkeypatch.setattr("diamond.report.figures.pictures.figure_bytes", lambda *_: blank)
    home, study = tmp_path / "home", tmp_path / "home" / "studies" / STUDY
    Store(home).check_writable()
    study.mkdir(parents=True)
    for name in ("report.json", "plans.json", "stages.json"):
        (study / name).write_bytes((smoke_home / "studies" / STUDY / name).read_bytes())
    write_again(home, STUDY, None)
    page = (study / "report.html").read_text()
    assert "No film strips: the rollouts are no longer in the stage store." in page
    assert 'class="player"' not in page
