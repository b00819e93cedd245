"""What the system refuses: a sentence and an exit code, and nothing that was made is lost."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diamond.engine.failure import trace_of
from diamond.errors import DiamondError, ExitCode, StageFailedError, refusal
from tests.commands import SMOKE, STUDY, environment

FULL = Path("/dev/full")


def shell(words: str, cwd: Path, **more: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a line of bash in which `diamond` is the command of this checkout."""
    script = f'diamond() {{ "{sys.executable}" -m diamond "$@"; }}; set -o pipefail; {words}'
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        check=False,
        cwd=cwd,
        env=environment() | more,
        timeout=120,
    )


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", ["axes", "--help", "--version", "ablate steps=1,3 --dry-run"])
def test_results_that_cannot_be_written_are_missed(words: str, tmp_path: Path) -> None:
    done = shell(f"diamond {words} > /dev/full", tmp_path)
    assert done.returncode == ExitCode.RUN_FAILED
    assert b"cannot write standard output: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_nothing_is_lost_to_a_full_standard_error(smoke_home: Path, tmp_path: Path) -> None:
    done = shell(f"diamond ablate {' '.join(SMOKE)} --home {smoke_home} 2> /dev/full", tmp_path)
    assert done.returncode == ExitCode.DONE
    assert b"report:" in done.stdout


@pytest.mark.parametrize("closing", ["| head -n 1", "| head -c 0", ">&-", "2>&-", ">&- 2>&-"])
def test_a_reader_who_goes_away_fails_nothing(closing: str, tmp_path: Path) -> None:
    done = shell(f"diamond axes --fields {closing}", tmp_path)
    assert (done.returncode, done.stderr) == (ExitCode.DONE, b"")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_output_of_any_encoding_shows_a_result(
    encoding: str, smoke_home: Path, tmp_path: Path
) -> None:
    done = shell(f"diamond show {STUDY} --home {smoke_home}", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "Noise floor" in done.stdout.decode(encoding)
    assert ("\u2013" in done.stdout.decode(encoding)) == (encoding == "utf-8")


def test_a_current_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    for words in ("studies", "ablate steps=1,3 --dry-run", "scores a.json --latex a.tex"):
        done = shell(f"mkdir gone && cd gone && rmdir ../gone && diamond {words}", tmp_path)
        assert done.returncode == ExitCode.BAD_REQUEST
        assert b"the current folder was removed" in done.stderr
        assert b"Traceback" not in done.stderr


def test_names_that_are_no_text_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    inside = shell("cd caf* && diamond ablate steps=1,3 --preset smoke", tmp_path)
    outside = shell("diamond ablate steps=1,3 --preset smoke --home caf*", tmp_path)
    for done, what in ((inside, "the home"), (outside, "the argument")):
        assert done.returncode == ExitCode.BAD_REQUEST
        assert f"diamond: {what} '".encode() in done.stderr
        assert rb"caf\udce9" in done.stderr
        assert b"is not text in UTF-8" in done.stderr
        assert b"Traceback" not in done.stderr
    assert os.listdir(folder) == []


def test_a_file_that_grows_beyond_the_limit_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"Boxing": [1.0, 2.0], "Pong": [3, 4]}))
    # 1 kB: a page of LaTeX has more.
    done = shell("ulimit -f 1; diamond scores scores.json --latex out.tex", tmp_path)
    assert done.returncode != ExitCode.DONE
    assert b"File too large" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "out.tex").exists()


@pytest.mark.parametrize(
    ("number", "code", "advice"),
    [
        (errno.ENOSPC, ExitCode.RUN_FAILED, "diamond gc"),
        (errno.EDQUOT, ExitCode.RUN_FAILED, "diamond gc"),
        (errno.EFBIG, ExitCode.RUN_FAILED, "ulimit -f"),
        (errno.EMFILE, ExitCode.RUN_FAILED, "ulimit -n"),
        (errno.EIO, ExitCode.RUN_FAILED, "disk"),
        (errno.EROFS, ExitCode.BAD_REQUEST, "--home"),
        (errno.EACCES, ExitCode.BAD_REQUEST, "--home"),
        (errno.ENAMETOOLONG, ExitCode.BAD_REQUEST, "shorter"),
    ],
)
def test_each_refusal_says_what_to_do(number: int, code: ExitCode, advice: str) -> None:
    found = refusal(OSError(number, os.strerror(number), "/a/file"))
    assert isinstance(found, DiamondError)
    assert found.exit_code == code
    assert f"the system refused: {os.strerror(number)}: '/a/file'" in str(found)
    assert advice in str(found)
    assert ("the same command again" in str(found)) == (code == ExitCode.RUN_FAILED)


def test_a_lack_of_memory_is_a_refusal_and_a_missing_file_a_fault() -> None:
    found = refusal(MemoryError())
    assert found is not None
    assert "the memory ran out" in str(found)
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file", "/a/file")) is None


def test_a_full_disk_under_a_stage_shows_no_traceback() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert trace_of(full) is None
    assert trace_of(MemoryError()) is None
    assert trace_of(RuntimeError("I/O error: No space left on device (os error 28)")) is None
    assert trace_of(StageFailedError("loss is nan")) is None
    try:
        raise ValueError("a fault")
    except ValueError as error:
        trace = trace_of(error)
    assert trace is not None
    assert "Traceback" in trace
    assert "ValueError: a fault" in trace
    assert trace_of(FileNotFoundError(errno.ENOENT, "No such file", "/a/file")) is not None
