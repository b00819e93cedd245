"""Commands of `diamond` as child processes that can be frozen, looked at, killed and misled."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tests.campaign import layout
from tests.commands import environment

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
POLL_SECONDS = 0.03
LIMIT_SECONDS = 600.0
"""What no command takes, whatever else the machine does; longer is a fault: it hangs."""

LAUNCHER = """
import ctypes, functools, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the campaign, however that ends
from diamond.workers import executor
executor.Executor = functools.partial(executor.Executor, checkpoint_seconds=0.1)
from diamond.cli.app import main
main()
"""
"""`diamond` with checkpoints every tenth of a second, which commands have no option for."""

AWAKE = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
"""For libfaketime 0.9.10, which refuses the absolute monotonic times that Python sleeps until."""


class HangsError(RuntimeError):
    """A command that does not come to its end."""


class Command:
    """One command at work in a folder of its case."""

    def __init__(
        self,
        case: Path,
        arguments: Iterable[str],
        clock: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            case: Folder with ``home``; what the command prints is kept in it.
            arguments: Of the command, without ``--home``.
            clock: File that says how far its wall clock is off; None for a right one.
            variables: Of its environment, beside the usual ones.
        """
        number = len(list(case.glob("err-*.txt")))
        self.home = case / "home"
        self._paths = case / f"out-{number}.txt", case / f"err-{number}.txt"
        with self._paths[0].open("w") as output, self._paths[1].open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, *arguments, "--home", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment()
                | ({} if clock is None else faked(case, clock))
                | dict(variables or {}),
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    @property
    def output(self) -> str:
        return self._paths[0].read_text(errors="replace")

    @property
    def errors(self) -> str:
        return self._paths[1].read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """Exit code and the last line, for the record."""
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return f"exit {self.code}: {lines[-1].strip()[:160] if lines else ''}"

    def children(self) -> list[int]:
        """Processes that it started and that live."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            fields = _stat(int(path.parent.name))
            if fields and fields[1] == str(self.pid) and fields[0] != "Z":
                found.append(int(path.parent.name))
        return found

    def works(self) -> list[layout.Work]:
        """The stages that its workers are making."""
        pids = {self.pid, *self.children()}
        return [work for work in layout.works(self.home) if work.pid in pids]

    def freeze(self) -> list[int]:
        """Stop it and its workers where they are; returns them, the command first."""
        stop(self.pid)
        pids = [self.pid, *self.children()]
        for pid in pids[1:]:
            stop(pid)
        return pids

    def wait(self, seconds: float = LIMIT_SECONDS) -> int:
        """Its exit code, once it ends.

        Raises:
            HangsError: It does not.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in self.freeze():
                signal_to(pid, signal.SIGKILL)
            raise HangsError(f"a command hangs: {self.last_words}") from None

    def wait_for(self, condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> bool:
        """Poll until something is so; False when the command ends before."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.code is not None:
                return False
            if time.monotonic() > deadline:
                self.wait(0.0)
            time.sleep(POLL_SECONDS)
        return True


class Watch(threading.Thread):
    """Looks at a home while commands work: what is published again, and who takes from whom."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.faults: set[str] = set()
        self.stopped: set[int] = set()
        """Processes that the campaign stopped: these may lose what they hold."""
        self._home = home
        self._known: dict[str, tuple[int, int]] = {}
        self._owners: dict[str, int] = {}
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.4):
            self.look()

    def look(self) -> None:
        """Compare what is there with what was."""
        owners = layout.owners(self._home)
        for name, identity in layout.published(self._home).items():
            if self._known.setdefault(name, identity) != identity:
                self.faults.add(f"{name} was published twice")
        for name, pid in owners.items():
            old = self._owners.get(name, pid)
            if old != pid and old not in self.stopped and lives(old) and name not in self._known:
                self.faults.add(f"{name} was taken from a live owner")
            self._owners[name] = pid

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()
        self.look()


def stop(pid: int) -> None:
    """SIGSTOP, and wait until the process stands still."""
    signal_to(pid, signal.SIGSTOP)
    while (fields := _stat(pid)) and fields[0] not in "TZX":
        time.sleep(0.0005)


def signal_to(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def kill(pids: Iterable[int]) -> None:
    """kill -9, and wait until they are gone."""
    pids = list(pids)
    for pid in pids:
        signal_to(pid, signal.SIGKILL)
    while any(map(lives, pids)):
        time.sleep(0.001)


def lives(pid: int) -> bool:
    """Whether a process has not ended."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def end_strays(folder: Path) -> int:
    """End the commands and workers that are at work in a folder; returns how many there were."""
    mark, found = str(folder).encode() + b"/", []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            ours = layout.WORKER.encode() in words or LAUNCHER.encode() in words
            if ours and any(word.startswith(mark) for word in words):
                found.append(int(path.parent.name))
    kill(found)
    return len(found)


def step_clock(clock: Path, seconds: int) -> None:
    """Step the wall clock of the processes that read this file; whole or not at all."""
    beside = clock.with_suffix(".new")
    beside.write_text(f"{seconds:+d}s")
    beside.replace(clock)


def faked(case: Path, clock: Path, start: str = AWAKE) -> dict[str, str]:
    """Variables under which a process has the wall clock of a file.

    Args:
        case: Folder for what they need.
        clock: As `step_clock` writes it.
        start: What its interpreter runs first.
    """
    if not FAKETIME.exists():
        raise RuntimeError(f"there is no {FAKETIME}: install Debian's package faketime")
    (case / "awake").mkdir(exist_ok=True)
    (case / "awake" / "sitecustomize.py").write_text(start)
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": os.pathsep.join((str(case / "awake"), environment()["PYTHONPATH"])),
    }


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
