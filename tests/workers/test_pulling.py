"""What one worker does with what commands ask for; its processes are stand-ins."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.pulling import ThreadPool
from diamond.engine.devices import Workers
from diamond.engine.files import is_in_use
from diamond.engine.home import open_home
from diamond.engine.stage_claim import Claim
from diamond.engine.stopping import Stopping
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageSpec
from diamond.workers import executor, pulling, work_order
from diamond.workers.child_processes import Message, shared_code
from diamond.workers.pulling import Pulling
from diamond.workers.work_order import OrderWriter, order_files
from tests.commands import finish
from tests.workers.test_frontier import spec


class Bench(ThreadPool):
    """A home, what a worker says, and the worker's process: it makes a stage at once, if at all."""

    def __init__(self, home: Path) -> None:
        open_home(home)
        self.store = Store(home)
        super().__init__(self.store, seconds=0.0)
        self.said: list[str] = []
        self.begun: list[str] = []
        self.released: set[str] = set()
        self.fails: set[str] = set()
        self.held: set[str] = set()
        self.lasts: set[str] = set()
        self.stopping = Stopping()

    def asks(
        self, *specs: StageSpec, study: str = "mine", writer: OrderWriter | None = None
    ) -> OrderWriter:
        """A command that asks for stages, or asks for more."""
        for one in specs:
            self.store.prepare(one)
        writer = writer or OrderWriter(
            self.study(study), {one.key: f"s{one.seed}" for one in specs}
        )
        writer.ask_for(specs, {})
        return writer

    def study(self, name: str = "mine") -> Path:
        folder = self.store.home / "studies" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def worker(self, idle: float = 600.0) -> Pulling:
        return Pulling(self.store.home, None, Workers(1), idle, self.stopping, self.said.append)

    def start(self, spec: StageSpec, over: str | None) -> None:
        self._child.spec = spec
        self.begun.append(spec.key)
        if spec.key in self.fails:
            self.store.mark_failed(spec.stage, spec.key, "no room", lasting=False)
            self.says({"type": "failed", "error": "no room", "trace": None})
        elif spec.key in self.held:
            self.says({"type": "held", "note": "another"})
        elif spec.key not in self.lasts:
            finish(self.store, spec)
            self.says({"type": "finished", "made": True})

    def says(self, message: Message) -> None:
        """What the process says."""
        self._child.messages.put(message)

    def release(self, keys: set[str]) -> None:
        self.released |= keys & self.running.keys()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Nobody waits here."""
    bench = Bench(tmp_path / "home")
    monkeypatch.setattr(executor, "Pool", lambda *_: bench)
    monkeypatch.setattr(executor, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(executor, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pulling, "ORDERS_SECONDS", 0.0)
    return bench


class Steps:
    """A worker that goes on step by step."""

    def __init__(self, worker: Pulling, locks: ExitStack) -> None:
        self.worker, self.locks = worker, locks
        self.executor = worker.begin(locks)

    def until(self, condition: Callable[[], bool]) -> None:
        """Go on until something holds."""
        for _ in range(100):
            if condition():
                return
            goes_on = self.goes_on()
            assert goes_on or condition(), "the worker ended"
        pytest.fail("nothing came of it in a hundred steps")

    def goes_on(self) -> bool:
        return self.worker.goes_on(self.executor, self.locks)


@pytest.fixture
def locks() -> Iterator[ExitStack]:
    with ExitStack() as locks:
        yield locks


def test_a_worker_makes_what_all_commands_ask_for_and_ends(bench: Bench) -> None:
    a, c = spec(1), spec(3)
    b = spec(2, a)
    bench.asks(a, b)
    bench.asks(c, study="other")
    assert bench.worker().run() == 0
    assert set(bench.begun) == {a.key, b.key, c.key}
    assert bench.said[-1] == "nothing is left to make"


def test_a_stage_that_fails_here_counts_and_one_that_failed_elsewhere_not(bench: Bench) -> None:
    here, elsewhere = spec(1), spec(2)
    bench.asks(here, elsewhere)
    bench.store.mark_failed(elsewhere.stage, elsewhere.key, "killed", lasting=False)
    bench.fails, bench.held = {here.key}, {elsewhere.key}
    assert bench.worker().run() == 1
    assert sum("FAILED" in line for line in bench.said) == 2


def test_a_worker_that_is_asked_to_end_begins_nothing(bench: Bench) -> None:
    bench.asks(spec(1))
    bench.stopping.ask()
    bench.worker().run()
    assert bench.begun == []
    assert bench.said == ["asked to end: saves what is being made"]


def test_a_worker_ends_when_no_stage_could_begin(bench: Bench) -> None:
    one = spec(1)
    bench.asks(one)
    assert Claim(bench.store.work(one.stage, one.key)).try_acquire()
    bench.held = {one.key}
    bench.worker(idle=0.0).run()
    assert bench.said[-1] == "no stage could begin for 0 s"


def test_a_command_that_may_ask_for_more_keeps_its_workers(bench: Bench, locks: ExitStack) -> None:
    a, b = spec(1), spec(2)
    sweep = bench.asks(a, writer=OrderWriter(bench.study(), {}, may_grow=True))
    steps = Steps(bench.worker(), locks)
    steps.until(lambda: not steps.executor.is_busy)
    assert all(steps.goes_on() for _ in range(5))
    bench.asks(b, writer=sweep)
    steps.until(lambda: bench.begun == [a.key, b.key])
    sweep.remove()
    while steps.goes_on():
        pass
    assert bench.said[-1] == "nothing is left to make"


def test_what_one_of_two_commands_still_wants_is_not_let_go(bench: Bench, locks: ExitStack) -> None:
    one = spec(1)
    first, second = bench.asks(one), bench.asks(one)
    bench.lasts = {one.key}
    steps = Steps(bench.worker(), locks)
    steps.until(lambda: bool(bench.begun))
    first.remove()
    assert all(steps.goes_on() for _ in range(3))
    assert bench.released == set()
    second.remove()
    steps.until(lambda: bench.released == {one.key})


def test_an_order_that_is_replaced_in_this_moment_lets_nothing_go(
    bench: Bench, locks: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = spec(1), spec(2)
    command = bench.asks(a)
    bench.lasts = {a.key}
    steps = Steps(bench.worker(), locks)
    steps.until(lambda: bool(bench.begun))
    bench.asks(b, writer=command)
    with monkeypatch.context() as patched:
        patched.setattr(pulling, "read_order", lambda path: None)
        assert all(steps.goes_on() for _ in range(3))
    assert bench.released == set()
    bench.lasts.clear()
    finish(bench.store, a)
    bench.says({"type": "finished", "made": True})
    steps.until(lambda: bench.begun == [a.key, b.key])


@pytest.mark.parametrize("fault", ["other code", "damaged"])
def test_an_order_that_is_refused_stops_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It is said at once, a single time, and raised at the end."""
    good, bad = spec(1), spec(2)
    with monkeypatch.context() as patched:
        patched.setattr(work_order, "shared_code", lambda: {**shared_code(), "torch": "1.2.3"})
        bench.asks(bad, study="bad")
    if fault == "damaged":
        order_files(bench.store.home)[0].write_text(json.dumps({}))
    bench.asks(good)
    cause = "1.2.3 in the command" if fault == "other code" else "is damaged"
    with pytest.raises(RequestError, match=cause):
        bench.worker().run()
    assert bench.begun == [good.key]
    assert sum(cause in line for line in bench.said) == 1


def test_what_failed_is_tried_again_when_a_command_asks_anew(
    bench: Bench, locks: ExitStack
) -> None:
    one = spec(1)
    sweep = bench.asks(one, writer=OrderWriter(bench.study(), {}, may_grow=True))
    bench.fails = {one.key}
    steps = Steps(bench.worker(), locks)
    steps.until(lambda: not steps.executor.is_busy)
    bench.asks(one, writer=sweep)
    assert all(steps.goes_on() for _ in range(3))
    assert bench.begun == [one.key], "nobody forgave it"
    bench.fails.clear()
    bench.store.forgive(one)
    bench.asks(one, writer=sweep)
    steps.until(lambda: bench.begun == [one.key] * 2 and not steps.executor.is_busy)
    assert bench.store.has_all_files(one.stage, one.key)


def test_a_study_is_held_once_whatever_its_command_asks_for(bench: Bench, locks: ExitStack) -> None:
    sweep = bench.asks(spec(0), writer=OrderWriter(bench.study(), {}, may_grow=True))
    steps = Steps(bench.worker(), locks)
    steps.until(lambda: len(bench.begun) == 1)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1, 20):
        bench.asks(spec(number), writer=sweep)
        steps.until(lambda wanted=number + 1: len(bench.begun) == wanted)  # type: ignore[misc]
    assert len(os.listdir("/proc/self/fd")) == before
    assert is_in_use(bench.study() / RUNNING_NAME)
    locks.close()
    assert not is_in_use(bench.study() / RUNNING_NAME)
