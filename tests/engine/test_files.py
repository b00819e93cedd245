"""Files that are whole or absent, and locks."""

import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from diamond.engine.files import beside, create_json, in_use, locked, read_json, write_text
from diamond.engine.store import Store
from diamond.errors import StoreError
from tests.commands import ROOT


def test_a_write_that_fails_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text"
    write_text(path, "old")

    def crash(_: int) -> None:
        raise OSError("disk")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk"):
        write_text(path, "new" * 1000)
    assert path.read_text() == "old"


def test_a_reader_never_sees_half_a_text(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    script = (
        "import sys; from pathlib import Path; from diamond.engine.files import write_json\n"
        "for i in range(100): write_json(Path(sys.argv[1]), [i] * 5000)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as writer:
        seen = set()
        while writer.poll() is None:
            if path.exists():
                numbers = json.loads(path.read_text())
                assert len(numbers) == 5000
                seen.add(numbers[0])
    assert writer.returncode == 0
    assert len(seen) > 1


def test_of_two_that_create_a_file_the_first_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert create_json(path, 1)
    assert not create_json(path, 2)
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_this_call_made_is_its_own_though_the_answer_of_the_server_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    path = tmp_path / "claim-1.json"
    assert create_json(path, 1)
    assert not create_json(path, 2)
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_beside_a_file_says_which_process_of_which_host_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node/7.example")
    name = beside(tmp_path / "plans.json").name
    assert re.fullmatch(rf"\.plans\.json\.node_7\.example-{os.getpid()}-[0-9a-f]{{12}}\.tmp", name)
    assert beside(tmp_path / "plans.json").name != name
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    longest = tmp_path / ("ä" * 127)
    write_text(longest, "text")
    assert longest.read_text() == "text"


def test_a_file_that_another_host_replaced_while_it_was_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home.json"
    write_text(path, "[1]")
    answers = iter([OSError(errno.ESTALE, "Stale file handle")])
    read = Path.read_text

    def read_late(self: Path, encoding: str | None = None) -> str:
        for error in answers:
            raise error
        return read(self, encoding)

    monkeypatch.setattr(Path, "read_text", read_late)
    assert read_json(path) == [1]


@pytest.mark.parametrize(
    ("call", "number", "lacks"),
    [
        ("fcntl.flock", errno.ENOLCK, r"no locks \(flock\)"),
        ("fcntl.flock", errno.ENOSYS, r"no locks \(flock\)"),
        ("os.link", errno.EPERM, "no hard links"),
        ("os.link", errno.EOPNOTSUPP, "no hard links"),
    ],
)
def test_a_home_where_locks_or_links_are_missing_is_refused_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, lacks: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(call, refuse)
    with pytest.raises(StoreError, match=lacks) as refused:
        Store(tmp_path / "a" / "home").check_writable()
    assert "--home" in str(refused.value)
    assert refused.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_locks_are_taken_as_nfs_wants_it(tmp_path: Path) -> None:
    """Its locks are those of fcntl(2): shared ones need a file open for reading."""
    opened = []
    real = fcntl.flock

    def flock(stream: Any, operation: int) -> None:
        opened.append((operation, stream.readable(), stream.writable()))
        real(stream, operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with locked(tmp_path / "lock"), in_use(tmp_path / "used"):
            pass
    assert opened == [(fcntl.LOCK_EX, True, True), (fcntl.LOCK_SH, True, True)]


def test_a_folder_in_the_place_of_a_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        read_json(tmp_path)
    assert read_json(tmp_path / "absent.json") is None


def test_a_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from diamond.engine.files import locked\n"
        "with locked(Path(sys.argv[1])): print('in', flush=True); time.sleep(0.5); print('out')"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        began = time.monotonic()
        with locked(path):
            waited = time.monotonic() - began
        assert other.stdout.readline() == "out\n"
    assert waited > 0.2
