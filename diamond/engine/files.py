"""Files that are either whole or absent: write beside, then rename."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from diamond.errors import StoreError

CHUNK_BYTES = 1 << 20


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
    """Write plain data as JSON unless the file exists; of several processes one returns True."""
    temporary = _write_beside(path, _json(data).encode())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file; None when it is absent, not readable as JSON, or cut.

    Raises:
        StoreError: The system does not let it be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read {str(path)!r}: {error.strerror or error}\n"
            "  give a folder that you may read and write with --home"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing, until the block ends.

    What is in the file stays.
    """
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Hold the lock of a file together with others that use it, until the block ends."""
    with path.open("a") as stream:
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
    """A hidden name beside a file that no other process and no later call gives."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")


def _write_beside(path: Path, data: bytes, temporary: Path | None = None) -> Path:
    temporary = beside(path) if temporary is None else temporary
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return temporary
