"""From native frames to what the agent sees: crop, then resize by area.

The same reader for data and references.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond.config.run import ViewConfig


def apply_view(native: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Crop and resize one native frame.

    Args:
        native: Frame of the emulator (210, 160, 3) uint8.
        view: Crop and size.

    Returns:
        Frame (height, width, 3) uint8, resized with INTER_AREA.
    """
    if view.crop is not None:
        top, bottom, left, right = view.crop
        native = native[top:bottom, left:right]
    resized = cv2.resize(native, (view.width, view.height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def apply_view_all(native: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Apply the view to frames (t, 210, 160, 3); returns (t, height, width, 3) uint8."""
    out = np.empty((len(native), view.height, view.width, 3), dtype=np.uint8)
    for index, frame in enumerate(native):
        out[index] = apply_view(frame, view)
    return out
