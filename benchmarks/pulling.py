"""`python -m benchmarks.pulling`: workers that pull stages which sleep, real or simulated ones.

Real ones are processes on this machine, timed by its clock. Simulated ones share one process, a
clock each, and a file system of which every call is counted and takes its time.
"""

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from diamond.config.processes import python_command, python_environment
from diamond.engine.devices import Workers
from diamond.engine.output_names import EVENTS_FILE
from diamond.engine.provenance import code_version
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_manifest import Machine, Maker
from diamond.engine.stopping import Stopping
from diamond.engine.store import StageResult, Store
from diamond.plan.stage_keys import StageSpec
from diamond.workers.child_processes import Message
from diamond.workers.executor import Executor
from diamond.workers.pool import Child
from diamond.workers.pulling import Pulling
from diamond.workers.work_order import OrderWriter

STUDY = "sleeps"
FAN_OUT = 9
"""Stages that read one of the first."""
CALLS = frozenset(
    {
        "open",
        "os.listdir",
        "os.scandir",
        "os.rename",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rmdir",
    }
)


def plan_of(num_stages: int) -> list[StageSpec]:
    """Stages of which a tenth are read by nine others each."""
    plan: list[StageSpec] = []
    for number in range(num_stages):
        first = plan[number - number % (FAN_OUT + 1)] if number % (FAN_OUT + 1) else None
        reads = {"references": first.key} if first else {}
        stage = "frames" if first else "references"
        plan.append(StageSpec(stage, {"game": "Boxing"}, reads, number))
    return plan


def make_home(home: Path, num_stages: int) -> list[StageSpec]:
    """A home in which a command asks for stages."""
    store, plan = Store(home), plan_of(num_stages)
    store.check_writable()
    for spec in plan:
        store.prepare(spec)
    urgent = {spec.key: 2.0 if spec.stage == "references" else 1.0 for spec in plan}
    OrderWriter(home / "studies" / STUDY, {}).ask_for(plan, urgent)
    return plan


class Sleeper:
    """One stage that sleeps: claimed, begun and published as any other."""

    def __init__(self, store: Store, spec: StageSpec, over: str | None) -> None:
        """Claim it, if nobody holds it."""
        self.spec, self._store = spec, store
        self.claim = Claim(store.work(spec.stage, spec.key))
        self.has_claim = self.claim.try_acquire(over)
        self.was_made = store.has_all_files(spec.stage, spec.key)
        if self.was_made:
            # What is left of the work on it may have been claimed.
            store.clear_work(spec.stage, spec.key)

    def publish(self) -> None:
        """Publish it as soon as it slept."""
        stage, key = self.spec.stage, self.spec.key
        machine: Machine = {"name": "", "instructions": None, "host": ""}
        maker: Maker = {"device": "cpu", "machine": machine, "code": code_version()}
        attempt = self._store.begin(stage, key, self.claim, maker)
        (attempt.result / EVENTS_FILE).touch()
        (attempt.result / "out").write_text(str(self.spec.seed))
        assert self._store.publish(stage, key, attempt, StageResult({})), "published twice"
        self._store.clear_work(stage, key)


class ThreadPool:
    """Stands for the processes of a worker: one thread that sleeps."""

    def __init__(self, store: Store, seconds: float) -> None:
        """Assign."""
        self._store, self._seconds = store, seconds
        self._child: Any = Child(None, SimpleQueue())  # type: ignore[arg-type]
        self.claimed: list[float] = []

    @property
    def busy(self) -> int:
        """Stages at work."""
        return int(self._child.spec is not None)

    @property
    def running(self) -> dict[str, StageSpec]:
        """The stage at work."""
        return {self._child.spec.key: self._child.spec} if self.busy else {}

    def free(self, num_waiting: int) -> int:
        """Whether there is room."""
        return 1 - self.busy

    def start(self, spec: StageSpec, over: str | None) -> None:
        """Begin a stage."""
        self._child.spec = spec
        threading.Thread(target=self._sleep, args=(spec, over), daemon=True).start()

    def _sleep(self, spec: StageSpec, over: str | None) -> None:
        one = Sleeper(self._store, spec, over)
        if one.was_made or not one.has_claim:
            self._child.messages.put(self._of_others(one))
            return
        self.claimed.append(time.time())
        with one.claim.kept_alive():
            time.sleep(self._seconds)
            one.publish()
        self._child.messages.put({"type": "finished", "made": True})

    @staticmethod
    def _of_others(one: Sleeper) -> Message:
        return {"type": "finished", "made": False} if one.was_made else {"type": "held", "note": ""}

    def news(self) -> Iterator[tuple[Child, Message | None]]:
        """What the thread said."""
        try:
            yield self._child, self._child.messages.get_nowait()
        except Empty:
            return

    def release(self, keys: set[str]) -> None:
        """Nothing is withdrawn here."""

    def stop(self, seconds: float | None = None) -> None:
        """The thread ends with the process."""


def on_calls(called: Callable[[str], None]) -> None:
    """Have every call of the file system told by its name, also those that Python audits not."""
    stat = os.stat
    sys.addaudithook(lambda name, _: called(name) if name in CALLS else None)

    def counted(*args: Any, **options: Any) -> os.stat_result:
        called("os.stat")
        return stat(*args, **options)

    os.stat = counted


def run_worker(home: Path, seconds: float) -> None:
    """Be one real worker; print when it claimed, and the calls that it made."""
    calls: Counter[str] = Counter()
    on_calls(lambda name: calls.update([name]))
    pool = ThreadPool(Store(home), seconds)
    pulling = Pulling(home, STUDY, Workers(1), 60.0, Stopping(), lambda _: None)
    began = time.time()
    with ExitStack() as locks:
        executor = pulling.begin(locks)
        executor._pool = pool  # type: ignore[assignment]
        while pulling.goes_on(executor, locks):
            pass
    told = {"claimed": pool.claimed, "calls": calls, "seconds": time.time() - began}
    print(json.dumps(told))
    assert "torch" not in sys.modules


def run_real(num_workers: int, num_stages: int, seconds: float) -> None:
    """Time real workers from the last one's first claim to the last stage."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        plan = make_home(home, num_stages)
        command = python_command("benchmarks.pulling", "worker", "--home", str(home))
        workers = [
            subprocess.Popen(
                [*command, "--seconds", str(seconds)],
                env=python_environment() | {"PYTHONPATH": os.getcwd()},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(num_workers)
        ]
        told = [json.loads(worker.communicate()[0]) for worker in workers]
        store = Store(home)
        ends = {
            spec.key: float(found["timings"]["finished_ms"]) / 1000
            for spec in plan
            if (found := store.manifest(spec.stage, spec.key)) is not None
        }
        assert len(ends) == num_stages
    began = max(one["claimed"][0] for one in told)
    # What was made before the last worker came, and what was under way then, is not its work.
    left = sum(min(seconds, max(0.0, end - began)) for end in ends.values())
    took, ideal = max(ends.values()) - began, left / num_workers
    calls = sum(sum(one["calls"].values()) for one in told)
    lives = sum(one["seconds"] for one in told)
    claims = sum(len(one["claimed"]) for one in told)
    print(
        f"{num_workers} workers, {num_stages} stages of {seconds:g} s: {took:.1f} s from the last "
        f"worker's first claim, ideal {ideal:.1f} s: {ideal / took:.1%}\n"
        f"{claims} claims, {claims / took:.2f} a second; {calls / lives:.1f} calls of the file "
        f"system a worker and second, {calls / claims:.0f} a claim"
    )


class Clock:
    """The clocks of simulated workers, and what their calls of the file system cost."""

    def __init__(self, delay: float) -> None:
        """Assign; `patch` puts them in the place of the real ones."""
        self.now, self.delay, self.calls = 0.0, delay, 0
        self.is_on = False

    def patch(self) -> None:
        """Let time go by as files are looked at and as workers sleep."""
        on_calls(self._call)
        time.monotonic = lambda: self.now
        time.sleep = self._pass  # type: ignore[assignment]

    def _call(self, name: str) -> None:
        if self.is_on:
            self.calls += 1
            self.now += self.delay

    def _pass(self, seconds: float) -> None:
        self.now += seconds


class ClockPool(ThreadPool):
    """The same for a simulated worker: what sleeps ends when its clock says so."""

    clock: Clock
    _one: Sleeper | None = None
    _ends = 0.0

    def start(self, spec: StageSpec, over: str | None) -> None:
        """Begin a stage."""
        self._child.spec = spec
        one = Sleeper(self._store, spec, over)
        if one.was_made or not one.has_claim:
            self._child.messages.put(self._of_others(one))
            return
        self._one = one
        self.claimed.append(self.clock.now)
        self._ends = self.clock.now + self._seconds

    def news(self) -> Iterator[tuple[Child, Message | None]]:
        """What became of the stage."""
        if self._one is not None and self.clock.now >= self._ends:
            self._one.publish()
            self._one = None
            self._child.messages.put({"type": "finished", "made": True})
        yield from super().news()


def run_simulated(num_workers: int, num_stages: int, seconds: float, delay: float) -> None:
    """Let simulated workers make a plan, one turn of the one that is farthest behind at a time."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        make_home(home, num_stages)
        clock = Clock(delay)
        clock.patch()
        pools: list[ClockPool] = []
        turns: list[tuple[float, int, Pulling, Executor]] = []
        locks = ExitStack()
        for number in range(num_workers):
            pulling = Pulling(home, STUDY, Workers(1), 60.0, Stopping(), lambda _: None)
            pool = ClockPool(Store(home), seconds)
            pool.clock = clock
            pools.append(pool)
            executor = pulling.begin(locks)
            executor._pool = pool  # type: ignore[assignment]
            turns.append((0.0, number, pulling, executor))
        clock.is_on, last = True, 0.0
        while turns:
            clock.now, number, pulling, executor = heapq.heappop(turns)
            if pulling.goes_on(executor, locks):
                heapq.heappush(turns, (clock.now, number, pulling, executor))
            last = max(last, clock.now)
        locks.close()
        made = sum(len(Store(home).finished_keys(name)) for name in ("references", "frames"))
    assert made == num_stages
    ends = max(pool.claimed[-1] for pool in pools if pool.claimed) + seconds
    ideal, claims = num_stages * seconds / num_workers, sum(len(p.claimed) for p in pools)
    print(
        f"{num_workers} simulated workers, {num_stages} stages of {seconds:g} s, "
        f"{delay * 1e3:g} ms a call: drained in {ends:.1f} s, ideal {ideal:.1f} s: "
        f"{ideal / ends:.1%}\n"
        f"{claims / ends:.1f} claims a second; {clock.calls / claims:.0f} calls a claim, "
        f"{clock.calls / num_workers / last:.1f} a worker and second, "
        f"{clock.calls / last:.0f} a second for the server"
    )


def main() -> None:
    """Measure what the words say."""
    parser = argparse.ArgumentParser("python -m benchmarks.pulling", description=__doc__)
    parser.add_argument("what", choices=("real", "simulated", "worker"))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--delay", type=float, default=0.002)
    said = parser.parse_args()
    if said.what == "worker":
        run_worker(said.home, said.seconds)
    elif said.what == "real":
        run_real(said.workers, said.stages, said.seconds)
    else:
        run_simulated(said.workers, said.stages, said.seconds, said.delay)


if __name__ == "__main__":
    main()
