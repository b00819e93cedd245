"""How many workers a command has a scheduler run, and what it does when these end or it is away."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from diamond.engine.devices import Workers
from diamond.engine.store import Store
from diamond.errors import EngineError
from diamond.workers import helpers as helpers_module
from diamond.workers.executor import Executor, StageEvent
from diamond.workers.helpers import MAX_VAIN, Helpers
from diamond.workers.work_order import OrderWriter, order_files
from tests.commands import finish
from tests.workers.test_frontier import spec


@dataclass
class Scheduler:
    """A scheduler of which a test says what runs, and whether it answers."""

    running: int = 0
    away: str = ""
    full: bool = False
    submitted: list[int] = field(default_factory=list)
    dismissed: int = 0

    def submit(self, count: int) -> None:
        if self.full:
            raise EngineError("too many jobs")
        self.submitted.append(count)
        self.running += count

    def alive(self) -> int:
        if self.away:
            raise EngineError(self.away)
        return self.running

    def fate(self) -> str:
        return "exit code 2"

    def dismiss(self) -> None:
        self.alive()
        self.dismissed += 1

    def cancel(self) -> None:
        raise AssertionError("a command cancels nothing")

    def told(self) -> Sequence[str]:
        return (f"job {len(self.submitted)}",) if self.submitted else ()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(helpers_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def made(
    folder: Path, scheduler: Scheduler, size: int = 8, leaves: bool = True
) -> tuple[Helpers, list[str]]:
    said: list[str] = []
    order = OrderWriter(folder / "studies" / "x", {})
    return Helpers(order, scheduler, size, leaves=leaves, say=said.append), said


def tend(helpers: Helpers, clock: list[float], *counts: int) -> None:
    clock[0] += helpers_module.TEND_SECONDS
    helpers.tend(*counts)


def test_as_many_are_submitted_as_can_begin(tmp_path: Path, clock: list[float]) -> None:
    scheduler = Scheduler()
    helpers, said = made(tmp_path, scheduler)
    tend(helpers, clock, 1, 0, 0)
    tend(helpers, clock, 0, 1, 0)
    tend(helpers, clock, 20, 0, 1)
    assert scheduler.submitted == [1, 7]
    assert said == ["job 1", "job 2"]


def test_workers_that_wait_for_hours_are_not_doubled(tmp_path: Path, clock: list[float]) -> None:
    scheduler = Scheduler()
    helpers, said = made(tmp_path, scheduler, size=2)
    for _ in range(1000):
        tend(helpers, clock, 5, 0, 0)
    assert scheduler.submitted == [2]
    assert said == ["job 1"]


@pytest.mark.parametrize("held", [0, 1])
def test_workers_that_only_end_are_an_error(tmp_path: Path, clock: list[float], held: int) -> None:
    """They may have begun a stage before: it must have got farther."""
    scheduler = Scheduler()
    helpers, _ = made(tmp_path, scheduler)
    for _ in range(MAX_VAIN):
        clock[0] += 600.0
        tend(helpers, clock, 1, 0, 0)
        tend(helpers, clock, 1 - held, held, 0)
        scheduler.running = 0
    clock[0] += 600.0
    with pytest.raises(EngineError, match=r"submitted 3 times and ended .*\n  exit code 2\n"):
        tend(helpers, clock, 1, 0, 0)


def test_workers_that_get_farther_before_they_end_are_replaced(
    tmp_path: Path, clock: list[float]
) -> None:
    scheduler = Scheduler()
    helpers, _ = made(tmp_path, scheduler)
    for advance in range(5 * MAX_VAIN):
        tend(helpers, clock, 1, 0, advance)
        scheduler.running = 0
    assert len(scheduler.submitted) == 5 * MAX_VAIN


def test_a_command_that_does_not_stay_submits_what_is_missing(tmp_path: Path) -> None:
    scheduler = Scheduler(running=1)
    helpers, _ = made(tmp_path, scheduler)
    helpers.order.ask_for([spec(1), spec(2), spec(3)], {}, {spec(3).key})
    helpers.start()
    helpers.start()
    assert scheduler.submitted == [1]


def test_where_nothing_can_be_submitted_nothing_is_asked_for(tmp_path: Path) -> None:
    helpers, _ = made(tmp_path, Scheduler(full=True))
    helpers.order.ask_for([spec(1)], {})
    with pytest.raises(EngineError, match="too many jobs"):
        helpers.start()
    assert order_files(tmp_path) == []


@pytest.mark.parametrize(
    ("leaves", "finished", "stays"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_what_is_asked_for_stays_where_workers_go_on(
    tmp_path: Path, leaves: bool, finished: bool, stays: bool
) -> None:
    helpers, _ = made(tmp_path, Scheduler(), leaves=leaves)
    helpers.order.ask_for([spec(1)], {})
    helpers.let_go(finished)
    assert bool(order_files(tmp_path)) == stays


def test_one_node_that_ends_all_workers_is_not_fed_for_ever(
    tmp_path: Path, clock: list[float]
) -> None:
    """Another worker makes a stage for a day; what is submitted beside it ends at once."""
    scheduler = Scheduler(running=1)
    helpers, said = made(tmp_path, scheduler, size=2)
    while clock[0] < 24 * 3600:
        tend(helpers, clock, 5, 1, 0)
        scheduler.running = 1
    num_hours = 24
    assert num_hours < len(scheduler.submitted) < 10 * num_hours
    assert "workers ended: exit code 2" in said


def test_a_scheduler_that_is_away_ends_no_command(tmp_path: Path, clock: list[float]) -> None:
    scheduler = Scheduler()
    helpers, said = made(tmp_path, scheduler, size=2)
    tend(helpers, clock, 2, 0, 0)
    scheduler.away = "unable to contact the controller"
    for _ in range(10):
        tend(helpers, clock, 0, 0, 0)
    assert sum("unable to contact" in line for line in said) == 1
    scheduler.away, scheduler.running, scheduler.full = "", 1, True
    tend(helpers, clock, 1, 1, 1)
    assert "too many jobs" in said[-1]
    scheduler.away = "unable to contact the controller"
    helpers.let_go(finished=True)
    assert "unable to contact" in said[-1]


def test_a_scheduler_that_never_answered_or_refuses_is_an_error(
    tmp_path: Path, clock: list[float]
) -> None:
    for scheduler in (Scheduler(away="no controller"), Scheduler(full=True)):
        helpers, _ = made(tmp_path, scheduler)
        with pytest.raises(EngineError):
            tend(helpers, clock, 1, 0, 0)


def test_at_the_end_what_waits_is_dismissed(tmp_path: Path, clock: list[float]) -> None:
    scheduler = Scheduler()
    helpers, _ = made(tmp_path, scheduler)
    helpers.let_go(finished=False)
    before = scheduler.dismissed
    helpers.let_go(finished=True)
    assert (before, scheduler.dismissed) == (0, 1)


def test_what_a_worker_left_that_was_killed_after_it_published_goes(tmp_path: Path) -> None:
    store, one = Store(tmp_path), spec(1)
    store.check_writable()
    store.prepare(one)
    helpers, _ = made(tmp_path, Scheduler())
    executor = Executor(tmp_path, Workers(0), helpers=helpers)
    executor.add([one], frozenset(), {})
    finish(store, one)
    left = store.work(one.stage, one.key) / "attempts" / "checkpoint"
    left.mkdir(parents=True)
    events: list[StageEvent] = []
    while executor.is_busy:
        executor.step(events.append)
    assert [event.kind for event in events] == ["made"]
    assert not store.work(one.stage, one.key).exists()
