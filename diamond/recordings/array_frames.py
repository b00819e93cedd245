"""Frames of arrays, a block after the other, as RGB of 8 bits."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.data.trajectories import to_levels
from diamond.errors import RequestError

BLOCK = 32
"""Frames that are in memory at a time."""
GREY = "grey frames: their one channel is repeated three times"
OPAQUE = "frames have a fourth channel: left out, it is opaque everywhere"


def check_frames(
    shape: tuple[int, ...], dtype: np.dtype[Any], where: str
) -> tuple[int, tuple[str, ...]]:
    """Check the form of an array of frames.

    Args:
        shape: Of the array.
        dtype: Of the array.
        where: The command and the file, for errors.

    Returns:
        The number of frames, and remarks.

    Raises:
        RequestError: It is no array (t, h, w, 3), nor a grey or an opaque one.
    """
    one = len(shape) == 3 and shape[-1] in (1, 3, 4)
    if one or len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3, 4)):
        hint = ": this is one frame" if one else ""
        if len(shape) == 4 and shape[1] in (1, 3, 4):
            hint = "\n  channels come last: numpy.moveaxis(frames, 1, -1)"
        elif len(shape) == 5:
            hint = "\n  one file, or one group, for each episode"
        raise RequestError(
            f"{where}: 'frames' has the shape {shape}\n"
            f"  allowed: (t, h, w, 3), or (t, h, w) where they are grey{hint}"
        )
    remarks = []
    if len(shape) == 3 or shape[-1] == 1:
        remarks.append(GREY)
    elif shape[-1] == 4:
        remarks.append(OPAQUE)
    if dtype.kind == "f":
        remarks.append("floats from 0 to 1 were rounded to 256 levels")
    return shape[0], tuple(remarks)


def stream(
    blocks: Callable[[], Iterator[NDArray[Any]]], where: str
) -> Callable[[], Iterator[ByteArray]]:
    """Make what reads the frames of an episode.

    Args:
        blocks: Reads (b, h, w, c) or (b, h, w), one after the other.
        where: The command and the file, for errors.

    Returns:
        See `RecordedEpisode.frames`. It raises `RequestError` where a type, a range or a
        transparency is not allowed.
    """

    def frames() -> Iterator[ByteArray]:
        for block in blocks():
            yield from _rgb(block, where)

    return frames


def slices(array: NDArray[Any], size: int = BLOCK) -> Iterator[NDArray[Any]]:
    """Read an array (t, ...) in blocks of `size` along its first axis."""
    for first in range(0, len(array), size):
        yield array[first : first + size]


def _rgb(block: NDArray[Any], where: str) -> ByteArray:
    if block.ndim == 3:
        block = block[..., None]
    if block.shape[-1] == 1:
        block = np.repeat(block, 3, axis=-1)
    if block.shape[-1] == 4:
        opaque = 255 if block.dtype == np.uint8 else 1
        if (block[..., 3] != opaque).any():
            raise RequestError(
                f"{where}: 'frames' has a fourth channel that is not {opaque} everywhere\n"
                "  allowed: RGB, grey, or RGB with a fourth channel that is opaque; one image an "
                "env step: a stack of frames holds several"
            )
        block = block[..., :3]
    return to_levels(block, where)[0]
