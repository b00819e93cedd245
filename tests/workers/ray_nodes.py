"""A Ray cluster of three nodes on this machine, begun, killed and ended by tests."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.campaign.processes import kill, lives, signal_to, stop
from tests.commands import wait_until

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "diamond" * 10}
"""Ray listens on all addresses of the machine: with this, only the tests may have code run."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A lost node is noticed in 2 s instead of 15.
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
START = (
    *("setpriv", "--pdeathsig", "KILL"),  # they end with the tests, however those end
    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
    *("--num-cpus", "1", "--object-store-memory", "80000000"),
)
_HEAD = re.compile(r"--address='[^']*:(\d+)'")
_STARTED = re.compile("Ray runtime started")


class RayNodes:
    """Three nodes of one CPU each, of which the head, that says it has a GPU, is never killed."""

    def __init__(self) -> None:
        """Assign; a block starts and ends them. Their commands need the variables of `TOKEN`."""
        # Names of sockets are short: not a folder of pytest's.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> "RayNodes":
        try:
            head = ("--head", "--port", "0", "--include-dashboard", "false", "--num-gpus", "1")
            process = self._start(*head)
            self.address = f"127.0.0.1:{self._waits_for(process, _HEAD)[1]}"
            self.add(2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            kill_tree(process.pid)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, count: int = 1) -> None:
        """Start further nodes, one after another: side by side they want the same ports."""
        for _ in range(count):
            self._waits_for(self._start("--address", self.address), _STARTED)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._processes)

    def holder(self, pids: set[int]) -> int | None:
        """The number of the first node, not the head, that one of some processes belongs to."""
        trees = {number: tree(node.pid) for number, node in enumerate(self._processes) if number}
        return next((number for number, own in trees.items() if pids.intersection(own)), None)

    def kill(self, number: int) -> None:
        """kill -9 of a node: all of its processes, Ray's and what they started."""
        process = self._processes.pop(number)
        kill_tree(process.pid)
        process.wait()

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        # They know nothing of this checkout: who starts workers says where it is.
        own = SETTINGS | TOKEN | {"RAY_TMPDIR": str(self._folder)}
        with (self._folder / "started.log").open("w") as log:
            process = subprocess.Popen(
                [*START, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | own,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _waits_for(
        self, process: "subprocess.Popen[bytes]", words: "re.Pattern[str]"
    ) -> "re.Match[str]":
        log = self._folder / "started.log"

        def says() -> bool:
            assert process.poll() is None, log.read_text()
            return words.search(log.read_text()) is not None

        wait_until(says, "a node of Ray")
        found = words.search(log.read_text())
        assert found is not None
        return found


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children[int(fields[1])].append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def kill_tree(pid: int) -> None:
    """kill -9 of a process and all that descend from it; they stand still before one dies."""
    found = [pid]
    for one in found:
        stop(one)
        found += [child for child in tree(one)[1:] if child not in found]
    for one in found:
        signal_to(one, signal.SIGKILL)
    kill([one for one in found if lives(one)])
