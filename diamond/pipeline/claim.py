"""The lock of a stage: a file with host, process and heartbeat, so that no stage is made twice at once."""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diamond.pipeline.files import read_json

HEARTBEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
"""A claim from another host that shows no sign of life for this long is taken over."""


def process_start(pid: int) -> str | None:
    """When a process of this host began, as the kernel counts; None when it does not run.

    On a system without /proc the answer for a living process is an empty text.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return ""
    return None if fields[0] == "Z" else fields[19]


class Claim:
    """The claim file of one stage folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "claim.json"
        self._guard = folder / ".claim.guard"
        self._stop = threading.Event()

    def holder(self) -> str | None:
        """Who holds the claim and is alive, in words; None when it is free or stale."""
        data = read_json(self._path)
        if data is None or _is_stale(self._path, data):
            return None
        return f"process {data['pid']} on {data['host']}"

    def try_acquire(self) -> bool:
        """Take the claim when it is free or stale; True when this process holds it now."""
        with self._guarded():
            if self.holder() is not None:
                return False
            content = {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started": process_start(os.getpid()),
            }
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(content))
            temporary.replace(self._path)
        return True

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Beat until the block ends, then release; the claim must be held."""
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            self._stop.set()
            beat.join()
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            os.utime(self._path)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._guard.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _is_stale(path: Path, data: dict[str, object]) -> bool:
    if data.get("host") == socket.gethostname():
        pid = data.get("pid")
        return not isinstance(pid, int) or process_start(pid) != data.get("started")
    try:
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return True
