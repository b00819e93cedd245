"""What ``diamond work`` does: it takes what commands ask for, until nothing is left.

No worker knows of another. What is done, held or free stands in the home.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from diamond.engine.devices import Workers
from diamond.engine.files import in_use
from diamond.engine.home import FILE_NAME, check_format
from diamond.engine.stopping import Stopping
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME
from diamond.errors import DiamondError, RequestError, StoreError
from diamond.tracking.owner import current_owner, words_of
from diamond.workers.child_processes import check_shared_code
from diamond.workers.executor import Executor, StageEvent
from diamond.workers.pool import STOP_SECONDS
from diamond.workers.work_order import Order, order_files, read_order

ORDERS_SECONDS = 2.0
"""Least time between two looks for what commands ask for."""
CLASS = 1.1
"""Chains of work whose lengths differ by less than this factor are as urgent as each other."""


@dataclass
class Pulling:
    """One worker. Mutable: orders and stages come and go.

    Attributes:
        home: The home.
        study: Its study alone, None for all.
        workers: The processes that make stages.
        idle: Seconds without a stage after which it ends.
        stopping: Whether it is asked to end.
        say: Told what happens, in words.
    """

    home: Path
    study: str | None
    workers: Workers
    idle: float
    stopping: Stopping
    say: Callable[[str], None]
    _orders: dict[Path, Order] = field(default_factory=dict)
    _refused: dict[Path, DiamondError] = field(default_factory=dict)
    _studies: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)
    _here: set[str] = field(default_factory=set)
    _failed: int = 0
    _asked: float = 0.0
    _busy: float = 0.0

    def run(self) -> int:
        """Make stages until nothing is left, or nothing came for a while, or a signal came.

        Returns:
            How many stages failed here.

        Raises:
            DiamondError: There is no such home or study, or it cannot be used. What a command of
                other code asks for, or what cannot be read, is left alone, and raised at the end.
        """
        with ExitStack() as locks:
            executor = self.begin(locks)
            try:
                while self.goes_on(executor, locks):
                    pass
            finally:
                executor.stop(None if self.stopping.asked else STOP_SECONDS)
        return self._failed

    def begin(self, locks: ExitStack) -> Executor:
        """Look at what is asked for.

        Args:
            locks: Hold the studies that are worked for, so that they are not removed.

        Raises:
            DiamondError: As `run`.
        """
        check_home(self.home, self.study)
        Store(self.home).check_writable()
        executor = Executor(self.home, self.workers, mix=uuid4().hex)
        self._take_orders(executor, locks)
        self._busy = time.monotonic()
        return executor

    def goes_on(self, executor: Executor, locks: ExitStack) -> bool:
        """Do what there is to do at this moment; whether there is more."""
        if self.stopping.asked:
            self.say("asked to end: saves what is being made")
            return False
        executor.step(self._tell)
        now = time.monotonic()
        if executor.num_running:
            self._busy = now
        may_grow = any(order.may_grow for order in self._orders.values())
        if now - self._asked >= ORDERS_SECONDS or not (executor.is_busy or may_grow):
            self._take_orders(executor, locks)
            may_grow = any(order.may_grow for order in self._orders.values())
        if not executor.is_busy and not may_grow:
            if self._refused:
                raise next(iter(self._refused.values()))
            self.say("nothing is left to make")
            return False
        if now - self._busy >= self.idle:
            self.say(f"no stage could begin for {self.idle:.0f} s")
            return False
        return True

    def _take_orders(self, executor: Executor, locks: ExitStack) -> None:
        """Follow what commands ask for now."""
        self._asked = time.monotonic()
        there = order_files(self.home, self.study)
        self._refused = {path: why for path, why in self._refused.items() if path in there}
        for path in there:
            if path in self._orders or path in self._refused:
                continue
            try:
                order = read_order(path)
                if order is not None:
                    check_shared_code(order.code, order.study)
            except RequestError as error:
                self._refused[path] = error
                self.say(str(error))
                continue
            if order is None:
                return  # Its next version is there by now; what both ask for must not be let go.
            self._take(order, executor, locks)
        # After the new ones: what another command asks for as well goes on.
        for path in [path for path in self._orders if path not in there]:
            gone = {one.spec.key for one in self._orders.pop(path).stages}
            kept = {one.spec.key for order in self._orders.values() for one in order.stages}
            executor.release(gone - kept)

    def _take(self, order: Order, executor: Executor, locks: ExitStack) -> None:
        if order.study not in self._studies:
            self._studies.add(order.study)
            locks.enter_context(in_use(order.path.parents[1] / RUNNING_NAME))
        self._orders[order.path] = order
        self._names |= {one.spec.key: one.name for one in order.stages}
        specs = [one.spec for one in order.stages]
        executor.forget_forgiven(specs)
        executor.add(specs, order.done, {o.spec.key: _class(o.priority) for o in order.stages})

    def _tell(self, event: StageEvent) -> None:
        name = self._names.get(event.spec.key, event.spec.stage)
        match event.kind:
            case "started":
                self._here.add(event.spec.key)
                self.say(f"{name}: starts")
            case "held":
                self._here.discard(event.spec.key)
                self.say(f"{name}: {event.note}")
            case "made":
                self.say(f"{name}: done")
            case "failed":
                self._failed += event.spec.key in self._here
                self.say(f"{name}: FAILED: {event.note}")
                if event.trace:
                    self.say(event.trace)
            case "overtaken":
                self.say(f"{name}: {event.note}")


def check_home(home: Path, study: str | None) -> None:
    """Make sure that this machine sees the home and what is asked of workers in it.

    Raises:
        StoreError: There is no home, or it is one of another version.
        RequestError: There is no such study.
    """
    host = words_of(current_owner())
    check_format(home)
    if not (home / FILE_NAME).exists():
        raise StoreError(
            f"there is no home at {str(home)!r} for {host}\n"
            "  workers and commands share one home: give a folder that all machines see, with "
            "--home"
        )
    if study is not None and not (home / "studies" / study).is_dir():
        raise RequestError(
            f"the home {str(home)!r} has no study {study!r} for {host}\n"
            "  `diamond studies --home` lists those that it has; a command such as `diamond ablate "
            "--jobs 0` asks workers for one"
        )


def _class(priority: float) -> float:
    """Priorities that are nearly the same are the same: workers need not queue for one stage."""
    return float(round(math.log(max(priority, 1.0)) / math.log(CLASS)))
