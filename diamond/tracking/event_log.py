"""The event log of one stage: training metrics and messages as JSON lines; knows no MLflow.

A checkpoint stores the number of bytes that `EventLog.commit` returned. What lies beyond it was
written after the last checkpoint, will be made again by a resumed stage, and must not be read by
anyone else.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diamond.errors import StoreError


@dataclass(frozen=True)
class Event:
    """Metrics at one update.

    Attributes:
        time_ms: Unix time in milliseconds.
        step: Update index, from 0.
        values: Value by metric name; NaN where the logged value was not finite.
    """

    time_ms: int
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Message:
    """A line of text at a time.

    Attributes:
        time_ms: Unix time in milliseconds.
        text: What happened.
    """

    time_ms: int
    text: str


def unix_ms() -> int:
    """Return the wall clock as Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class EventLog:
    """An append-only log owned by one stage; nothing reaches the disk before `commit`."""

    def __init__(self, path: Path, now_ms: Callable[[], int] = unix_ms) -> None:
        """Assign; no file is opened.

        Args:
            path: The file, in an existing folder.
            now_ms: Clock, Unix time in milliseconds.
        """
        self._path = path
        self._now_ms = now_ms
        self._buffer: list[str] = []

    def metric(self, step: int, values: Mapping[str, float]) -> None:
        """Remember metrics of one update; values that are not finite become null in the file.

        Args:
            step: Update index, from 0.
            values: Value by metric name.
        """
        self._buffer.append(event_line(Event(self._now_ms(), step, values)))

    def message(self, text: str) -> None:
        """Remember a message."""
        self._buffer.append(json.dumps({"time": self._now_ms(), "message": text}) + "\n")

    def commit(self) -> int:
        """Append what is remembered and wait until the disk has it.

        Returns:
            The size of the file in bytes: what a checkpoint stores.
        """
        with self._path.open("ab") as file:
            file.write("".join(self._buffer).encode())
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self._buffer.clear()
        return size

    def replace(self, lines: bytes) -> None:
        """Begin the log with complete lines of another one, in place of what it holds.

        Args:
            lines: What `read_lines` returned.
        """
        self._buffer.clear()
        with self._path.open("wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def truncate(self, num_bytes: int) -> None:
        """Cut the log back to a checkpoint, forget what is not committed, drop a torn last line.

        Args:
            num_bytes: What `commit` returned for that checkpoint; 0 for a stage that starts anew.

        Raises:
            StoreError: The file is shorter than that.
        """
        self._buffer.clear()
        size = self._path.stat().st_size if self._path.exists() else 0
        if size < num_bytes:
            raise StoreError(
                f"the event log {self._path} has {size} bytes, its checkpoint says {num_bytes}:"
                " it is damaged.\n  Remove the stage folder; the same command makes it again."
            )
        if size:
            kept = len(read_lines(self._path, num_bytes))
            with self._path.open("r+b") as file:
                file.truncate(kept)
                os.fsync(file.fileno())


def event_line(event: Event) -> str:
    """Return an event as a line of the log, with its line end."""
    values = {
        name: float(value) if math.isfinite(value) else None for name, value in event.values.items()
    }
    return json.dumps({"time": event.time_ms, "step": event.step, "values": values}) + "\n"


def read_lines(path: Path, num_bytes: int | None) -> bytes:
    """Read the complete lines among the first bytes of a log.

    Args:
        path: The log; a missing file reads as empty.
        num_bytes: Committed size that the checkpoint stores; None reads to the end (a stage that is
            done).

    Returns:
        Bytes that end with a line end, or nothing.
    """
    if not path.exists():
        return b""
    with path.open("rb") as file:
        content = file.read(-1 if num_bytes is None else num_bytes)
    return content[: content.rfind(b"\n") + 1]


def parse_events(lines: bytes, path: Path) -> list[Event]:
    """Return the metrics in complete lines of a log, in the order written.

    Args:
        lines: What `read_lines` returned, or its end from some line on.
        path: Where the lines come from, for the error text.

    Raises:
        StoreError: A line is not an event.
    """
    return [
        Event(
            record["time"],
            record["step"],
            {name: math.nan if v is None else float(v) for name, v in record["values"].items()},
        )
        for record in _records(lines, path)
        if "values" in record
    ]


def read_events(path: Path, num_bytes: int | None) -> list[Event]:
    """Read the metrics in the first bytes of a log.

    Args:
        path: The log; a missing file reads as empty.
        num_bytes: Committed size that the checkpoint stores; None reads to the end (a stage that is
            done).

    Raises:
        StoreError: A line is not an event.
    """
    return parse_events(read_lines(path, num_bytes), path)


def read_messages(path: Path, num_bytes: int | None) -> list[Message]:
    """Read the messages in the first bytes of a log; arguments and errors as in `read_events`."""
    return [
        Message(record["time"], record["message"])
        for record in _records(read_lines(path, num_bytes), path)
        if "message" in record
    ]


def _records(lines: bytes, path: Path) -> Iterator[Mapping[str, Any]]:
    for line in lines.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not (
            {"time", "step", "values"} <= record.keys() or {"time", "message"} <= record.keys()
        ):
            raise StoreError(
                f"the event log {path} holds a line that is not an event: {line[:80]!r}.\n"
                "  Remove the stage folder; the same command makes it again."
            )
        yield record
