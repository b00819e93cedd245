"""Files that are whole or absent, and locks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diamond.engine.files import create_json, locked, read_json, write_text
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
