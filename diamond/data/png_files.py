"""A frame of a PNG file, or exactly why it cannot be read."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from diamond.arrays import ByteArray
from diamond.errors import RequestError

IMAGE_SUFFIX = ".png"


@dataclass(frozen=True)
class Picture:
    """A frame, and what the file had of it.

    Attributes:
        frame: (h, w, 3) uint8, RGB.
        channels: Of the file: 1 grey, 3 RGB, 4 RGB that is opaque everywhere.
    """

    frame: ByteArray
    channels: int


def read_picture(path: Path, flag: str) -> Picture:
    """Read a PNG of 8 bits.

    Args:
        path: The file.
        flag: The option that names it, for errors.

    Raises:
        RequestError: It is damaged, has 16 bits, or is transparent in places.
    """
    where = f"{flag} {str(path)!r}"
    found = cv2.imread(_opencv_name(path, flag), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise RequestError(f"{where} cannot be read as a PNG: it is damaged or cut")
    levels = found[..., None] if found.ndim == 2 else found
    channels = levels.shape[2]
    if found.dtype != np.uint8 or channels not in (1, 3, 4):
        raise RequestError(
            f"{where} has {channels} channels of {found.dtype}\n"
            "  allowed: 8-bit RGB or grey, without transparency"
        )
    if channels == 4 and levels[..., 3].min() < 255:
        raise RequestError(
            f"{where} is transparent in places, and no background is known\n"
            "  allowed: 8-bit RGB or grey; draw it on a background"
        )
    if channels == 1:
        return Picture(np.repeat(np.asarray(levels, dtype=np.uint8), 3, axis=2), 1)
    return Picture(np.ascontiguousarray(levels[..., 2::-1], dtype=np.uint8), channels)


def _opencv_name(path: Path, flag: str) -> str:
    """The name of a file for OpenCV.

    Raises:
        RequestError: It is no text, which would end the process inside OpenCV.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{flag} {str(path)!r}: the name is not UTF-8\n  OpenCV cannot open it: rename it"
        ) from error
    return str(path.absolute())
