"""Files of a study that were damaged: noticed or made again, never used as they are."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from diamond.cli.reading.report import write_again
from diamond.engine.files import read_json
from diamond.engine.needed_stages import read_needs, written_needs
from diamond.engine.report_file import write_result
from diamond.engine.sealed_json import DIGEST, is_whole, sealed, unsealed
from diamond.engine.study_history import begin_sweep, check_sweep_folder, read_entries, record_plan
from diamond.errors import ExitCode, StoreError
from diamond.findings.ablation_result import kept_files
from diamond.report.page import write_report
from tests.commands import SMOKE, STUDY, client, copy_home, diamond, smoke_plan, tracked
from tests.result_documents import films_of, result, three_arms


def change(path: Path, before: str, after: str) -> None:
    """Damage a file so that it still reads as JSON."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_a_value_is_whole_until_anything_of_it_changes() -> None:
    value = {"a": (1, 2.5), "b": {"2": None, "10": "x"}}
    written = json.loads(json.dumps(sealed(value)))
    assert is_whole(written)
    assert unsealed(written) == {"a": [1, 2.5], "b": {"2": None, "10": "x"}}
    assert sealed(sealed(value)) == sealed(value)
    assert not is_whole(written | {"a": [1, 2]})
    assert not is_whole(written | {"c": 0})
    assert not is_whole(written | {DIGEST: "0" * 64})
    assert not is_whole([written])
    assert not is_whole({"a": 1})


def test_plans_that_read_well_but_changed_are_refused(tmp_path: Path) -> None:
    record_plan(smoke_plan(num_seeds=3), tmp_path, "diamond ablate")
    (entry,) = read_entries(tmp_path)
    assert entry["num_seeds"] == 3
    assert DIGEST not in entry
    change(tmp_path / "plans.json", '"num_seeds": 3', '"num_seeds": 1')
    with pytest.raises(StoreError, match=r"plans\.json is damaged"):
        read_entries(tmp_path)


def test_needs_that_changed_are_made_again_from_the_plans(tmp_path: Path) -> None:
    plan = smoke_plan()
    record_plan(plan, tmp_path, "diamond ablate")
    whole = written_needs(tmp_path)
    key = plan.stages()[0].key
    change(tmp_path / "stages.json", key, "0" * len(key))
    assert written_needs(tmp_path) is None
    assert read_needs(tmp_path, read_entries(tmp_path)) == whole


def test_the_mark_of_a_sweep_that_changed_is_refused(tmp_path: Path) -> None:
    begin_sweep(tmp_path, Path("sampler.toml"), "f00")
    assert check_sweep_folder(tmp_path) == "f00"
    change(tmp_path / "sweep.json", "f00", "f01")
    with pytest.raises(StoreError, match=r"sweep\.json is damaged"):
        check_sweep_folder(tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_report_is_kept_only_while_all_its_files_are_whole(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    found = result(three_arms())
    films = films_of(three_arms())
    files = dict(write_report(found, [], tmp_path, films).digests)
    write_result(tmp_path / "report.json", found.model_copy(update={"files": files}))
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert on_disk == {*files, "report.json"}
    assert kept_files(tmp_path, found) == files
    assert kept_files(tmp_path, found.model_copy(update={"command": "another"})) == files
    assert kept_files(tmp_path, found.model_copy(update={"summary": "another"})) is None
    for name in ("report.html", "report.md", *sorted(files)[:1], *sorted(files)[-1:]):
        content = (tmp_path / name).read_bytes()
        damage(tmp_path / name)
        assert kept_files(tmp_path, found) is None, name
        (tmp_path / name).write_bytes(content)
    assert kept_files(tmp_path, found) == files
    change(tmp_path / "report.json", '"command": "', '"command": "x')
    assert kept_files(tmp_path, found) is None


@pytest.mark.slow
def test_damaged_files_of_a_report_are_made_again_and_the_good_ones_stay_in_the_store(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    folder = home / "studies" / STUDY

    def contents() -> dict[str, bytes]:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in paths
            if path.suffix in (".html", ".md", ".png", ".svg", ".tex")
            or path.parent.name == "configs"
        }

    assert diamond("ablate", *SMOKE, "--home", str(home)).returncode == ExitCode.DONE
    before = contents()
    for name in before:
        cut(folder / name)
    again = diamond("ablate", *SMOKE, "--home", str(home))
    assert again.returncode == ExitCode.DONE, again.stderr
    assert contents() == before
    (study,) = (run for run in tracked(home) if run.data.tags["diamond.kind"] == "study")
    page = Path(client(home).download_artifacts(study.info.run_id, "report.html", str(tmp_path)))
    assert page.read_bytes() == before["report.html"]

    # A result that changed is told by every command that reads it.
    change(folder / "report.json", '"mean": 0.', '"mean": 1.')
    for command in (("show", STUDY), ("report", STUDY)):
        told = diamond(*command, "--home", str(home))
        assert told.returncode == ExitCode.BAD_REQUEST
        assert "report.json is damaged" in told.stderr
        assert "diamond ablate steps=1,3" in told.stderr
    cut(folder / "report.html")
    assert diamond("ablate", *SMOKE, "--home", str(home)).returncode == ExitCode.DONE
    write_again(home, STUDY, None)
    assert contents() == before
    assert is_whole(read_json(folder / "report.json"))
