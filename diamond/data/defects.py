"""Known defects of imagined frames, for positive controls: what a metric should be able to tell."""

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from diamond.config.scoring import Defect
from diamond.data.action_space import ActionArray

BLUR_PIXELS = 1.0
"""Standard deviation of the Gaussian of `blurred`."""
_REACH = 3
"""Pixels to each side that the Gaussian is cut at."""


def shuffled(actions: ActionArray, defect: Defect) -> ActionArray:
    """Actions (n, t) or (n, t, k); with `actions_shuffled`, those of the start before."""
    return np.roll(actions, 1, axis=0) if defect == "actions_shuffled" else actions


def spoilt(frames: NDArray[np.uint8], last: NDArray[np.uint8], defect: Defect) -> NDArray[np.uint8]:
    """Imagined frames with the defect that is made once they are drawn.

    Args:
        frames: (..., t, h, w, 3), of one start.
        last: (h, w, 3), the real frame before the first of them.

    Returns:
        Of the same shape.
    """
    match defect:
        case "none" | "actions_shuffled":
            return frames
        case "lagged":
            first = np.broadcast_to(last, frames[..., :1, :, :, :].shape)
            return np.concatenate([first, frames[..., :-1, :, :, :]], axis=-4)
        case "blurred":
            return blurred(frames)
        case _:
            assert_never(defect)


def blurred(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (..., h, w, 3) under a Gaussian; the outermost pixels go on beyond the edge."""
    offsets = np.arange(-_REACH, _REACH + 1)
    kernel = np.exp(-0.5 * (offsets / BLUR_PIXELS) ** 2)
    smooth = frames.astype(np.float64)
    for axis in (-3, -2):
        size = frames.shape[axis]
        near = [np.clip(np.arange(size) + offset, 0, size - 1) for offset in offsets]
        taken = (np.take(smooth, places, axis=axis) for places in near)
        smooth = sum(w * one for w, one in zip(kernel / kernel.sum(), taken, strict=True))
    return np.rint(smooth).astype(np.uint8)
