"""Colours of games made of cells: one colour a channel, far apart from one another."""

import numpy as np
from numpy.typing import NDArray

COLOURS: NDArray[np.uint8] = np.array(
    [
        (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0),
        (255, 0, 255), (0, 255, 255), (255, 128, 0), (128, 0, 255), (0, 128, 64),
    ],
    dtype=np.uint8,
)  # fmt: skip
"""(11, 3) uint8: the empty cell, then channels in their order; neighbours differ by 127 or more."""


def paint(cells: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw cells of several channels as one frame.

    Args:
        cells: (h, w, c) bool, c at most 10; where channels overlap the last one is seen.

    Returns:
        (h, w, 3) uint8.
    """
    numbers = np.max(cells * np.arange(1, cells.shape[-1] + 1), axis=-1)
    drawn: NDArray[np.uint8] = COLOURS[numbers]
    return drawn
