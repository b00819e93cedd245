"""Files that are either whole or absent: write beside, then rename."""

import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from diamond.errors import StoreError
from diamond.tracking.mounts import file_system

CHUNK_BYTES = 1 << 20
NAME_BYTES = 255
"""What Linux allows the name of a file."""
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z.-]")
_MISSING = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EPERM}
)
"""How file systems say that they have no locks, or no links."""


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader or a crash never sees half of it."""
    _write_beside(path, text.encode()).replace(path)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files: every one is complete beside its place before the first takes it.

    Raises:
        OSError: The system refused; what was begun is removed.
    """
    begun: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            begun[path] = beside(path)
            _write_beside(path, data, begun[path])
        for path, temporary in begun.items():
            temporary.replace(path)
    finally:
        for temporary in begun.values():
            temporary.unlink(missing_ok=True)


def write_json(path: Path, data: object) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, _json(data))


def create_json(path: Path, data: object) -> bool:
    """Write plain data as JSON unless the file exists; of several processes one returns True.

    The answer of a file server may be lost. The system asks again then and hears that the file
    exists, also where this call made it: the number of links tells.

    Source: open(2), on O_EXCL and NFS.
    """
    temporary = _write_beside(path, _json(data).encode())
    try:
        os.link(temporary, path)
    except FileExistsError:
        # Opening asks the server: a number of links from before may still be in memory.
        with temporary.open("rb") as stream:
            return os.fstat(stream.fileno()).st_nlink > 1
    finally:
        temporary.unlink(missing_ok=True)
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file; None when it is absent, not readable as JSON, or cut.

    Raises:
        StoreError: The system does not let it be read.
    """
    try:
        return json.loads(read_text(path))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read {str(path)!r}: {error.strerror or error}\n"
            "  give a folder that you may read and write with --home"
        ) from error


def read_text(path: Path) -> str:
    """Read a text file, again where another host put a new one in its place meanwhile.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        # A file server forgets the old file at once, though this process has it open.
        if error.errno != errno.ESTALE:
            raise
        return path.read_text(encoding="utf-8")


def rename_to_new(folder: Path, target: Path) -> bool:
    """Rename a folder that is not empty; False, and nothing happens, where the target exists.

    Where the answer of a file server was lost, the system asks again and hears that the folder is
    not there: its number tells whether it is in its new place.
    """
    number = folder.stat().st_ino
    try:
        folder.rename(target)
    except FileNotFoundError:
        if not target.exists() or target.stat().st_ino != number:
            raise
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing, until the block ends.

    What is in the file stays.
    """
    with path.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Hold the lock of a file together with others that use it, until the block ends."""
    # On NFS, a file must be open for reading to be locked so.
    with path.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def is_in_use(path: Path) -> bool:
    """Whether some process holds the lock of a file; nobody holds one that is absent."""
    try:
        with path.open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def check_file_system(folder: Path) -> None:
    """Find out whether files of a folder can be locked and linked; nothing stays there.

    Args:
        folder: Where it does not exist, the one in which it would be made is tried.

    Raises:
        StoreError: Its file system lacks what keeps commands apart.
        OSError: The system refuses something else.
    """
    absolute = folder.absolute()
    place = next(one for one in (absolute, *absolute.parents) if one.exists())
    probe, link = beside(place / "probe"), beside(place / "probe")
    probe.touch()
    lacks = "locks (flock)"
    try:
        with locked(probe):
            pass
        with in_use(probe):
            pass
        lacks = "hard links"
        os.link(probe, link)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        kind = file_system(folder)
        raise StoreError(
            f"the file system of {str(folder)!r}{f' ({kind})' if kind else ''} has no {lacks}: "
            f"{error.strerror}\n"
            "  commands that share a home keep out of each other's way with them\n"
            "  give a folder on another file system with --home, or mount this one with them "
            "(Lustre: -o flock; NFS: with its lock service)"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
        link.unlink(missing_ok=True)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a folder; blocks of zeros take no room in the copy.

    Args:
        source: What vanishes from it meanwhile is left out.
        target: Must not exist.
    """
    target.mkdir()
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        with suppress(FileNotFoundError):
            if path.is_dir():
                copy.mkdir()
                continue
            with path.open("rb") as old, copy.open("wb") as new:
                while chunk := old.read(CHUNK_BYTES):
                    if chunk.count(0) == len(chunk):
                        new.seek(len(chunk), os.SEEK_CUR)
                    else:
                        new.write(chunk)
                new.truncate(new.tell())


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    hasher = sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def _json(data: object) -> str:
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def beside(path: Path) -> Path:
    """A hidden name beside a file that no other process, host and later call gives."""
    host = _NOT_IN_NAMES.sub("_", socket.gethostname())
    end = f".{host}-{os.getpid()}-{uuid4().hex[:12]}.tmp"
    start = os.fsencode(path.name)[: NAME_BYTES - 1 - len(end)]
    return path.with_name(f".{start.decode(errors='ignore')}{end}")


def _write_beside(path: Path, data: bytes, temporary: Path | None = None) -> Path:
    temporary = beside(path) if temporary is None else temporary
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary
