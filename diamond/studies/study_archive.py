"""The file in which a study travels: a zip archive of JSON, .npz and .safetensors, with an index.

The index names every file with its digest. Nothing is taken from an archive that is not as it was
written, and nothing of it is written outside the folder that is given.
"""

import errno
import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from diamond import __version__
from diamond.engine.files import CHUNK_BYTES, beside
from diamond.engine.home import FORMAT as HOME_FORMAT
from diamond.engine.sealed_json import is_whole, sealed
from diamond.errors import RequestError, StoreError, nearest

KIND = "diamond-study"
FORMAT = 1
INDEX = "index.json"
_LEVEL = 6
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all files in an archive: equal studies give equal bytes."""
_MODE = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True)
class Parcel:
    """An archive that was opened and whose index is as it was written.

    Attributes:
        digests: SHA-256 of every file in it, by its place.
    """

    path: Path
    study: str
    digests: Mapping[str, str]
    _archive: ZipFile

    def unpack(self, folder: Path) -> None:
        """Write all files below a folder.

        Raises:
            StoreError: One is not as it was written.
        """
        for name, expected in self.digests.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                reading(self.path),
                target.open("xb") as copy,
                self._archive.open(name) as source,
            ):
                found = _copied(source, copy)
            if found != expected:
                raise damaged(self.path, f"{name} differs from its digest")


def write_parcel(target: Path, study: str, files: Mapping[str, Path]) -> None:
    """Write an archive: it is there whole, or not at all.

    Args:
        files: What goes into it, by its place there.

    Raises:
        RequestError: The file exists.
    """
    temporary = beside(target)
    try:
        digests = {}
        with ZipFile(temporary, "x", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, path in sorted(files.items()):
                with (
                    path.open("rb") as file,
                    archive.open(_entry(name, path.stat().st_size), "w") as member,
                ):
                    digests[name] = _copied(file, member)
            index = {"kind": KIND, "format": FORMAT, "home_format": HOME_FORMAT}
            index |= {"version": __version__, "study": study, "digests": digests}
            archive.writestr(_entry(INDEX), json.dumps(sealed(index), indent=1))
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.link(temporary, target)
    except FileExistsError:
        raise exists(target) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_parcel(path: Path) -> Iterator[Parcel]:
    """Open an archive and read its index.

    Raises:
        RequestError: There is no such file.
        StoreError: It is none, is damaged or cut, or another version wrote it.
    """
    if not path.is_file():
        raise _missing(path)
    with reading(path):
        archive = ZipFile(path)
    with archive:
        with reading(path):
            index = _index(path, archive)
        yield Parcel(path, index["study"], index["digests"], archive)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a cut or damaged archive raises into an error of the user.

    Raises:
        StoreError: It is damaged.
    """
    try:
        yield
    except (BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise damaged(path, str(error)) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # A place before the beginning of the file.
            raise
        raise damaged(path, "a file in it has no place") from None


def exists(target: Path) -> RequestError:
    """The error for a file that would be written over."""
    return RequestError(f"{str(target)!r} exists; it is not overwritten\n  give another name")


def damaged(path: Path, why: str) -> StoreError:
    """The error for a file that is not what `diamond export-study` wrote."""
    return StoreError(
        f"{str(path)!r} is cut, damaged, or not a file of `diamond export-study`: {why}\n"
        "  copy it once more, or export the study again; nothing was imported"
    )


def _missing(path: Path) -> RequestError:
    folder = path.absolute().parent
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    match = nearest(path.name, names)
    guess = f" Did you mean {str(path.with_name(match))!r}?" if match else ""
    return RequestError(
        f"there is no file {str(path)!r}.{guess}\n"
        "  make one where the study is: diamond export-study STUDY FILE"
    )


def _index(path: Path, archive: ZipFile) -> Mapping[str, Any]:
    try:
        index = json.loads(archive.read(INDEX))
    except (KeyError, ValueError, RecursionError):
        raise damaged(path, f"it has no {INDEX} that can be read") from None
    if not is_whole(index) or index.get("kind") != KIND:
        raise damaged(path, f"its {INDEX} is not as it was written")
    if (index["format"], index["home_format"]) != (FORMAT, HOME_FORMAT):
        raise StoreError(
            f"{str(path)!r} was written by diamond {index['version']}, for homes of format "
            f"{index['home_format']}; this one, {__version__}, reads format {HOME_FORMAT}\n"
            "  import it with the version that wrote it, or make the study again with this one"
        )
    entries = archive.infolist()
    for entry in entries:
        if not _is_plain(entry):
            raise damaged(path, f"{entry.filename!r} is not the place of a file in a study")
    names = sorted(entry.filename for entry in entries)
    if names != sorted([INDEX, *index["digests"]]):
        raise damaged(path, "its files are not those that its index names")
    return dict(index)


def _is_plain(entry: ZipInfo) -> bool:
    """Whether an entry is a file below the folder that it is unpacked into, and no link."""
    parts = PurePosixPath(entry.filename).parts
    relative = "/".join(parts) == entry.filename and not {"..", ".", "/"} & set(parts)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    return relative and "\\" not in entry.orig_filename and not link


def _entry(name: str, num_bytes: int = 0) -> ZipInfo:
    entry = ZipInfo(name, _EPOCH)
    entry.file_size = num_bytes
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
    return entry


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a stream to its end; the SHA-256 of what was copied."""
    hasher = sha256()
    while chunk := source.read(CHUNK_BYTES):
        hasher.update(chunk)
        target.write(chunk)
    return hasher.hexdigest()
