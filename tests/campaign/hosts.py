"""Three hosts on one machine that share a home: equal names and pids, clocks that differ, kills."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from diamond.engine.files import read_json
from tests.campaign import layout
from tests.campaign.processes import (
    AWAKE,
    FAKETIME,
    LIMIT_SECONDS,
    POLL_SECONDS,
    Command,
    HangsError,
    Watch,
    faked,
    step_clock,
)
from tests.campaign.state import Case, State, judge
from tests.commands import environment

CLOCKS = (0, 300, -300)
"""Seconds by which the wall clock of each host is off."""
NAME = "node"
"""Of every host."""
KILLS, SHORT_KILLS = 5, 2
SAVED_SHARE = 0.8
"""Kills that wait for a stage with a checkpoint."""
WAIT_SECONDS = 20.0
"""How long they do: what is left to make may save nothing."""
COMMAND = (sys.executable, "-m", "diamond", "work", "--jobs", "1", "--idle", "10m", "--home")
"""What a host runs, given the home."""
QUICK = f"""{AWAKE}
import sys
if "diamond" in sys.orig_argv:
    from diamond.engine import stage_claim
    stage_claim.STALE_SECONDS = 10.0
if {layout.WORKER!r} in sys.orig_argv:
    from diamond.engine import stage_context
    stage_context.CHECKPOINT_SECONDS = 0.1
"""
"""What commands have no option for: claims stale after 10 s, ten checkpoints a second."""
HOST = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--pid", "--net", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", f'hostname {NAME} && mount --bind "$1" "$2" && shift 2 && exec env "$@"', "host"),
)
"""A host of its own: process 1 of its own numbers; the home is bound to a folder of its own.

It ends with the campaign, however that ends.
"""


def absent() -> str | None:
    """Why hosts cannot be made here; None where they can."""
    if None in map(shutil.which, ("unshare", "setpriv")):
        return "there is no unshare or setpriv (Debian's package util-linux)"
    if not FAKETIME.exists():
        return f"there is no {FAKETIME} (Debian's package faketime)"
    probe = ("unshare", "--pid", "--net", "--uts", "--mount", "--fork", "--mount-proc", "true")
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"not permitted: {tried.stderr.strip()}"


def no_nfs() -> str:
    """Why the home does not lie on NFS; a kernel lists what it can load only once it is loaded."""
    known = Path("/proc/filesystems").read_text().split()
    modprobe = shutil.which("modprobe", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    probe = (modprobe or "false", "--dry-run", "--quiet", "nfs")
    if "nfs" in known or subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return "the kernel knows nfs, and the campaign starts no server"
    return "no nfs is found in /proc/filesystems, nor by modprobe"


def hosts_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """A command that makes nothing, and three hosts that work for it, killed at random moments."""
    reference = state.reference("owned" if short else "ray")
    layout.copy_stages(reference.home, case.home, layout.CHEAP)
    hosts = [Host(case, number) for number in range(len(CLOCKS))]
    with Watch(case.home) as watch, Torn(case.home) as torn:
        command = Command(case.folder, (*reference.arguments, "--jobs", "0"))
        command.wait_for(lambda: bool(list(case.home.glob("studies/*/orders/*.json"))))
        for host in hosts:
            host.start()
        for _ in range(SHORT_KILLS if short else KILLS):
            if not _kill(case, command, hosts, rng):
                break
        if command.wait() != 0:
            case.faults.append(f"the command fails: {command.last_words}")
        for host in hosts:
            host.wait()
            if host.code != 0:
                case.faults.append(f"host {host.number} ends badly: {host.last_words}")
    case.what.append(f"on NFS: skipped, {no_nfs()}")
    case.twice += sorted(fault for fault in watch.faults if "twice" in fault)
    case.faults += sorted(torn.found)
    # Nobody is stopped here, and whoever is killed says nothing more.
    case.faults += [
        f"host {host.number}: taken from a live owner" for host in hosts if host.was_overtaken
    ]
    if read_json(case.home / "home.json")["former"]:
        case.faults.append("a host took the home for a copy")
    judge(case, reference)


class Host:
    """One of the hosts: a worker that is killed with all that runs there, and started again."""

    def __init__(self, case: Case, number: int) -> None:
        """Make what it needs beside the home."""
        self.number = number
        self._home = case.home
        self._folder = case.folder / f"host-{number}"
        self._clock = self._folder / "clock"
        self._starts = 0
        (self._folder / "home").mkdir(parents=True)
        step_clock(self._clock, CLOCKS[number])

    def start(self) -> None:
        """Start its worker: every time it is process 1 of new numbers."""
        self._starts += 1
        variables = faked(self._folder, self._clock, QUICK)
        words = [f"{name}={value}" for name, value in variables.items()]
        place = str(self._folder / "home")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*HOST, str(self._home), place, *words, *COMMAND, place],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    @property
    def last_words(self) -> str:
        """Exit code and the last line, for the record."""
        lines = self._said(self._log).strip().splitlines()
        return f"exit {self.code}: {lines[-1][:200] if lines else ''}"

    @property
    def makes(self) -> bool:
        """Whether it began a stage and did not end it."""
        said = self._said(self._log)
        return len(re.findall(r": starts$", said, re.M)) > len(re.findall(r": done$", said, re.M))

    @property
    def was_overtaken(self) -> bool:
        """Whether it ever said that another process took a stage over."""
        return any("took it over" in self._said(log) for log in self._folder.glob("log-*.txt"))

    @property
    def has_checkpoint(self) -> bool:
        """Whether a stage that it makes has a checkpoint: its claim names the host's numbers."""
        with suppress(OSError):
            space = os.stat(f"/proc/{self._process_1()}/ns/pid").st_ino
            for claim in self._home.glob("work/*/*/claim-*.json"):
                if f":{space}:" in claim.read_text():
                    return layout.has_checkpoint(claim.parent)
        return False

    def kill(self) -> bool:
        """kill -9 of all that runs there; whether it was making a stage."""
        inside = self._process_1()
        if inside is not None:
            with suppress(ProcessLookupError):
                os.kill(inside, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        while inside is not None and Path(f"/proc/{inside}").exists():
            time.sleep(POLL_SECONDS)
        return self.makes

    def wait(self) -> None:
        """Wait for its end.

        Raises:
            HangsError: It does not come, though nothing is left to make.
        """
        try:
            self.process.wait(LIMIT_SECONDS / 4)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HangsError(f"host {self.number} hangs: {self.last_words}") from None

    def _process_1(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            pids = children.read_text().split()
        except OSError:
            return None
        return int(pids[0]) if pids else None

    @property
    def _log(self) -> Path:
        return self._folder / f"log-{self._starts}.txt"

    @staticmethod
    def _said(log: Path) -> str:
        return log.read_text(errors="replace")


class Torn(threading.Thread):
    """Reads every JSON file of a home again and again: none may ever be half there."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.found: set[str] = set()
        self._home = home
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            for folder, _, names in os.walk(self._home):
                for name in names:
                    if name.endswith(".json") and not name.startswith("."):
                        self._look(Path(folder) / name)

    def _look(self, path: Path) -> None:
        try:
            text = path.read_text()
        except OSError:
            return  # removed, or renamed, meanwhile
        try:
            json.loads(text)
        except ValueError:
            self.found.add(f"half a file: {path.relative_to(self._home)}")

    def __enter__(self) -> "Torn":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()


def _kill(case: Case, command: Command, hosts: list[Host], rng: np.random.Generator) -> bool:
    """Kill one host or two while they make stages, and start them again; False: all is made."""
    deadline = time.monotonic() + (WAIT_SECONDS if rng.random() < SAVED_SHARE else 0)

    def is_moment() -> bool:
        if time.monotonic() < deadline:
            return any(host.has_checkpoint for host in hosts)
        return any(host.makes for host in hosts)

    if not command.wait_for(is_moment):
        return False
    time.sleep(rng.uniform(0, 1))
    running = [host for host in hosts if host.code is None]
    running.sort(key=lambda host: (not host.has_checkpoint, not host.makes, rng.random()))
    for host in running[: int(rng.integers(1, 3))]:
        saved = host.has_checkpoint
        hit = host.kill()
        case.counted += hit
        case.checkpoint += hit and saved
        case.missed += not hit
        case.what.append(f"host {host.number} killed in {'a' if hit else 'no'} stage")
        host.start()
    return True
