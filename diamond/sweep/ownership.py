"""Which process works on which trial, and for how long a sweep was at work; no Optuna here.

A home may lie on a file system that several machines share: claims are files with a heartbeat.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from diamond.config.base import content_hash
from diamond.engine.files import locked, read_json, write_json
from diamond.engine.sealed_json import is_whole, sealed
from diamond.engine.stage_claim import Claim, living_holders
from diamond.engine.study_history import WORK_NAME
from diamond.errors import StoreError
from diamond.tracking.owner import current_owner

TRIALS = "trials"
ASK_LOCK = ".ask.lock"
WORK_SECONDS = 5.0
"""Time between two notes that a command is at work."""


class Ledger:
    """The claims and working hours of a sweep, in its folder."""

    def __init__(self, folder: Path) -> None:
        """Name the study's folder; nothing is written."""
        self._folder = folder
        name = content_hash({"owner": current_owner(), "began": time.time()})[:16]
        self._work = folder / WORK_NAME / f"{name}.json"
        self._began = time.time()
        self._noted = 0.0
        self._claims: dict[int, Claim] = {}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Hold the lock under which trials are given out, until the block ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / ASK_LOCK):
            yield

    def take(self, number: int) -> Claim | None:
        """Take a trial that nobody works on; the caller holds the lock of `asking`.

        Returns:
            The claim; None where someone works on it.
        """
        folder = self._folder / TRIALS / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        # The same claim each time: it sees whether another host shows signs of life.
        claim = self._claims.setdefault(number, Claim(folder))
        return self._claims.pop(number) if claim.try_acquire() else None

    def others(self, numbers: Iterable[int]) -> list[int]:
        """Of some trials those that other processes work on, as far as can be seen."""
        found = list(numbers)
        claims = [self._claims.get(n, Claim(self._folder / TRIALS / str(n))) for n in found]
        return [n for n, who in zip(found, living_holders(claims), strict=True) if who is not None]

    def close(self, number: int) -> None:
        """Forget a trial that has come to its end."""
        shutil.rmtree(self._folder / TRIALS / str(number), ignore_errors=True)

    def note_work(self, at_end: bool = False) -> None:
        """Write down that this command is at work, every few seconds."""
        now = time.time()
        if at_end or now - self._noted >= WORK_SECONDS:
            self._work.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._work, sealed({"began": self._began, "last": now}))
            self._noted = now

    def hours(self) -> float:
        """Hours during which at least one command was at work on the sweep.

        Raises:
            StoreError: The note of a command is damaged.
        """
        spans = []
        for path in (self._folder / WORK_NAME).glob("*.json"):
            data = read_json(path)
            if not is_whole(data):
                raise StoreError(
                    f"the working hours in {str(path)!r} are not as they were written\n"
                    "  delete the file: the hours of that command do not count then"
                )
            spans.append((float(data["began"]), float(data["last"])))
        return union_seconds(spans) / 3600


def union_seconds(spans: list[tuple[float, float]]) -> float:
    """Length of the union of intervals, seconds."""
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total
