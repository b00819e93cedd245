"""Live progress on standard error: how far the command is, and what is being made.

One line for all and one per running stage on a terminal, one line per event elsewhere.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from diamond.cli.tables.plan_table import duration_text
from diamond.engine.plan_duration import Work, wall_seconds
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec
from diamond.stages.registry import find_stage_record
from diamond.workers.executor import StageEvent

BAR_FROM = 80
"""Columns of a terminal that has room for bars."""
LOG_SECONDS = 30.0
RATE_WINDOW_SECONDS, LEAST_SECONDS = 10.0, 0.5
"""A rate is that of the last seconds; what came in at once says nothing of it."""
RECKON_SECONDS = 2.0
"""Least time between two looks at what is left: a plan may have many thousand stages."""
TRUST_SECONDS = 20.0
"""So much measured time weighs as much as the plan's own estimate."""
_PERIODS = (("s", 1), ("min", 60), ("h", 3600))
_SIZES = ("", "k", "M", "G")
_SENTENCES = {"overtaken": "", "still_failed": "failed before: ", "blocked": "not made, "}


class _Bars(Progress):
    """The lines of running stages below one of all of them."""

    head = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The line of all stages, then those that run."""
        yield Text(self.head, "bold")
        yield self.make_tasks_table(self.tasks)


class _Outlook:
    """How far a command is and how long it will take. Mutable: stages begin and end."""

    def __init__(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._work: Work | None = None
        self._made = 0
        self._ended: set[str] = set()
        self._began: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._measured = self._expected = TRUST_SECONDS
        self._reckoned = (float("-inf"), 0.0)

    def expect(self, work: Work) -> None:
        """Note what there is to make; what a search will make is not known."""
        self._work = work
        self._ended |= work.done

    def begin(self, key: str) -> None:
        """Note that a stage begins."""
        self._began[key] = time.monotonic()

    def see(self, key: str, left: float | None) -> None:
        """Note how long a stage goes on by its own rate, None where that is not known."""
        if left is not None:
            self._left[key] = left

    def end(self, key: str, is_made: bool) -> None:
        """Note that a stage ended."""
        began = self._began.pop(key, None)
        self._ended.add(key)
        self._made += is_made
        if is_made and began is not None and self._work is not None:
            self._measured += time.monotonic() - began
            self._expected += self._work.seconds.get(key, 0.0)
        self._reckoned = (float("-inf"), 0.0)

    @property
    def text(self) -> str:
        """How many stages are at their end, and the time."""
        elapsed = f"{clock_text(time.monotonic() - self._start)} elapsed"
        if self._work is None:
            return f"{self._made} stage{'' if self._made == 1 else 's'} made, {elapsed}"
        told = f"{len(self._ended)} of {len(self._work.specs)} stages, {elapsed}"
        return f"{told}, about {duration_text(self._seconds_left(self._work))} left"

    def _seconds_left(self, work: Work) -> float:
        now = time.monotonic()
        if now - self._reckoned[0] >= RECKON_SECONDS:
            factor = self._measured / self._expected
            seconds = {key: expected * factor for key, expected in work.seconds.items()}
            for key, began in self._began.items():
                seconds[key] = self._left.get(key, max(0.0, seconds.get(key, 0.0) - now + began))
            left = wall_seconds(work.specs, seconds, frozenset(self._ended), work.jobs)
            self._reckoned = (now, left)
        return max(0.0, self._reckoned[1] - (now - self._reckoned[0]))


class ProgressView:
    """Shows what the executor reports."""

    def __init__(self, names: Mapping[str, str], console: Console) -> None:
        """Assign; nothing is drawn.

        Args:
            names: What to call the stage of each key; it may grow.
            console: Where to show it. What else is printed meanwhile goes there too.
        """
        self._console = console
        self._names = names
        self._live = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._rates: dict[str, deque[tuple[float, int]]] = {}
        self._began: dict[str, float] = {}
        self._logged: dict[str, float] = {}
        self._outlook = _Outlook()
        self._told = time.monotonic()
        self._bars = _Bars(
            TextColumn("{task.description}", markup=False),
            *([BarColumn(bar_width=18)] if console.width >= BAR_FROM else []),
            # What has no room goes on in the next line; the name stays whole.
            TextColumn("{task.fields[text]}", markup=False, table_column=Column()),
            console=console,
            transient=True,
            disable=not self._live,
        )

    def __enter__(self) -> "ProgressView":
        """Begin to draw."""
        self.tick()
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the live lines."""
        self._bars.stop()

    def expect(self, work: Work) -> None:
        """Take in what there is to make."""
        self._outlook.expect(work)
        self.tick()

    def tick(self) -> None:
        """Let the time go on in the line of all stages."""
        if self._live:
            self._bars.head = self._outlook.text
        elif time.monotonic() - self._told >= LOG_SECONDS:
            self._told = time.monotonic()
            self._console.print(self._outlook.text)

    def show(self, event: StageEvent) -> None:
        """Show one event."""
        key, name = event.spec.key, self._names[event.spec.key]
        match event.kind:
            case "started":
                self._began[key] = self._logged[key] = time.monotonic()
                self._rates[key] = deque()
                self._outlook.begin(key)
                self._take_away(key)
                self._tasks[key] = self._bars.add_task(name, total=None, text="starts")
                if not self._live:
                    self._console.print(f"{name}: starts")
            case "progress" | "held":
                self._progress(event, name)
            case "made" | "reused":
                how = "done" if event.kind == "made" else "made by another process"
                if key in self._began:
                    how += f" in {duration_text(time.monotonic() - self._began[key])}"
                self._take_away(key)
                self._outlook.end(key, is_made=event.kind == "made")
                self._console.print(f"{name}: {how}")
            case "failed":
                self._take_away(key)
                self._outlook.end(key, is_made=False)
                if event.trace:
                    self._console.print(event.trace, style="dim")
                self._console.print(f"{name}: FAILED: {event.note}", style="red")
            case "overtaken" | "still_failed" | "blocked":
                if event.kind != "overtaken":
                    self._outlook.end(key, is_made=False)
                self._console.print(f"{name}: {_SENTENCES[event.kind]}{event.note}", style="red")
        self.tick()

    def _take_away(self, key: str) -> None:
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))

    def _progress(self, event: StageEvent, name: str) -> None:
        key, now = event.spec.key, time.monotonic()
        window = self._rates[key]
        window.append((now, event.done))
        while window[0][0] < now - RATE_WINDOW_SECONDS:
            window.popleft()
        rate = _rate(window)
        self._outlook.see(key, None if rate is None else (event.total - event.done) / rate)
        text = _progress_text(event, rate)
        self._bars.update(
            self._tasks[key], completed=event.done, total=event.total or None, text=text
        )
        if not self._live and now - self._logged[key] >= LOG_SECONDS:
            self._logged[key] = now
            self._console.print(f"{name}: {text}")


@contextmanager
def doing(what: str, console: Console) -> Iterator[None]:
    """Show that a command is at work on something that is no stage.

    Args:
        what: In words, such as "writing report".
        console: Where to show it.
    """
    began = time.monotonic()
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        console.print(f"{what}: starts")
        yield
    console.print(f"{what}: done in {duration_text(time.monotonic() - began)}")


def stage_names(plan: Plan) -> dict[str, str]:
    """A name per stage key: the stage, and the arm, game and seed where they tell stages apart."""
    users: dict[str, list[str]] = {}
    specs: dict[str, StageSpec] = {}
    for arm in plan.with_controls:
        for run in arm.runs:
            for spec in run.stages:
                specs[spec.key] = spec
                users.setdefault(spec.key, []).append(arm.name)
    names = {}
    for key, spec in specs.items():
        arms = list(dict.fromkeys(users[key]))
        names[key] = f"{spec.stage} ({arms[0]})" if len(arms) == 1 else spec.stage
    for arm in plan.with_controls:
        for run in arm.runs:
            for spec in run.stages:
                extra = [arm.game] if len(plan.request.games) > 1 else []
                if len(arm.runs) > 1 and spec.stage not in ("references", "frames"):
                    extra.append(f"seed {run.config.seed}")
                names[spec.key] = " ".join(
                    [names[spec.key].split(" @")[0], *(f"@{part}" for part in extra)]
                )
    for one in plan.players:
        seeds = len(plan.request.seeds) > 1 and one.player == "blind"
        where = f"{one.config.game} @seed {one.config.seed}" if seeds else one.config.game
        names[one.spec.key] = f"returns ({one.title}, {where})"
    return names


def clock_text(seconds: float) -> str:
    """Write a time as a clock does: 0:07, 4:10, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate_text(rate: float) -> str:
    """Write how many units go by in a second, a minute or an hour: three digits at most."""
    per, length = next((one for one in _PERIODS if rate * one[1] >= 1), _PERIODS[-1])
    value, size = rate * length, 0
    while value >= 999.5 and size < len(_SIZES) - 1:
        value, size = value / 1000, size + 1
    return f"{value:.3g}{_SIZES[size]}/{per}"


def _rate(window: "deque[tuple[float, int]]") -> float | None:
    """Units a second, None where none went by."""
    seconds, units = window[-1][0] - window[0][0], window[-1][1] - window[0][1]
    return units / seconds if seconds >= LEAST_SECONDS and units > 0 else None


def _progress_text(event: StageEvent, rate: float | None) -> str:
    if not event.total:
        return event.note
    unit = find_stage_record(event.spec.stage, event.spec.config.get("family", "")).unit
    text = f"{event.done}/{event.total} {unit}"
    if rate is not None:
        text += f"  {rate_text(rate)}  {clock_text((event.total - event.done) / rate)} left"
    return f"{text}  {event.note}".rstrip()
