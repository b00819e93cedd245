"""Live progress on standard error.

One line per running stage on a terminal, one line per event elsewhere.
"""

import time
from collections import deque
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from diamond.engine.executor import StageEvent
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec

LOG_SECONDS = 30.0
RATE_WINDOW_SECONDS = 10.0
_SENTENCES = {"overtaken": "", "still_failed": "failed before: ", "blocked": "not made, "}


class ProgressView:
    """Shows what the executor reports."""

    def __init__(self, names: Mapping[str, str], console: Console) -> None:
        """Assign; nothing is drawn.

        Args:
            names: What to call the stage of each key; it may grow.
            console: Where to show it.
        """
        self._console = console
        self._names = names
        self._live = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._rates: dict[str, deque[tuple[float, int]]] = {}
        self._began: dict[str, float] = {}
        self._logged: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=18),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            transient=True,
            disable=not self._live,
        )

    def __enter__(self) -> "ProgressView":
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the live lines."""
        self._bars.stop()

    def show(self, event: StageEvent) -> None:
        """Show one event."""
        key, name = event.spec.key, self._names[event.spec.key]
        match event.kind:
            case "started":
                self._began[key] = self._logged[key] = time.monotonic()
                self._rates[key] = deque()
                self._tasks[key] = self._bars.add_task(name, total=None, text="starts")
                if not self._live:
                    self._console.print(f"{name}: starts")
            case "progress":
                self._progress(event, name)
            case "made" | "reused":
                seconds = time.monotonic() - self._began[key]
                how = "done" if event.kind == "made" else "made by another process"
                self._bars.remove_task(self._tasks.pop(key))
                self._console.print(f"{name}: {how} in {seconds:.0f} s")
            case "failed":
                if key in self._tasks:
                    self._bars.remove_task(self._tasks.pop(key))
                if event.trace:
                    self._console.print(event.trace, style="dim")
                self._console.print(f"{name}: FAILED: {event.note}", style="red")
            case "overtaken" | "still_failed" | "blocked":
                self._console.print(f"{name}: {_SENTENCES[event.kind]}{event.note}", style="red")

    def _progress(self, event: StageEvent, name: str) -> None:
        key, now = event.spec.key, time.monotonic()
        window = self._rates[key]
        window.append((now, event.done))
        while window[0][0] < now - RATE_WINDOW_SECONDS:
            window.popleft()
        text = _progress_text(event, window)
        self._bars.update(
            self._tasks[key], completed=event.done, total=event.total or None, text=text
        )
        if not self._live and now - self._logged[key] >= LOG_SECONDS:
            self._logged[key] = now
            self._console.print(f"{name}: {text}")


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


def _progress_text(event: StageEvent, window: "deque[tuple[float, int]]") -> str:
    if not event.total:
        return event.note
    text = f"{event.done}/{event.total}"
    seconds, units = window[-1][0] - window[0][0], window[-1][1] - window[0][1]
    if seconds > 0 and units > 0:
        rate = units / seconds
        left = (event.total - event.done) / rate
        text += f"  {rate:.1f}/s  {left // 60:.0f}:{left % 60:02.0f} left"
    return f"{text}  {event.note}"
