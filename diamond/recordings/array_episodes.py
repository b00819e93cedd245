"""Episodes in `.npz` files, and in folders of `.npy` files."""

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from diamond.data.trajectories import read_array
from diamond.errors import RequestError
from diamond.recordings.array_frames import BLOCK, check_frames, slices, stream
from diamond.recordings.raw_episodes import FLAG, RawEpisode

FRAMES, ACTIONS, REWARDS, ENDS = "frames", "actions", "rewards", "terminated"
FORM = (
    f"{FRAMES!r} (t, h, w, 3) uint8, {ACTIONS!r} (t - 1), where they are known also {REWARDS!r} "
    f"and {ENDS!r} (t - 1)"
)


def read_npz(path: Path) -> RawEpisode:
    """Open an episode of one `.npz` file; its frames are read from the file when asked for.

    Raises:
        RequestError: The file is damaged, or does not hold an episode.
    """
    where = f"{FLAG} {str(path)!r}"
    with _reading(where), ZipFile(path) as file:
        held = [name.removesuffix(".npy") for name in file.namelist()]
        need_arrays(held, where)
        with file.open(f"{FRAMES}.npy") as member:
            shape, _, dtype = _header(member, where)
    num_frames, remarks = check_frames(shape, dtype, where)

    def small(name: str) -> NDArray[Any] | None:
        return read_array(path, FLAG, name) if name in held else None

    return RawEpisode(
        path.stem,
        where,
        num_frames,
        stream(lambda: _member_blocks(path, where), where),
        read_array(path, FLAG, ACTIONS),
        small(REWARDS),
        small(ENDS),
        remarks=remarks,
    )


def read_npy_folder(folder: Path) -> RawEpisode:
    """Open an episode of a folder of `.npy` files; its frames stay on disk.

    Raises:
        RequestError: A file is damaged or missing, or has another form.
    """
    where = f"{FLAG} {str(folder)!r}"
    need_arrays([path.stem for path in folder.iterdir() if path.suffix == ".npy"], where)
    frames = read_array(folder / f"{FRAMES}.npy", FLAG)
    num_frames, remarks = check_frames(frames.shape, frames.dtype, where)

    def small(name: str) -> NDArray[Any] | None:
        path = folder / f"{name}.npy"
        return read_array(path, FLAG) if path.exists() else None

    return RawEpisode(
        folder.name,
        where,
        num_frames,
        stream(lambda: slices(frames), where),
        read_array(folder / f"{ACTIONS}.npy", FLAG),
        small(REWARDS),
        small(ENDS),
        remarks=remarks,
    )


def need_arrays(held: Sequence[str], where: str) -> None:
    """Refuse what holds no frames or no actions.

    Args:
        held: Names of arrays.
        where: The command and the file, for errors.

    Raises:
        RequestError: One of the two is not among them.
    """
    for name in (FRAMES, ACTIONS):
        if name not in held:
            raise RequestError(
                f"{where} has no array {name!r}; it holds {', '.join(sorted(held)) or 'nothing'}\n"
                f"  allowed: {FORM}"
            )


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise RequestError(f"{where} is damaged or cut: {error}\n  write it again") from error


def _header(member: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type of the array at the start of a file."""
    version = npy_format.read_magic(member)
    read = (
        npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read(member)
    if dtype.hasobject:
        raise RequestError(
            f"{where}: {FRAMES!r} holds Python objects\n  allowed: uint8 from 0 to 255, or floats "
            "from 0 to 1: numpy.stack(list of frames)"
        )
    return shape, is_fortran, dtype


def _member_blocks(path: Path, where: str) -> Iterator[NDArray[Any]]:
    with _reading(where), ZipFile(path) as file, file.open(f"{FRAMES}.npy") as member:
        shape, is_fortran, dtype = _header(member, where)
        if is_fortran:
            # Its frames are not one after the other in the file.
            yield from slices(read_array(path, FLAG, FRAMES))
            return
        size = math.prod(shape[1:]) * dtype.itemsize
        for first in range(0, shape[0], BLOCK):
            num = min(BLOCK, shape[0] - first)
            data = member.read(num * size)
            if len(data) < num * size:
                raise EOFError(f"frame {first + len(data) // size} is missing")
            yield np.frombuffer(data, dtype).reshape(num, *shape[1:])
        member.read(1)  # The checksum is compared at the end alone.
