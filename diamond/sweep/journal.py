"""A journal file of Optuna that survives processes killed while they write to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from diamond.engine.files import CHUNK_BYTES, locked
from diamond.errors import StoreError
from diamond.tracking.mounts import network_file_system

LOCAL_GRACE_SECONDS = 3
"""How long a link that a killed process left behind stops others: the least that Optuna takes."""
NETWORK_GRACE_SECONDS = 30
"""The same on a network file system, where a write may take long: what Optuna has by default."""
_BEGINNING = b'{"op_code":'


class Journal(JournalFileBackend):
    """Appends whole lines after whole lines, one process at a time.

    Optuna's own lock, a link beside the file, keeps out everyone, a dashboard of the user's own
    included; whoever is killed holding it leaves it behind, and it is taken away after a grace
    period. On a local disk a lock of the kernel is held around it, which ends with its process:
    a process that is only stopped keeps its turn among those that use this class.

    A process that is killed, or meets a full disk, may leave half a line. Nobody was told that it
    is stored, and it would spoil the line that follows: it is cut off before the next one.
    """

    def __init__(self, path: Path) -> None:
        """Make the file where it is missing and its folder exists.

        Args:
            path: The file, absolute: the link points to it, and Optuna measures by the link
                whether its owner is still at work.
        """
        self._path = path
        self._local = network_file_system(path) is None
        grace = LOCAL_GRACE_SECONDS if self._local else NETWORK_GRACE_SECONDS
        self._link = JournalFileSymlinkLock(str(path), grace_period=grace)
        super().__init__(str(path), self._link)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Store operations; they are on disk when this returns."""
        with self._turn():
            self._cut_half_line()
            super().append_logs(logs)

    def mend(self) -> None:
        """Cut off half a last line.

        Raises:
            StoreError: The file is something else than a journal.
        """
        with self._turn():
            self._cut_half_line()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._local:
            yield
            return
        with locked(self._path):
            yield

    def _cut_half_line(self) -> None:
        if _whole_bytes(self._path) is None:
            return
        self._link.acquire()
        try:
            # Somebody with Optuna's lock alone may have been writing a moment ago.
            if (whole := _whole_bytes(self._path)) is not None:
                with self._path.open("r+b") as stream:
                    stream.truncate(whole)
        finally:
            self._link.release()


def first_bad_line(path: Path) -> int | None:
    """Return the number, from 1, of the first whole line that is not JSON; None where all are."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                json.loads(line)
            except ValueError:
                return number if line.endswith(b"\n") else None
    return None


def _whole_bytes(path: Path) -> int | None:
    """Return the length of all whole lines where half a line follows them, else None.

    Raises:
        StoreError: It is no journal, and nothing may be cut off it.
    """
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        if end == 0:
            return None
        stream.seek(0)
        beginning = stream.read(len(_BEGINNING))
        if not _BEGINNING.startswith(beginning):
            raise StoreError(
                f"{str(path)!r} is no journal of Optuna.\n"
                "  Choose another file with --storage; one that does not exist yet is made."
            )
        while end > 0:
            start = max(0, end - CHUNK_BYTES)
            stream.seek(start)
            chunk = stream.read(end - start)
            at = chunk.rfind(b"\n")
            if at >= 0:
                whole = start + at + 1
                return None if whole == stream.seek(0, 2) else whole
            end = start
    return 0
