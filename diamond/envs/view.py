"""From native frames to what the agent sees: crop, resize, then colour.

The same reader for data and references.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig

RESIZE = {"area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST_EXACT}


def apply_view(native: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Crop, resize and colour one native frame.

    Args:
        native: Frame of the game (h, w, 3) uint8.
        view: Crop, size and colours.

    Returns:
        Frame (height, width, 3) uint8.

    Raises:
        ValueError: The crop is not within the frame.
    """
    view.check_native(native.shape[:2])
    if view.crop is not None:
        top, bottom, left, right = view.crop
        native = native[top:bottom, left:right]
    seen = cv2.resize(native, (view.width, view.height), interpolation=RESIZE[view.resize])
    if view.colour == "grey":
        seen = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(seen, dtype=np.uint8)


def apply_view_all(native: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Apply the view to frames (t, h, w, 3); returns (t, height, width, 3) uint8."""
    out = np.empty((len(native), view.height, view.width, 3), dtype=np.uint8)
    for index, frame in enumerate(native):
        out[index] = apply_view(frame, view)
    return out
