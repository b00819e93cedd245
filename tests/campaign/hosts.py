"""Three hosts on one machine that share a home: equal names and pids, clocks that differ, kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from diamond.engine.store import Store
from diamond.plan.stage_keys import StageSpec
from tests.campaign import layout
from tests.campaign.processes import FAKETIME, LIMIT_SECONDS, POLL_SECONDS, Watch, faked, step_clock
from tests.campaign.state import Case, State
from tests.commands import environment

CLOCKS = (0, 300, -300)
"""Seconds by which the wall clock of each host is off."""
NAME = "node"
"""Of every host."""
PARTS = 20
STAGES, SHORT_STAGES = 12, 6
KILLS, SHORT_KILLS = 5, 2

WORKER = f"""
import hashlib, json, sys, time
from pathlib import Path
from diamond.engine import stage_claim
from diamond.engine.files import write_text
from diamond.engine.store import Store
from diamond.plan.stage_keys import StageSpec
from diamond.workers import worker

stage_claim.HEARTBEAT_SECONDS, stage_claim.STALE_SECONDS = 0.5, 10.0
home, numbers = Path(sys.argv[1]), json.loads(sys.argv[2])

def say(message):
    print(json.dumps(message), flush=True)

def make(context):
    for number in range({PARTS}):
        path = context.folder / f"part-{{number}}.txt"
        if not path.exists():  # an earlier attempt left it
            text = f"{{context.seed}} {{number}} "
            write_text(path, text + hashlib.sha256(text.encode()).hexdigest())
        context.progress(number + 1, {PARTS} + 1, "")
        time.sleep(0.1)
    return context.result()

worker.function_of = lambda *_: make
store = Store(home)
store.check_writable()
say({{"type": "home", "id": json.loads((home / "home.json").read_text())["id"]}})
specs = [StageSpec("frames", {{"game": "Boxing"}}, {{}}, number) for number in numbers]
for spec in specs:
    store.prepare(spec)
seen = {{spec.key: stage_claim.Claim(store.work(spec.stage, spec.key)) for spec in specs}}
while specs:
    for spec in specs:
        if seen[spec.key].holder() is None:
            manner = worker.Manner(over=seen[spec.key].standing)
            tell = lambda message: say(message | {{"stage": spec.seed}})
            worker.run_stage(store, spec.stage, spec.key, tell, 1e9, manner)
    specs = [spec for spec in specs if not store.has_all_files(spec.stage, spec.key)]
    time.sleep(0.1)
"""
COMMAND = (sys.executable, "-c", WORKER)
"""What a host runs, given the home and the numbers of the stages in the order that it takes them.

It says JSON lines: the id of the home, and what `run_stage` tells.
"""
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


def no_nfs() -> str | None:
    """Why the home cannot lie on NFS here; None where it could."""
    known = Path("/proc/filesystems").read_text().split()
    return None if "nfs4" in known or "nfs" in known else "this kernel knows no nfs"


def hosts_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One home with stages to make; three hosts, killed at random moments, run to their end."""
    specs = [
        StageSpec("frames", {"game": "Boxing"}, {}, number)
        for number in range(SHORT_STAGES if short else STAGES)
    ]
    store = Store(case.home)
    store.check_writable()
    hosts = [Host(case, number, rng, len(specs)) for number in range(len(CLOCKS))]
    with Watch(case.home) as watch, Torn(case.home) as torn:
        for host in hosts:
            host.start()
        for _ in range(SHORT_KILLS if short else KILLS):
            if not _kill(case, hosts, rng):
                break
        deadline = time.monotonic() + LIMIT_SECONDS / 4
        for host in hosts:
            host.wait(deadline)
            if host.code != 0:
                case.faults.append(f"host {host.number} ends badly: {host.last_words}")
    case.what.append("on NFS: skipped, " + (no_nfs() or "no server is set up here"))
    case.twice += sorted(fault for fault in watch.faults if "twice" in fault)
    case.faults += sorted(torn.found)
    _judge(case, store, specs, hosts)


class Host:
    """One of the hosts: a command that is killed with all that runs there, and started again."""

    def __init__(self, case: Case, number: int, rng: np.random.Generator, num_stages: int) -> None:
        """Make what it needs beside the home."""
        self.number = number
        self._order = [int(one) for one in rng.permutation(num_stages)]
        self._home = case.home
        self._folder = case.folder / f"host-{number}"
        self._clock = self._folder / "clock"
        self._starts = 0
        (self._folder / "home").mkdir(parents=True)
        step_clock(self._clock, CLOCKS[number])

    def start(self) -> None:
        """Start its command: every time it is process 1 of new numbers."""
        self._starts += 1
        words = [f"{name}={value}" for name, value in faked(self._folder, self._clock).items()]
        place = str(self._folder / "home")
        with self._log().open("w") as output, self._errors().open("w") as errors:
            self.process = subprocess.Popen(
                [*HOST, str(self._home), place, *words, *COMMAND, place, json.dumps(self._order)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment(),
            )

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    @property
    def last_words(self) -> str:
        lines = self._errors().read_text(errors="replace").strip().splitlines()
        return f"exit {self.code}: {lines[-1][:200] if lines else ''}"

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
        return self.makes()

    def makes(self) -> bool:
        """Whether the last that it said is that it makes a stage."""
        last = self.said()[-1:]
        return any(one["type"] == "progress" and one["done"] for one in last)

    def said(self, every: bool = False) -> list[dict[str, Any]]:
        """What the command said since it was started last, or every time."""
        starts = range(1 if every else self._starts, self._starts + 1)
        lines = [line for one in starts for line in self._log(one).read_text().splitlines()]
        found: list[dict[str, Any]] = []
        for line in lines:
            with suppress(ValueError):  # cut by a kill
                found.append(json.loads(line))
        return found

    def wait(self, deadline: float) -> None:
        """Wait for its end, which must come before a time of the monotonic clock."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def _process_1(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            pids = children.read_text().split()
        except OSError:
            return None
        return int(pids[0]) if pids else None

    def _log(self, start: int | None = None) -> Path:
        return self._folder / f"out-{start or self._starts}.txt"

    def _errors(self) -> Path:
        return self._folder / f"err-{self._starts}.txt"


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


def _kill(case: Case, hosts: list[Host], rng: np.random.Generator) -> bool:
    """Kill one host or two while they make stages, and start them again; False when all ended."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not any(host.makes() for host in hosts):
        if all(host.code is not None for host in hosts) or time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    time.sleep(rng.uniform(0, 2))
    running = [host for host in hosts if host.code is None]
    running.sort(key=lambda host: (not host.makes(), rng.random()))
    for host in running[: int(rng.integers(1, 3))]:
        hit = host.kill()
        case.counted += hit
        case.missed += not hit
        case.what.append(f"host {host.number} killed in {'a' if hit else 'no'} stage")
        host.start()
    return True


def _judge(case: Case, store: Store, specs: list[StageSpec], hosts: list[Host]) -> None:
    """Every stage is there, whole, with its own bits, and was published once."""
    said = [one for host in hosts for one in host.said(every=True)]
    homes = {one["id"] for one in said if one["type"] == "home"}
    made = Counter(one["stage"] for one in said if one["type"] == "finished" and one["made"])
    case.twice += [f"stage {number} was published twice" for number, n in made.items() if n > 1]
    # Nobody is stopped here, and whoever is killed says nothing more.
    lost = {one["stage"] for one in said if one["type"] == "overtaken"}
    case.faults += [f"stage {number} was taken from a live owner" for number in sorted(lost)]
    if len(homes) != 1:
        case.faults.append(f"the hosts saw {len(homes)} homes")
    differing = [spec.seed for spec in specs if not _is_right(store, spec)]
    case.equal = not differing
    case.faults += [f"stage {number} is not as it must be" for number in differing] + case.twice
    case.faults += [f"left over: {name}" for name in layout.leftovers(case.home)[:5]]


def _is_right(store: Store, spec: StageSpec) -> bool:
    folder = store.folder(spec.stage, spec.key)
    if store.status(spec) != "done" or store.damage(spec) is not None:
        return False
    for number in range(PARTS):
        text = f"{spec.seed} {number} "
        if (folder / f"part-{number}.txt").read_text() != text + sha256(text.encode()).hexdigest():
            return False
    return True
