"""The lock of a stage.

A file with host, process and heartbeat, so that no stage is made twice at once.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diamond.pipeline.files import locked, read_json, write_json
from diamond.tracking.owner import current_owner, is_gone

HEARTBEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
"""A claim that shows no sign of life for this long is taken over, whatever became of its owner."""


class Claim:
    """The claim file of one stage folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "claim.json"
        self._guard = folder / ".claim.guard"
        self._stop = threading.Event()

    def holder(self) -> str | None:
        """Who holds the claim and is alive, in words; None when it is free or stale."""
        data = read_json(self._path)
        if data is None or _is_stale(self._path, str(data["owner"])):
            return None
        host, pid, _ = str(data["owner"]).rsplit(":", 2)
        return f"process {pid} on {host}"

    def try_acquire(self) -> bool:
        """Take the claim when it is free or stale; True when this process holds it now."""
        with locked(self._guard):
            if self.holder() is not None:
                return False
            write_json(self._path, {"owner": current_owner()})
        return True

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Beat until the block ends, then release; the claim must be held.

        A claim that another process took over meanwhile, because this one slept, is left to it.
        """
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            self._stop.set()
            beat.join()
            if self._is_own():
                self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS) and self._is_own():
            os.utime(self._path)

    def _is_own(self) -> bool:
        data = read_json(self._path)
        return data is not None and data["owner"] == current_owner()


def _is_stale(path: Path, owner: str) -> bool:
    if is_gone(owner):
        return True
    try:
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return True
