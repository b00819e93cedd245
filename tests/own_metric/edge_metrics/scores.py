"""How far apart the edges of real and imagined frames are."""

import numpy as np
from numpy.typing import NDArray


def edge_error(real: NDArray[np.uint8], imagined: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean difference of the steps from pixel to pixel, over rows, columns and channels.

    Args:
        real: uint8 (t, h, w, 3).
        imagined: uint8 (t, h, w, 3).

    Returns:
        float64 (t,), in levels of 0 to 255.
    """
    apart: NDArray[np.float64] = np.abs(_edges(real) - _edges(imagined)).mean(axis=(1, 2, 3))
    return apart


def _edges(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.abs(np.diff(frames.astype(np.float64), axis=2))
