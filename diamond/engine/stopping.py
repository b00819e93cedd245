"""Whether a process that makes stages is asked to end; no torch."""

import time
from dataclasses import dataclass


@dataclass
class Stopping:
    """Whether the process that makes stages is asked to end. Mutable: a signal says so.

    Attributes:
        is_idle: Whether it makes no stage.
    """

    is_idle: bool = True
    _since: float | None = None

    def ask(self) -> None:
        """Ask, the first time counts."""
        if self._since is None:
            self._since = time.monotonic()

    @property
    def asked(self) -> bool:
        """Whether it is asked to."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """How long ago it was asked, 0 where it was not."""
        return 0.0 if self._since is None else time.monotonic() - self._since
