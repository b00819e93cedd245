"""What starts workers on other machines: a scheduler, of which this says what is needed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

TAIL_LINES = 8


class Launcher(Protocol):
    """Starts processes of ``diamond work``, and tells which of them are there.

    It keeps what it must know in the study's folder: the command may die and be started again, on
    another machine too.
    """

    def submit(self, count: int) -> None:
        """Start some workers.

        Raises:
            EngineError: The scheduler refuses.
        """

    def alive(self) -> int:
        """Workers of the study that run or wait to run, whoever submitted them.

        Raises:
            EngineError: The scheduler does not answer.
        """

    def fate(self) -> str:
        """How the last ones that ended did so, for people; empty where that is not known."""

    def dismiss(self) -> None:
        """End the workers that wait to run: nothing is left for them."""

    def cancel(self) -> None:
        """End all workers of the study; each saves the stage that it makes."""

    def told(self) -> Sequence[str]:
        """Lines for people: what runs where, how to look at it, where it logs."""


def end_of_last(logs: Iterable[Path]) -> list[str]:
    """How the log ends that was written last, as lines for people; none where there is no log."""
    last = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    if last is None:
        return []
    tail = last.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return [f"{last} ends:", *(f"  {line}" for line in tail)]
