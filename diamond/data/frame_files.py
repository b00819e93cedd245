"""Frames on disk: deflated, and read episode by episode.

A file is an ordinary .npz: ``numpy.load(path)["3"]`` gives the frames of episode 3 and reads no
other. Which episode is which is said by the JSON file beside it. Imagined frames are stored start
by start in the same way.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

DEFLATE_LEVEL = 3
"""Of the levels that write as fast as the first one, that with the smallest native frames."""


class Frames(Protocol):
    """Frames (t, h, w, 3) uint8, in memory or on disk."""

    def __array__(self, dtype: Any = None, /, *, copy: bool | None = None) -> NDArray[np.uint8]:
        """All of them."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """Some of them."""
        ...

    def __len__(self) -> int:
        """How many they are."""
        ...


@dataclass(frozen=True)
class StoredFrames:
    """The frames of an episode in a file; they are decoded whenever they are asked for.

    Attributes:
        episode: Number in the file.
    """

    path: Path
    episode: int

    def __array__(self, dtype: Any = None, /, *, copy: bool | None = None) -> NDArray[np.uint8]:
        """All of them, (t, h, w, 3) uint8.

        Raises:
            ValueError: The file is damaged.
        """
        with self._stream() as stream:
            frames: NDArray[np.uint8] = np.lib.format.read_array(stream, allow_pickle=False)
        return frames

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """Some of them; only the first ones are decoded where ``[:n]`` is asked for."""
        if rows.start is not None or rows.step is not None or rows.stop is None or rows.stop < 0:
            return np.asarray(self)[rows]
        with self._stream() as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            shape = (min(rows.stop, shape[0]), *shape[1:])
            read = np.frombuffer(stream.read(prod(shape)), dtype)
        return read.reshape(shape).copy()

    @contextmanager
    def _stream(self) -> Iterator[IO[bytes]]:
        try:
            with ZipFile(self.path) as file, file.open(f"{self.episode}.npy") as stream:
                yield stream
        except (BadZipFile, ZlibError, EOFError, KeyError) as error:
            raise ValueError(f"{self.path.name}, episode {self.episode}: {error}") from error

    def __len__(self) -> int:
        """How many they are; all are decoded."""
        return len(np.asarray(self))


class FrameWriter:
    """Writes a file, an episode at a time; equal frames give equal bytes."""

    def __init__(self, path: Path) -> None:
        """Begin the file."""
        self._file = ZipFile(path, "w", ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL)

    def write(self, episode: int, frames: Frames) -> None:
        """Write the frames of an episode, (..., t, h, w, 3) uint8, under its number."""
        array = np.asarray(frames)
        assert array.dtype == np.uint8 and array.ndim >= 4
        with self._file.open(f"{episode}.npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array(stream, array, allow_pickle=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def stored_episodes(path: Path) -> list[int]:
    """Numbers of the episodes in a file, in the order written."""
    with ZipFile(path) as file:
        return [int(name.removesuffix(".npy")) for name in file.namelist()]


def write_stack(path: Path, stack: Iterable[NDArray[np.uint8]]) -> None:
    """Write n times frames (..., t, h, w, 3) uint8, each under its number."""
    with FrameWriter(path) as file:
        for number, frames in enumerate(stack):
            file.write(number, frames)


def read_stack(path: Path) -> NDArray[np.uint8]:
    """All frames that `write_stack` wrote, (n, ..., t, h, w, 3) uint8, decoded into memory.

    Raises:
        ValueError: The file is damaged.
    """
    frames = np.empty((0, 0, 0, 0, 3), dtype=np.uint8)
    numbers = stored_episodes(path)
    for number in numbers:
        found = np.asarray(StoredFrames(path, number))
        if not number:
            frames = np.empty((len(numbers), *found.shape), dtype=np.uint8)
        frames[number] = found
    return frames


def read_episodes(path: Path, lengths: Sequence[int]) -> NDArray[np.uint8]:
    """The frames of all episodes of a file, one after the other.

    Args:
        lengths: Frames of each episode.

    Returns:
        (sum of the lengths, h, w, 3) uint8.

    Raises:
        ValueError: The file is damaged, or has other episodes.
    """
    frames = np.empty((0, 0, 0, 3), dtype=np.uint8)
    row = 0
    for episode, length in enumerate(lengths):
        found = np.asarray(StoredFrames(path, episode))
        if not episode:
            frames = np.empty((sum(lengths), *found.shape[1:]), dtype=np.uint8)
        frames[row : row + length] = found
        row += length
    return frames
