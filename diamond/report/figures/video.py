"""Films of real play as MP4 files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond.engine.files import beside
from diamond.errors import StoreError

SMALLEST_SIDE = 320
"""Rows of a film at least, pixels: every pixel of a frame is a square of two or more."""
VIDEO_SUFFIXES = (".mp4",)
AddFrame = Callable[[NDArray[np.uint8]], None]


@contextmanager
def open_video(path: Path, fps: float, size: tuple[int, int]) -> Iterator[AddFrame]:
    """Open a film to write frames to; it appears at its place when it is whole, or not at all.

    Args:
        path: The file, ending in .mp4.
        fps: Frames in a second.
        size: Height and width of the frames, pixels.

    Yields:
        A function that takes the next frame (height, width, 3) uint8, RGB.

    Raises:
        StoreError: The film cannot be written.
    """
    scale = max(2, -(-SMALLEST_SIDE // size[0]))
    height, width = size[0] * scale, size[1] * scale
    # The library reads the kind of film off the suffix.
    temporary = beside(path).with_suffix(path.suffix)
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    try:
        # Its whole path: `.play:1.mp4` alone is an address to the library.
        writer = cv2.VideoWriter(str(temporary.absolute()), codec, fps, (width, height))
        if not writer.isOpened():
            raise StoreError(
                f"cannot write {str(path)!r}: OpenCV opens no MP4 film there\n"
                "  give another place, or leave --video out"
            )

        def add(frame: NDArray[np.uint8]) -> None:
            writer.write(_enlarged(frame, scale))

        yield add
        writer.release()
        temporary.replace(path)
    finally:
        # An interrupt may come while the library opens the film: it is there then, and no writer.
        temporary.unlink(missing_ok=True)


def _enlarged(frame: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Blue first, as OpenCV has it, and every pixel a square."""
    blue_first = frame[..., ::-1].repeat(scale, axis=0).repeat(scale, axis=1)
    return np.ascontiguousarray(blue_first)
