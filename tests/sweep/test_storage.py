"""Where Optuna studies are kept: addresses, journals of killed processes, shared homes."""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from diamond.errors import StoreError
from diamond.sweep.addresses import (
    check_shared_home,
    default_storage,
    journal_path,
    storage_address,
)
from diamond.sweep.storage import find_storage, open_storage, storage_errors
from diamond.tracking.mounts import file_system, network_file_system
from diamond.tracking.uris import hide_secrets
from tests.commands import environment

SECRET = "s3cr3t%40word"
PLAIN = "s3cr3t@word"
MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw 0 0
server:/data /data nfs4 rw,relatime 0 0
/dev/vdb /data/scratch xfs rw 0 0
//host/share /mnt/two\040words cifs rw 0 0
systemd-1 /lab autofs rw 0 0
lab:/ /lab nfs rw 0 0
host: /ssh fuse.sshfs rw 0 0
/dev/fuse /local fuse.portal rw 0 0
""".lstrip()

ASK_AND_TELL = """
import sys
import optuna
from diamond.sweep.storage import open_storage

address, name, num_trials = sys.argv[1:]
study = optuna.create_study(
    storage=open_storage(address),
    study_name="shared",
    directions=["minimize", "minimize"],
    load_if_exists=True,
)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(num_trials)):
    trial = study.ask()
    trial.set_user_attr("by", name)
    x = trial.suggest_float("x", 0, 1)
    study.tell(trial, [x, 1 - x])
"""


def ask_and_tell_together(address: str, num_trials: int) -> None:
    """Two processes that open a storage at once and then run trials of one study at once."""
    program = [sys.executable, "-c", ASK_AND_TELL, address]
    workers = [
        subprocess.Popen(
            [*program, name, str(num_trials)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for name in ("one", "two")
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline() != "ready\n":
                pytest.fail(worker.communicate(timeout=60)[1])
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            _, complaints = worker.communicate(timeout=60)
            assert (worker.returncode, complaints) == (0, "")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def check_trials(storage: BaseStorage, num_trials: int) -> None:
    """No trial of two processes is lost, doubled or mixed up with another."""
    study = optuna.load_study(study_name="shared", storage=storage)
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(2 * num_trials))
    for name in ("one", "two"):
        assert sum(trial.user_attrs["by"] == name for trial in trials) == num_trials
    for trial in trials:
        assert trial.values == [trial.params["x"], 1 - trial.params["x"]]


def add_trial(address: str) -> int:
    """Ask and tell once; returns the number of the trial."""
    study = optuna.create_study(
        storage=open_storage(address), study_name="study", load_if_exists=True
    )
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    return trial.number


@pytest.fixture
def address(tmp_path: Path) -> str:
    return default_storage(tmp_path / "home")


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql+psycopg://u:p@h:5432/db"),
        ("postgres://u@h/db", "postgresql+psycopg://u@h/db"),
        ("postgresql+psycopg://h/db?sslmode=require", "postgresql+psycopg://h/db?sslmode=require"),
        ("postgresql:///db?host=/run/socket", "postgresql+psycopg:///db?host=/run/socket"),
        ("mysql://u@h/db", "mysql+pymysql://u@h/db"),
        ("mysql+pymysql://u@h/db", "mysql+pymysql://u@h/db"),
        ("/data/all.journal", "/data/all.journal"),
    ],
)
def test_an_address_names_its_driver(text: str, expected: str) -> None:
    assert storage_address(text) == expected
    assert storage_address(expected) == expected
    assert journal_path(expected) == (Path(text) if text.endswith(".journal") else None)


def test_a_journal_is_found_from_every_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage_address("a.journal") == str(tmp_path / "a.journal")
    assert default_storage(Path("home")) == str(tmp_path / "home" / "studies" / "optuna.journal")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sqlite:///studies.db", "lock one another out"),
        ("sqlite:////abs/x.journal", "lock one another out"),
        ("sqlite+pysqlite:///x.db", "lock one another out"),
        (f"redis://u:{SECRET}@h:1/0", "'redis' is not supported"),
        (f"postgresql+psycopg2://u:{SECRET}@h/db", "'postgresql+psycopg2' is not supported"),
        (f"postgresql://u:{SECRET}@h:port/db", "no address of a database"),
        (f"postgresql://u:{SECRET}@h:5432", "names no database"),
        (f"mysql://u:{SECRET}@h/", "names no database"),
        ("postgresql:db", "not supported"),
        ("studies.db", "no file that ends in .journal"),
        ("", "no file that ends in .journal"),
        (".", "a folder"),
    ],
)
def test_other_addresses_are_refused_with_what_is_allowed(text: str, why: str) -> None:
    with pytest.raises(StoreError) as caught:
        storage_address(text)
    message = str(caught.value)
    assert why in message
    assert "allowed: a file that ends in .journal" in message
    assert "postgresql://..." in message
    assert SECRET not in message


def test_an_address_that_was_copied_without_its_password_is_refused() -> None:
    with pytest.raises(StoreError, match="write the password in its place"):
        storage_address(hide_secrets(f"postgresql://u:{SECRET}@h/db"))


# --- databases that cannot be opened ----------------------------------------------------------


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(StoreError, match=r"cannot open .*refused.*\n.*server runs") as caught:
        open_storage(storage_address(f"postgresql://u:{SECRET}@127.0.0.1:9/db"))
    _check_secret(caught.value)


@pytest.mark.parametrize(
    ("scheme", "module", "command"),
    [
        ("postgresql", "psycopg", 'pip install "diamond-ablations[postgresql]"'),
        ("mysql", "pymysql", "pip install pymysql"),
    ],
)
def test_a_missing_driver_says_what_to_install(
    scheme: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreError) as caught:
        open_storage(storage_address(f"{scheme}://u:{SECRET}@127.0.0.1:9/db"))
    assert command in str(caught.value)
    _check_secret(caught.value)


def _check_secret(error: BaseException) -> None:
    shown: BaseException | None = error
    while shown is not None:  # what a traceback would print
        assert SECRET not in str(shown) and PLAIN not in str(shown)
        shown = shown.__cause__


# --- journals ---------------------------------------------------------------------------------


def test_a_journal_is_made_with_its_folder_and_opened_again(address: str) -> None:
    assert find_storage(address) is None
    assert not Path(address).parent.exists(), "looking makes nothing"
    open_storage(address)
    assert find_storage(address) is None, "a journal without a study"
    assert [add_trial(address) for _ in range(3)] == [0, 1, 2]
    found = find_storage(address)
    assert found is not None
    assert [study.study_name for study in found.get_all_studies()] == ["study"]
    assert os.listdir(Path(address).parent) == ["optuna.journal"]


@pytest.mark.parametrize("half", [b'{"op_code":4,"worker_id":"x', b"{", b'{"op_code":4}'])
def test_half_a_line_of_a_killed_process_is_cut_off_when_a_journal_is_opened(
    address: str, half: bytes
) -> None:
    add_trial(address)
    whole = Path(address).read_bytes()
    Path(address).write_bytes(whole + half)
    open_storage(address)
    assert Path(address).read_bytes() == whole
    assert add_trial(address) == 1
    assert len(open_storage(address).get_all_trials(0)) == 2


def test_half_a_line_longer_than_a_chunk_is_cut_off(address: str) -> None:
    add_trial(address)
    whole = Path(address).read_bytes()
    with Path(address).open("ab") as stream:
        stream.write(b'{"op_code":4,"' + b"x" * (5 << 20))
    open_storage(address)
    assert Path(address).read_bytes() == whole


def test_a_journal_that_is_half_its_first_line_begins_anew(address: str) -> None:
    Path(address).parent.mkdir(parents=True)
    Path(address).write_bytes(b'{"op_c')
    assert add_trial(address) == 0


def test_half_a_line_of_another_process_does_not_spoil_what_an_open_journal_adds(
    address: str,
) -> None:
    study = optuna.create_study(storage=open_storage(address), study_name="study")
    with Path(address).open("ab") as stream:
        stream.write(b'{"op_code":4,"worker_id":"x')
    study.tell(study.ask(), 1.0)
    assert len(open_storage(address).get_all_trials(0)) == 1


def test_without_the_cut_optuna_would_fail_for_ever(address: str) -> None:
    add_trial(address)
    num_lines = Path(address).read_bytes().count(b"\n")
    with Path(address).open("ab") as stream:
        stream.write(b'{"op_code":4,"worker_id":"x')
    plain = optuna.load_study(
        study_name="study", storage=JournalStorage(JournalFileBackend(address))
    )
    plain.set_user_attr("key", "glued to the half line")
    with pytest.raises(StoreError, match=r"damaged.*\n.*remove that line") as caught:
        open_storage(address)
    assert f"line {num_lines + 1} is no JSON" in str(caught.value)
    with pytest.raises(json.JSONDecodeError):
        plain.set_user_attr("key", "value")


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.journal"
    for text in ("Monday\nTuesday", "[1,", '{"a": 1}'):
        path.write_text(text)
        with pytest.raises(StoreError, match="is no journal of Optuna"):
            open_storage(str(path))
        assert path.read_text() == text
    path.write_text('{"op_code":99}\n')
    with pytest.raises(StoreError, match=r"of another version than 5\.\d.*: AssertionError"):
        open_storage(str(path))


def test_a_lock_that_a_killed_process_left_behind_is_taken_away(address: str) -> None:
    study = optuna.create_study(storage=open_storage(address), study_name="study")
    Path(f"{address}.lock").symlink_to(address)
    begin = time.monotonic()
    study.ask()
    # The grace period and the pauses of Optuna between its looks at the lock, each at most 1 s.
    assert 3.0 < time.monotonic() - begin < 10.0
    assert os.listdir(Path(address).parent) == ["optuna.journal"]


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot open .*Not a directory|File exists"):
        open_storage(str(tmp_path / "file" / "a.journal"))
    with (
        pytest.raises(StoreError, match=r"cannot write to .*No space left.*\n.*has room"),
        storage_errors("write to", str(tmp_path / "a.journal")),
    ):
        raise OSError(28, "No space left on device")


def test_two_processes_that_write_to_one_journal_lose_nothing(address: str) -> None:
    ask_and_tell_together(address, 10)
    check_trials(open_storage(address), 10)


def test_optuna_is_silent(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    add_trial(address)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_storage(address)
        warnings.warn("new in Optuna", ExperimentalWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")


def test_commands_and_addresses_load_no_optuna() -> None:
    script = (
        "import sys, diamond.cli.app, diamond.sweep.addresses, diamond.sweep.dashboard_links\n"
        "print({'optuna', 'optuna_dashboard', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert done.stdout == "set()\n"


# --- file systems that several machines share -------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/home", "nfs4"),
        ("/data", "nfs4"),
        ("/data/scratch/home", None),
        ("/database", None),
        ("/mnt/two words/home", "cifs"),
        ("/lab/home", "nfs"),
        ("/ssh/home", "fuse.sshfs"),
        ("/local/home", None),
        ("/", None),
    ],
)
def test_network_file_systems_are_known_by_the_mount_that_holds_a_path(
    path: str, kind: str | None
) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_a_system_without_a_list_of_mounts_has_no_network_file_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("diamond.tracking.mounts._MOUNTS", tmp_path / "absent")
    assert file_system(tmp_path) is None
    assert network_file_system(tmp_path) is None


def test_a_sweep_in_a_shared_home_needs_a_database_for_its_trials() -> None:
    shared = default_storage(Path("/data/home"))
    local = default_storage(Path("/data/scratch/home"))
    server = "postgresql+psycopg://u@host/db"
    for uri in (None, "http://host:5000", "sqlite:////data/scratch/mlflow.db"):
        with pytest.raises(StoreError, match=r"network file system \(nfs4\)") as caught:
            check_shared_home(shared, uri, MOUNTS)
        assert "--storage postgresql://" in str(caught.value)
    for address in (local, server):
        with pytest.raises(StoreError, match=r"network file system \(nfs4\)") as caught:
            check_shared_home(address, "sqlite:////data/mlflow.db", MOUNTS)
        assert "--tracking-uri http://HOST:5000" in str(caught.value)
        for uri in (None, "http://host:5000", "sqlite:////data/scratch/mlflow.db"):
            check_shared_home(address, uri, MOUNTS)
