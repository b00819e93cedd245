"""What of a run was sent to a tracking store and what is still to be sent, as pure functions.

Training curves are sent from event logs, horizon curves and summaries as lines of the same form. A
mark says which bytes of a source are in the store; it is kept with the run and makes an import
incremental, repeatable and safe to kill.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diamond.errors import StoreError
from diamond.tracking.event_log import Event, event_line, parse_events, read_lines
from diamond.tracking.mlflow_records import StageEvents, TrackedRun

CURVES = "curves"
_SENDING = " sending"


class Point(NamedTuple):
    """One value of one metric; two equal points are one row of a store."""

    name: str
    value: float
    time_ms: int
    step: int


@dataclass(frozen=True)
class Source:
    """Metrics as event lines.

    Attributes:
        name: Stage name, or `CURVES`.
        prefix: Put before each metric name.
        lines: Complete lines of an event log.
        path: The log, for error texts.
    """

    name: str
    prefix: str
    lines: bytes
    path: Path


def sources_of(run: TrackedRun) -> tuple[Source, ...]:
    """Read the event logs of a run and lay its curves and summary beside them.

    Raises:
        StoreError: The log of a finished stage is not as it was written.
        AssertionError: A name is both a curve and a summary, or a stage occurs twice or is called
            `CURVES`.
    """
    stages = [Source(s.stage, f"{s.stage}/", _lines_of(s), s.path) for s in run.stages]
    names = [source.name for source in stages] + [CURVES]
    assert len(names) == len(set(names)), f"stage names of {run.name} are not distinct: {names}"
    # What a run was made for comes first: MLflow lists metrics in the order of their coming.
    return (Source(CURVES, "", _curve_lines(run), Path(CURVES)), *stages)


def _lines_of(events: StageEvents) -> bytes:
    """The committed lines of a log; none where it is no longer the log of its checkpoint."""
    lines = read_lines(events.path, events.num_bytes)
    if hashlib.sha256(lines).hexdigest() == events.digest:
        return lines
    if events.num_bytes is None:
        raise StoreError(
            f"the event log {str(events.path)!r} is not as it was written\n"
            "  run the study's command again: it makes the stage again"
        )
    return b""


def mark_of(source: Source, *, sent: bool) -> str:
    """Return the mark to keep before (`sent` false) and after the source is sent."""
    return f"{len(source.lines)} {_digest(source.lines)}{'' if sent else _SENDING}"


def sent_bytes(source: Source, mark: str | None) -> int | None:
    """Compare a source with the mark of what was sent before.

    Args:
        source: The source as it is now.
        mark: What the store holds for its name, if anything.

    Returns:
        How many of its bytes need not be sent again, or None if the store holds points that the
        source no longer has. An empty source takes nothing back: its stage has not come to it yet.
    """
    if mark is None or not source.lines:
        return 0
    size, digest = mark.removesuffix(_SENDING).split()
    if len(source.lines) < int(size) or _digest(source.lines[: int(size)]) != digest:
        return None
    return 0 if mark.endswith(_SENDING) else int(size)


def points_from(source: Source, num_bytes: int) -> list[Point]:
    """Return the points after the first bytes of a source.

    Raises:
        StoreError: A line is not an event.
    """
    return [
        Point(source.prefix + name, value, event.time_ms, event.step)
        for event in parse_events(source.lines[num_bytes:], source.path)
        for name, value in event.values.items()
    ]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _curve_lines(run: TrackedRun) -> bytes:
    both = run.curves.keys() & run.summary.keys()
    assert not both, f"names of {run.name} are both curve and summary: {sorted(both)}"
    values_at: dict[int, dict[str, float]] = {
        0: {name: value for name, value in run.summary.items() if not math.isnan(value)}
    }
    for name, curve in run.curves.items():
        for step, value in enumerate(curve, start=1):
            if value is not None and not math.isnan(value):
                values_at.setdefault(step, {})[name] = value
    return "".join(
        event_line(Event(run.time_ms, step, values))
        for step, values in sorted(values_at.items())
        if values
    ).encode()
