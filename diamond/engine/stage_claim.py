"""The claim on a folder: which process may work there; later claims fence earlier ones off.

Claims are numbered files, of which the highest counts: creating the next number is one atomic step
that one process wins. The holder counts up in a file of its own. Who waits watches that counter
with its own monotonic clock, so no time of a file and no wall clock decides. No lock of the file
system is needed. On a network file system a look may be old; each step that counts, the next number
and the rename of a finished stage, is decided by the server.
"""

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from diamond.engine.files import create_json, read_json, read_text, write_json
from diamond.errors import OvertakenError
from diamond.tracking.mounts import network_file_system
from diamond.tracking.owner import current_owner, is_gone, is_here, words_of

HEARTBEAT_SECONDS = 2.0
STALE_SECONDS = 60.0
"""A claim whose counter stands still for this long is taken over, whatever became of its owner."""
CACHED_SECONDS = 90.0
"""More than that on a network file system. A host may see the folder as it was 60 s ago, and the
counter in it as it was 60 s ago (NFS: ``acdirmax`` and ``acregmax``): 150 s are more than both.
"""
WATCH_SECONDS = 0.2
"""Between two looks at claims of other hosts, of which only their counter tells if they live."""
_NAME = re.compile(r"claim-(\d+)\.json")
_BEAT = "beat-"
_PASSED = "another process"
"""The owner of a claim that is listed and gone: nothing is known of who came after it."""


@dataclass(frozen=True)
class Held:
    """A claim as it lies on disk.

    Attributes:
        number: Its place in the order of claims.
        owner: The process, as `current_owner` has it; None once it was released.
        token: Different for every claim.
    """

    number: int
    owner: str | None
    token: str


@dataclass(frozen=True)
class Beat:
    """The sign of life of who holds a claim: it changes as long as that process lives.

    Attributes:
        count: Of signs, from 1 on; 0 where there was none yet.
        seconds: Since the claim was taken, by the holder's own clock.
        done: Units done, for progress.
        total: Units in all.
        note: Of the progress.
    """

    count: int = 0
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    note: str = ""


def stale_seconds(folder: Path) -> float:
    """How long the counter of a claim in a folder stands still until the claim is stale."""
    return STALE_SECONDS + (CACHED_SECONDS if network_file_system(folder) else 0.0)


class Claim:
    """One process' view of the claim on a folder. Mutable: it remembers what it saw, and when.

    Attributes:
        token: Of the claim that this object took, empty before.
        previous: The claim that it took the place of, None where there was none.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is read."""
        self.token = ""
        self.previous: Held | None = None
        self._folder = folder
        self._number = 0
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._moved = False
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._progress = 0, 0, ""
        self._taken_at = 0.0

    def holder(self) -> str | None:
        """Who holds the claim and may be alive, in words; None when it is free or stale."""
        found = self._highest()
        return None if found is None or self._is_free(found) else words_of(str(found.owner))

    @property
    def standing(self) -> str | None:
        """Token of the claim whose counter this object saw last; None where it saw none."""
        return None if self._seen is None else self._seen[0]

    def beat(self) -> Beat:
        """The sign of life of the holder, as `holder` saw it last."""
        if self._seen is None:
            self.holder()
        try:
            told = json.loads(self._seen[1]) if self._seen else None
        except ValueError:
            told = None
        # What cannot be read was being written, or was damaged.
        if not isinstance(told, dict) or told.keys() != asdict(Beat()).keys():
            return Beat()
        return Beat(**told)

    def report(self, done: int, total: int, note: str) -> None:
        """Say how far this process is, which holds the claim; its next beat says so."""
        self._progress = done, total, note

    def try_acquire(self, over: str | None = None) -> bool:
        """Take the claim when it is free or stale; True when this process holds it now.

        A claim is stale when this object saw its counter stand still: it must be asked again and
        again. The claim of a process of this host that ended is free at once.

        Args:
            over: Token of a claim that another object of this machine saw stand still.
        """
        found = self._highest()
        if found is not None and found.token != over and not self._is_free(found):
            return False
        self._number = 1 if found is None else found.number + 1
        self.token, self.previous = uuid4().hex, found
        # The folder goes when another process comes to the end of what is claimed.
        with suppress(FileNotFoundError):
            if create_json(self._path, {"owner": current_owner(), "token": self.token}):
                if self.is_own():
                    self._taken_at = time.monotonic()
                    self._forget_earlier()
                    return True
                self._path.unlink()
        return False

    def is_own(self) -> bool:
        """Whether no other process took over the claim that this object took."""
        found = self._highest()
        return found is not None and found.token == self.token

    def check(self, *, on_disk: bool = False) -> None:
        """Notice that another process took over.

        Args:
            on_disk: Look now; otherwise what the last beat saw counts.

        Raises:
            OvertakenError: The claim is another process'.
        """
        if self._lost.is_set() or (on_disk and not self.is_own()):
            raise OvertakenError(
                f"{self.holder() or 'another process'} took it over, because this process showed "
                f"no sign of life for {stale_seconds(self._folder):.0f} s"
            )

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
            if self.is_own():
                # Nobody needs the note where the folder went with what was claimed.
                with suppress(FileNotFoundError):
                    write_json(self._path, {"owner": None, "token": self.token})

    def lives(self) -> bool | None:
        """Whether the holder lives: known of this host's, of another's once its counter moved.

        False as well where nobody holds it; None where it must be asked again.
        """
        found = self._highest()
        if found is None or self._is_free(found):
            return False
        return True if is_here(str(found.owner)) or self._moved else None

    @property
    def _path(self) -> Path:
        return self._folder / f"claim-{self._number}.json"

    def _highest(self) -> Held | None:
        try:
            found = [_NAME.fullmatch(path.name) for path in self._folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return None
        names = [match for match in found if match]
        if not names:
            return None
        last = max(names, key=lambda match: int(match[1]))
        data = read_json(self._folder / last[0])
        if data is None and not (self._folder / last[0]).exists():
            # A later claim took its place, and the list of names is from before.
            return Held(int(last[1]), _PASSED, _PASSED)
        # What cannot be read was damaged, and nobody holds it.
        data = data if isinstance(data, dict) else {}
        owner, token = data.get("owner"), data.get("token")
        return Held(int(last[1]), owner if isinstance(owner, str) else None, str(token))

    def _is_free(self, found: Held) -> bool:
        if found.owner is None or is_gone(found.owner):
            return True
        now, seen = time.monotonic(), (found.token, self._beats_of(found.token))
        if seen != self._seen:
            self._moved = self._seen is not None and self._seen[0] == found.token
            self._seen, self._seen_at = seen, now
        stood = now - self._seen_at
        return stood > STALE_SECONDS and stood > stale_seconds(self._folder)

    def _beats_of(self, token: str) -> str:
        try:
            return read_text(self._folder / (_BEAT + token))
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def _forget_earlier(self) -> None:
        for path in list(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if (match and int(match[1]) < self._number) or path.name.startswith(_BEAT):
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if not self.is_own():
                self._lost.set()
                return
            count += 1
            beat = Beat(count, round(time.monotonic() - self._taken_at, 1), *self._progress)
            with suppress(FileNotFoundError):
                (self._folder / (_BEAT + self.token)).write_text(json.dumps(asdict(beat)))


def living_holders(claims: Sequence[Claim]) -> list[str | None]:
    """Who holds each claim and lives, in words; None where it is free or stale.

    It waits for the counters of other hosts: until they move, or for `STALE_SECONDS`.
    """
    while any(claim.lives() is None for claim in claims):
        time.sleep(WATCH_SECONDS)
    return [claim.holder() for claim in claims]
