"""Scores of frames that are cells of a palette: is each cell what it is in the real frame?"""

import numpy as np

from diamond.arrays import BoolArray, ByteArray, FloatArray, IntArray
from diamond.data.reference_files import View


def nearest_colours(frames: ByteArray, palette: ByteArray) -> IntArray:
    """The colour of a palette that each pixel is nearest to, by Euclidean distance in RGB.

    Args:
        frames: uint8 (..., 3).
        palette: uint8 (k, 3).

    Returns:
        (...,), numbers from 0 to k - 1; of equally near colours the first.
    """
    differences = (frames.astype(np.int32) - colour for colour in palette.astype(np.int32))
    distances = np.stack([np.square(found).sum(axis=-1) for found in differences])
    numbers: IntArray = distances.argmin(axis=0)
    return numbers


def score_cells(view: View, imagined: ByteArray, palette: ByteArray) -> dict[str, FloatArray]:
    """The share of cells with the colour of the real frame.

    Every pixel counts alike, so that cells do where each is equally many. A cell has changed where
    the real frame differs from the real frame before it, which at time step 1 is the last one of
    the context. An event is a time step whose action earned a reward other than 0 or, the one step
    that is scored though it is not valid, ended the episode.

    Args:
        view: The references; their frames have colours of the palette alone.
        imagined: uint8 (n, t, h, w, 3).
        palette: uint8 (k, 3).

    Returns:
        (n, t) for all cells of valid steps, for those that have changed, and for those that have
        changed at events; from 0 to 1, NaN where there is none.
    """
    shape = view.valid.shape
    scores = {
        name: np.full(shape, np.nan)
        for name in ("cell_accuracy", "cell_accuracy_changed", "cell_accuracy_events")
    }
    for start, valid in enumerate(view.valid):
        real = np.concatenate([view.context[start, -1:], view.targets[start]])
        shown = nearest_colours(real, palette)
        right = shown[1:] == nearest_colours(imagined[start], palette)
        changed = _share(right, shown[1:] != shown[:-1])
        earned = view.rewards[start]
        events = view.ends[start] | (valid & (earned != 0) & ~np.isnan(earned))
        scores["cell_accuracy"][start] = np.where(valid, right.mean(axis=(1, 2)), np.nan)
        scores["cell_accuracy_changed"][start] = np.where(valid, changed, np.nan)
        scores["cell_accuracy_events"][start] = np.where(events, changed, np.nan)
    return scores


def _share(right: BoolArray, among: BoolArray) -> FloatArray:
    """The share that is right of the cells (t, h, w) in a mask, (t,); NaN where it is empty."""
    count = among.sum(axis=(1, 2))
    share = np.full(len(count), np.nan)
    np.divide((right & among).sum(axis=(1, 2)), count, out=share, where=count > 0)
    return share
