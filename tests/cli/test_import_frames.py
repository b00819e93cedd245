"""`diamond import-frames`: what it says, what it writes, what it refuses."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from diamond.plan.recordings.asked_recordings import read_recording
from diamond.recordings.recording_files import list_recordings, open_recording
from tests.commands import diamond
from tests.recordings.made_sources import Moved, moved


def write(folder: Path, *played: Moved) -> Path:
    folder.mkdir()
    for number, one in enumerate(played):
        rewards = np.zeros(len(one.actions), dtype=np.float32)
        np.savez(folder / f"e{number}.npz", frames=one.frames, actions=one.actions, rewards=rewards)
    return folder


def two(folder: Path) -> Path:
    return write(folder, moved(0, 60), moved(1, 50))


def test_people_are_told_what_was_found_and_what_is_next(tmp_path: Path) -> None:
    files, home = two(tmp_path / "my files"), tmp_path / "home"
    arguments = ("import-frames", str(files), "--name", "mine", "--home", str(home))
    done = diamond(*arguments)
    assert done.returncode == 0, done.stderr
    assert "2, of 50 to 60 frames, median 55" in done.stdout
    assert "110 of 32 x 32 pixels" in done.stdout
    assert "- no ends: there is no reward/end model and no policy" in done.stdout
    *_, kept, following = done.stdout.splitlines()
    assert kept == f"kept in {home / 'recordings' / 'mine'}"
    assert following == f"next: diamond ablate steps=1,3 --frames mine --home {home}"
    assert "writing" in done.stderr and "writing" not in done.stdout
    record = read_recording(home, "mine")
    assert (record.source, record.kind, record.shift) == (str(files), "npz", 0)
    part = open_recording(home, record.digest).parts[1]
    np.testing.assert_array_equal(part.frames(), moved(1, 50).frames)

    again = diamond(*arguments)
    assert again.returncode == 0
    assert f"is there already: {home / 'recordings' / 'mine'}" in again.stdout
    other = diamond(*arguments, "--hold-out", "e0")
    assert other.returncode == 2
    assert "another recording called 'mine'" in other.stderr
    assert read_recording(home, "mine") == record


def test_the_document_is_alone_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    files, home = two(tmp_path / "files"), tmp_path / "home"
    arguments = ("import-frames", str(files), "--name", "mine", "--home", str(home), "--json")
    dry = diamond(*arguments, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    said = json.loads(dry.stdout)
    assert said["folder"] is None and not said["is_new"]
    assert said["check"]["num_frames"] == 110
    assert not home.exists()
    made = json.loads(diamond(*arguments).stdout)
    assert made["folder"] == str(home / "recordings" / "mine") and made["is_new"]
    assert made["recording"] == said["recording"]
    assert made["recording"]["digest"] == read_recording(home, "mine").digest


def test_a_lag_is_warned_of_and_the_option_that_is_named_mends_it(tmp_path: Path) -> None:
    one = moved(0, 1400)
    late = Moved(one.frames[1:], one.actions[:-1])
    files, home = write(tmp_path / "files", late), tmp_path / "home"
    arguments = ("import-frames", str(files), "--name", "mine", "--home", str(home))
    dry = diamond(*arguments, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "Warning: actions seem to stand 1 step too late" in dry.stdout
    assert "--shift 1 mends it" in dry.stdout.replace("\n", " ")
    done = diamond(*arguments, "--shift", "1")
    assert done.returncode == 0 and "Warning" not in done.stdout
    record = read_recording(home, "mine")
    assert record.shift == 1
    first = open_recording(home, record.digest).parts[0]
    np.testing.assert_array_equal(first.frames(), one.frames[1:][: first.num_frames])
    np.testing.assert_array_equal(first.actions, one.actions[1:][: first.num_frames - 1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--name", "my drive"), "--name my-drive"),
        (("--name", "mine", "--hold-out", "2"), "a fraction from 0 to 1"),
        (("--name", "mine", "--shift", "70"), "give a smaller shift"),
        (("--name", "mine", "--hold-out", "e8"), "Did you mean 'e1'?"),
    ],
)
def test_what_cannot_be_is_refused_with_code_2(
    arguments: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    files, home = two(tmp_path / "files"), tmp_path / "home"
    done = diamond("import-frames", str(files), *arguments, "--home", str(home))
    assert done.returncode == 2 and text in done.stderr
    assert not home.exists()


def test_a_recording_of_which_nothing_can_be_learnt_is_shown_and_refused(tmp_path: Path) -> None:
    still = np.ones(59, dtype=np.int64)
    files, home = write(tmp_path / "files", Moved(moved(0, 60).frames, still)), tmp_path / "home"
    arguments = ("import-frames", str(files), "--name", "mine", "--home", str(home))
    done = diamond(*arguments)
    assert done.returncode == 2
    assert "60 of 32 x 32 pixels" in done.stdout
    assert "the action is always the same" in done.stderr
    document = diamond(*arguments, "--json")
    assert document.returncode == 2
    assert json.loads(document.stdout)["check"]["problems"]
    assert list_recordings(home) == ()


STOPPED = """
import sys, time
from diamond.recordings import writing
png = writing._png
def slow(frame):
    print("writes", file=sys.stderr, flush=True)
    time.sleep(0.1)
    return png(frame)
writing._png = slow
from diamond.cli.app import main
main()
"""
"""`diamond` that writes slowly, and says so."""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_an_import_that_is_stopped_leaves_nothing_under_its_name(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    files, home = two(tmp_path / "files"), tmp_path / "home"
    arguments = ("import-frames", str(files), "--name", "mine", "--home", str(home))
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "writes" not in process.stderr.readline():
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    folder = home / "recordings"
    left = sorted(path.name for path in folder.iterdir())
    assert "mine" not in left
    assert (left == [".lock"]) == (number != signal.SIGKILL)
    assert diamond(*arguments).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "mine"]
