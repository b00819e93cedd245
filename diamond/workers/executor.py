"""Who leads the making of a plan: processes of this machine, others that pull, or both.

A stage that fails stops only what reads it. A stage that another process holds is watched: its end
is news like that of one's own, and when its holder is gone it is made here.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diamond.engine.devices import Workers
from diamond.engine.store import Store
from diamond.errors import RequestError, StoreError
from diamond.plan.stage_keys import StageSpec
from diamond.workers.child_processes import ASKED_TO_END, Message
from diamond.workers.elsewhere import FEW_LOOKS, MOST_LOOKS, Elsewhere, Sight
from diamond.workers.frontier import Frontier
from diamond.workers.helpers import Helpers
from diamond.workers.pool import STOP_SECONDS, Child, Pool

POLL_SECONDS = 0.2
LOOK_SECONDS = 1.0
"""Least time between two looks at what other processes made."""


@dataclass(frozen=True)
class StageEvent:
    """News of one stage.

    Attributes:
        done: Units done, for progress.
        total: Units in all, for progress.
        note: Loss, cause of failure, who holds it or took it over, or the stage that it waited for.
        trace: Traceback of a fault of the program, None otherwise.
    """

    kind: Literal[
        "started",
        "held",
        "progress",
        "overtaken",
        "made",
        "reused",
        "failed",
        "still_failed",
        "blocked",
    ]
    spec: StageSpec
    done: int = 0
    total: int = 0
    note: str = ""
    trace: str | None = None


OnEvent = Callable[[StageEvent], None]


class Executor:
    """Makes the stages of plans in processes of this machine, beside others that pull."""

    def __init__(
        self,
        home: Path,
        workers: Workers,
        checkpoint_seconds: float | None = None,
        helpers: Helpers | None = None,
        mix: str = "",
    ) -> None:
        """Note the code that processes must run; they start with `run`.

        Args:
            home: The home.
            workers: The processes of this machine; none: others make everything.
            checkpoint_seconds: Least time between checkpoints.
            helpers: Tells other processes what there is to make; None: nobody.
            mix: Orders stages of one priority, as `Frontier` has it.
        """
        self._store = Store(home)
        self._allowed = workers
        self._pool = Pool(home, workers, checkpoint_seconds)
        self._frontier = Frontier(mix)
        self._elsewhere = Elsewhere(self._store)
        self._helpers = helpers
        self._over: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._farthest: dict[str, int] = {}
        self._advance = 0
        self._shown: set[str] = set()
        self._changed = True
        self._looked = float("-inf")

    def run(
        self,
        specs: Iterable[StageSpec],
        done: frozenset[str],
        priority: Mapping[str, float],
        on_event: OnEvent,
        on_tick: Callable[[], None] = lambda: None,
        failed: frozenset[str] = frozenset(),
    ) -> None:
        """Make all stages that are not done, each after those that it reads.

        Args:
            specs: Stages, prepared in the store.
            done: Keys that need no work.
            priority: Of the stages that could start, the one with the largest number starts first.
            on_event: Told what happens, in the calling thread.
            on_tick: Called every fraction of a second in the calling thread.
            failed: Keys that are not tried: what reads them is not made.

        Raises:
            RequestError: A process runs other code than this one.
            EngineError: Workers that were submitted end without making anything.
        """
        for key in failed:
            self._frontier.fail(key)
        self.add(specs, done, priority)
        try:
            while self.is_busy:
                self.step(on_event)
                on_tick()
        finally:
            self.stop()

    def add(
        self, specs: Iterable[StageSpec], done: frozenset[str], priority: Mapping[str, float]
    ) -> None:
        """Take on further stages; those that are made, being made or failed stay as they are.

        Args:
            specs: Stages, prepared in the store.
            done: Keys that need no work.
            priority: By key, as for `run`.
        """
        for key in done:
            self._frontier.finish(key)
        specs = tuple(specs)
        self._given_up -= {spec.key for spec in specs}
        busy = self._pool.running.keys() | self._elsewhere.specs.keys()
        fresh = [spec for spec in specs if spec.key not in busy]
        self._frontier.add(fresh, priority)
        if self._helpers is not None:
            self._helpers.order.ask_for(fresh, priority, self._frontier.finished)
        self._changed = True

    def forget(self, keys: Iterable[str]) -> None:
        """Forget that stages failed or are done, so that `add` takes them on once more."""
        self._frontier.forget(keys)
        self._changed = True

    def forget_forgiven(self, specs: Iterable[StageSpec]) -> None:
        """Forget that stages failed that a command asks for anew."""
        broken = [spec for spec in specs if spec.key in self._frontier.broken]
        self.forget(spec.key for spec in broken if self._store.gave_up(spec) is None)

    def withdraw(self, keys: Iterable[str]) -> None:
        """Give up stages that nobody has begun to make, as far as is known."""
        open_ = self._frontier.waiting.keys() | self._elsewhere.specs.keys() - self._shown
        gone = [key for key in keys if key in open_]
        self._frontier.withdraw(gone)
        for key in gone:
            self._elsewhere.drop(key)
        if self._helpers is not None:
            self._helpers.order.withdraw(gone)

    def release(self, keys: set[str]) -> None:
        """Let go of stages, those that are being made here included."""
        self._given_up |= keys & self._pool.running.keys()
        self._frontier.withdraw(keys)
        for key in keys:
            self._elsewhere.drop(key)
        self._pool.release(keys)

    @property
    def device(self) -> str:
        """What stages run on, as their manifests name it."""
        return self._allowed.device

    @property
    def jobs(self) -> int:
        """Processes that make stages side by side, at most."""
        return self._allowed.jobs or (self._helpers.size if self._helpers is not None else 0)

    @property
    def is_busy(self) -> bool:
        """Whether a stage waits or is being made."""
        return bool(self._frontier.waiting or self._elsewhere or self._pool.busy)

    @property
    def num_running(self) -> int:
        """Stages that processes of this machine make."""
        return self._pool.busy

    def step(self, on_event: OnEvent) -> None:
        """Start what can start, pass on the news, and rest for a moment when there is none."""
        self._look_around(on_event)
        if self._changed:
            self._changed = False
            self._start_ready(on_event)
        if not self._drain(on_event):
            time.sleep(POLL_SECONDS)

    def stop(self, seconds: float | None = STOP_SECONDS) -> None:
        """End the processes of this machine; each saves the stage that it makes.

        Args:
            seconds: Time that they have before they are killed; None: as long as it takes.
        """
        self._pool.stop(seconds)
        if self._helpers is not None:
            self._helpers.let_go(finished=not self.is_busy)

    def hand_over(self) -> None:
        """Leave what was added to workers elsewhere: submit them.

        Raises:
            EngineError: The scheduler refuses.
        """
        assert self._helpers is not None
        self._helpers.start()

    def _look_around(self, on_event: OnEvent) -> None:
        """See what other processes made, and what they hold, from time to time.

        A worker looks only when it has room for a stage, and at few that others hold while there
        are others to begin: many workers ask one file server.
        """
        leads = self._helpers is not None
        has_room = self._pool.busy < self._allowed.jobs
        if time.monotonic() - self._looked < LOOK_SECONDS or not (leads or has_room):
            return
        self._looked = time.monotonic()
        self._see_finished(on_event)
        is_idle = not self._frontier.has_ready
        for spec, sight in self._elsewhere.look(MOST_LOOKS if leads or is_idle else FEW_LOOKS):
            if sight.kind == "held":
                self._show_held(spec, on_event)
                self._show_progress(spec, sight, on_event)
            elif sight.kind == "failed":
                self._elsewhere.drop(spec.key)
                self._fail(StageEvent("failed", spec, note=sight.note), on_event)
            elif self._allowed.jobs:
                self._elsewhere.drop(spec.key)
                if sight.over is not None:
                    self._over[spec.key] = sight.over
                self._frontier.add([spec], {})
                self._changed = True
            else:
                self._shown.discard(spec.key)
        if self._helpers is not None:
            held = self._shown & self._elsewhere.specs.keys()
            num_open = len(self._elsewhere) - len(held) if not self._allowed.jobs else 0
            self._helpers.tend(num_open, len(held), self._advance)

    def _see_finished(self, on_event: OnEvent) -> None:
        """Note what others finished, by listings of folders: no file is opened."""
        waiting = {**self._frontier.waiting, **self._elsewhere.specs}
        for stage in dict.fromkeys(spec.stage for spec in waiting.values()):
            for key in self._store.finished_keys(stage) & waiting.keys():
                self._elsewhere.drop(key)
                self._frontier.finish(key)
                self._shown.discard(key)
                self._changed = True
                self._advance += 1
                if self._helpers is not None:
                    # Whoever made it may have been killed before it cleared up.
                    self._store.clear_work(stage, key)
                # A command that makes nothing has others make what it asks for.
                on_event(StageEvent("reused" if self._allowed.jobs else "made", waiting[key]))

    def _show_progress(self, spec: StageSpec, sight: Sight, on_event: OnEvent) -> None:
        if sight.done > self._farthest.get(spec.key, 0):
            self._farthest[spec.key] = sight.done
            self._advance += 1
        note = f"{sight.note}  on {sight.holder}" if sight.total else ""
        note = note.strip() or f"waits for {sight.holder}"
        on_event(StageEvent("progress", spec, sight.done, sight.total, note))

    def _show_held(self, spec: StageSpec, on_event: OnEvent) -> None:
        if spec.key not in self._shown:
            self._shown.add(spec.key)
            on_event(StageEvent("started", spec))

    def _start_ready(self, on_event: OnEvent) -> None:
        self._drop_blocked(on_event)
        free = self._free(len(self._frontier.waiting))
        # Without processes of one's own all that is ready is watched.
        while (free > 0 or not self._allowed.jobs) and (spec := self._frontier.take()) is not None:
            free -= 1
            if self._allowed.jobs:
                self._start(spec, on_event)
            else:
                self._elsewhere.add(spec)

    def _free(self, num_waiting: int) -> int:
        return self._pool.free(num_waiting)

    def _start(self, spec: StageSpec, on_event: OnEvent) -> None:
        self._pool.start(spec, self._over.pop(spec.key, None))
        self._show_held(spec, on_event)

    def _drain(self, on_event: OnEvent) -> bool:
        news = False
        for child, message in self._pool.news():
            news = True
            self._handle(child, message, on_event)
        return news

    def _handle(self, child: Child, message: Message | None, on_event: OnEvent) -> None:
        spec = child.spec
        if message is not None and message["type"] == "refused":
            raise RequestError(message["error"])
        if spec is None:
            return
        if message is None:
            self._end_with(child, spec, on_event)
        elif message["type"] == "progress":
            told = message["done"], message["total"], message["note"]
            on_event(StageEvent("progress", spec, *told))
        elif message["type"] == "overtaken":
            on_event(StageEvent("overtaken", spec, note=message["note"]))
        elif message["type"] != "ready":
            child.spec = None
            self._changed = True
            self._end(spec, message, on_event)

    def _end(self, spec: StageSpec, message: Message, on_event: OnEvent) -> None:
        """Take note of how a process of this machine ended the work on a stage."""
        match message["type"]:
            case "held":
                self._elsewhere.add(spec)
                on_event(StageEvent("held", spec, note=f"waits for {message['note']}"))
            case "finished":
                self._shown.discard(spec.key)
                self._frontier.finish(spec.key)
                on_event(StageEvent("made" if message["made"] else "reused", spec))
            case "failed":
                note, trace = message["error"], message["trace"]
                self._fail(StageEvent("failed", spec, note=note, trace=trace), on_event)

    def _end_with(self, child: Child, spec: StageSpec, on_event: OnEvent) -> None:
        """Take note of the end of a process that had a stage: it was asked to, or it was killed."""
        is_given_up = spec.key in self._given_up
        if is_given_up or child.process.returncode == ASKED_TO_END:
            self._shown.discard(spec.key)
            self._changed = True
            if not is_given_up:
                self._frontier.add([spec], {})
            return
        # What nobody wrote down another worker would try, and die of as well.
        with suppress(StoreError):
            self._store.mark_failed(spec.stage, spec.key, child.death, lasting=False)
        tail = "".join(child.stderr).strip()
        self._fail(StageEvent("failed", spec, note=child.death, trace=tail or None), on_event)

    def _fail(self, event: StageEvent, on_event: OnEvent) -> None:
        self._shown.discard(event.spec.key)
        self._frontier.fail(event.spec.key)
        self._changed = True
        on_event(event)

    def _drop_blocked(self, on_event: OnEvent) -> None:
        for spec, cause in self._frontier.newly_blocked():
            on_event(StageEvent("blocked", spec, note=f"{cause} failed"))
