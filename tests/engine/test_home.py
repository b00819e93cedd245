"""Homes that are moved and copied: which home a folder is, and what it writes where."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from diamond.cli.checkpoints import import_and_show
from diamond.cli.reading.gc import collect
from diamond.cli.reading.report import write_again
from diamond.cli.study_command import Options
from diamond.cli.sweep import _open
from diamond.cli.widths import console
from diamond.engine import home as home_module
from diamond.engine.devices import Workers
from diamond.engine.home import ANCHOR_NAME, FILE_NAME, FORMAT, Place, open_home, open_tracking
from diamond.engine.store import Store
from diamond.errors import RequestError, StoreError
from diamond.sweep.addresses import default_storage, storage_address
from diamond.tracking.mlflow_open import find_experiment
from diamond.tracking.mlflow_records import TrackedStudy
from diamond.tracking.uris import default_uri
from tests.commands import client, tracked
from tests.sweeps import Bench, text

# MLflow itself calls what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


# --- which home it is -----------------------------------------------------------------------------


def test_a_home_keeps_its_id_where_it_is_and_when_it_is_moved(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    first = open_home(home)
    assert len(first.id) == 32
    assert open_home(home) == first
    (home / ANCHOR_NAME).chmod(0o666)  # as whoever changes owner and rights of all files does
    assert open_home(home) == first
    home.rename(tmp_path / "moved")
    moved = open_home(tmp_path / "moved")
    assert moved == replace(first, folder=tmp_path / "moved")
    (tmp_path / "moved" / ANCHOR_NAME).chmod(0o644)
    assert open_home(tmp_path / "moved") == moved


def test_a_copy_is_a_new_home_from_its_first_command(tmp_path: Path) -> None:
    first = open_home(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = open_home(tmp_path / "b")
    assert copy.id != first.id
    assert copy.former == (first.id,)
    assert open_home(tmp_path / "b") == copy
    assert open_home(tmp_path / "a") == first
    shutil.copytree(tmp_path / "b", tmp_path / "c", copy_function=os.link)
    assert open_home(tmp_path / "c").former == (first.id, copy.id)
    assert open_home(tmp_path / "b") == copy


def test_a_copy_in_the_place_of_the_original_is_a_copy(tmp_path: Path) -> None:
    first = open_home(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "a")
    assert open_home(tmp_path / "a").former == (first.id,)
    assert open_home(tmp_path / "kept").id == first.id


def test_hosts_that_share_a_home_agree_on_it_and_write_its_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They mount it at other paths, under other numbers of the device."""
    home, seen = tmp_path / "home", tmp_path / "elsewhere"
    (tmp_path / "mounts").write_text(f"host:/ {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("diamond.tracking.mounts._MOUNTS", tmp_path / "mounts")
    first = open_home(home)
    before = (home / FILE_NAME).stat()

    def place_there(folder: Path) -> Place:
        found = place(folder)
        return {**found, "folder": str(seen), "device": found["device"] and found["device"] + 1}

    place = home_module._place
    with monkeypatch.context() as patch:
        patch.setattr(home_module, "_place", place_there)
        assert open_home(home).id == first.id
    after = (home / FILE_NAME).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_home_stays_itself_where_a_host_sees_its_times_shifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_home(tmp_path / "home")
    (tmp_path / "home" / ANCHOR_NAME).chmod(0o600)
    (tmp_path / "home").rename(tmp_path / "seen")
    assert open_home(tmp_path / "seen").id == first.id
    shutil.copytree(tmp_path / "seen", tmp_path / "copy")
    assert open_home(tmp_path / "copy").id != first.id


def test_a_home_of_an_earlier_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "mlruns"
    (home / "stages" / "frames" / "0").mkdir(parents=True)
    (home / "studies" / "mine").mkdir(parents=True)
    (home / "studies" / "mine" / "plans.json").write_text("[]")
    for write in (
        Store(home).check_writable,
        lambda: collect(home, (), True, ("gc",)),
        lambda: import_and_show("Boxing.pt", None, None, home),
    ):
        with pytest.raises(StoreError, match="earlier version") as refused:
            write()
        assert f"--home mlruns-{FORMAT}" in str(refused.value)
    assert {path.name for path in home.iterdir()} == {"stages", "studies"}


def test_a_home_of_a_later_version_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    open_home(tmp_path)
    path = tmp_path / FILE_NAME
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | {"format": known["format"] + 1}))
    with pytest.raises(StoreError, match="another version"):
        Store(tmp_path).check_writable()
    path.write_text('{"format": 2, "id"')
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path).check_writable()


def test_a_report_is_not_written_into_a_home_without_its_file_or_of_an_earlier_version(
    smoke_home: Path, tmp_path: Path
) -> None:
    shutil.copytree(smoke_home, tmp_path / "home")
    (study,) = (tmp_path / "home" / "studies").glob("*/report.json")
    (tmp_path / "home" / FILE_NAME).unlink()
    with pytest.raises(StoreError, match=r"home\.json' is missing"):
        write_again(tmp_path / "home", study.parent.name, None)
    (tmp_path / "home" / ANCHOR_NAME).unlink()
    with pytest.raises(StoreError, match="earlier version"):
        write_again(tmp_path / "home", study.parent.name, None)


# --- the tracking store ---------------------------------------------------------------------------


def study_with(report: str, folder: Path) -> TrackedStudy:
    path = folder / "report.md"
    path.write_text(report)
    return TrackedStudy("5", "mine", {}, {}, {}, "text", {"report.md": path}, "FINISHED")


def write(home: Path, study: TrackedStudy, uri: str | None = None) -> str:
    """Write a study as a command does, in a process that knows no other home."""
    _artifact_repos_cache.clear()
    return open_tracking(home, uri).write_study(study)


def reports(home: Path) -> list[str]:
    return [path.read_text() for path in home.glob("artifacts/*/artifacts/report.md")]


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A home with one tracked study, whose report says `one`; its address has an escape."""
    home = tmp_path / "a home"
    write(home, study_with("one", tmp_path))
    return home


def test_a_copy_writes_into_its_own_folder_and_not_into_that_of_the_original(
    original: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "b"
    shutil.copytree(original, copy)
    write(copy, study_with("two", tmp_path))
    write(copy, replace(study_with("three", tmp_path), run_key="6", name="later"))
    assert reports(original) == ["one"]
    assert sorted(reports(copy)) == ["three", "two"]
    assert [run.info.run_name for run in tracked(original)] == ["mine"]
    assert {run.info.run_name for run in tracked(copy)} == {"mine", "later"}
    for run in tracked(copy):
        assert run.info.artifact_uri.startswith((copy / "artifacts").as_uri())
    write(original, study_with("four", tmp_path))
    assert reports(original) == ["four"]


def test_a_moved_home_leaves_its_old_place_alone(original: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    original.rename(moved)
    original.write_text("something else lies there now")
    (before,) = tracked(moved)
    write(moved, study_with("two", tmp_path))
    assert original.read_text() == "something else lies there now"
    assert reports(moved) == ["two"]
    (after,) = tracked(moved)
    assert after.info.run_id == before.info.run_id


def test_the_user_interface_shows_the_files_of_a_copy(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "b")
    assert find_experiment(default_uri(tmp_path / "b"), tmp_path / "b") is not None
    (run,) = tracked(tmp_path / "b")
    assert run.info.artifact_uri.startswith((tmp_path / "b").as_uri())


def test_files_that_the_user_keeps_elsewhere_stay_there(tmp_path: Path) -> None:
    open_home(tmp_path)
    store = client(tmp_path)
    store.create_experiment("diamond", artifact_location="s3://bucket/files")
    open_tracking(tmp_path, None)
    experiment = store.get_experiment_by_name("diamond")
    assert experiment is not None
    assert experiment.artifact_location == "s3://bucket/files"


def test_on_a_shared_server_a_copy_makes_its_own_runs(tmp_path: Path) -> None:
    shared, home, copy = tmp_path / "server", tmp_path / "a", tmp_path / "b"
    uri = default_uri(shared)
    first = write(home, study_with("one", tmp_path), uri)
    shutil.copytree(home, copy)
    second = write(copy, study_with("two", tmp_path), uri)
    assert second != first
    assert write(home, study_with("one", tmp_path), uri) == first
    assert write(copy, study_with("two", tmp_path), uri) == second
    assert sorted(reports(shared)) == ["one", "two"]


# --- the storage of Optuna ------------------------------------------------------------------------


def test_a_copy_does_not_tell_the_trials_of_the_original(tmp_path: Path) -> None:
    home, copy = tmp_path / "a", tmp_path / "b"
    shared = storage_address(str(tmp_path / "all.journal"))

    def use(folder: Path, address: str) -> None:
        Store(folder).check_writable()
        sweep = Bench(tmp_path, text()).sweep
        options = Options(folder, Workers(1), False, False, None, "diamond sweep")
        _open(sweep, options, address, console(stderr=True))

    for address in (shared, default_storage(home)):
        use(home, address)
    shutil.copytree(home, copy)
    use(copy, default_storage(copy))
    for address in (shared, default_storage(home)):
        with pytest.raises(RequestError, match="another home"):
            use(copy, address)
        use(home, address)
    home.rename(tmp_path / "moved")
    use(tmp_path / "moved", shared)
    use(tmp_path / "moved", default_storage(tmp_path / "moved"))
