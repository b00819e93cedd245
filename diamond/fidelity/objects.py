"""Objects of a frame: connected components of its foreground, and how well two frames agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from diamond.arrays import BoolArray, FloatArray

# Small objects are what games turn on: at 32x32 the ball of Breakout is one pixel.
MIN_OBJECT_PIXELS = 1
# Farther apart than this share of the shorter side, two objects are not the same one.
MATCH_RADIUS = 1 / 8


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """How the objects of an imagined frame agree with those of the real one.

    Attributes:
        precision: Share of imagined objects that stand for a real one; NaN without imagined ones.
        recall: Share of real objects that an imagined one stands for; NaN without real ones.
        count_error: Difference of their numbers, at least 0.
        centroid_error: Mean distance of the centroids of pairs, in pixels; NaN without pairs.
    """

    precision: float
    recall: float
    count_error: float
    centroid_error: float


def object_centroids(masks: BoolArray, min_pixels: int = MIN_OBJECT_PIXELS) -> list[FloatArray]:
    """Centroids of the objects of many frames.

    Args:
        masks: Foregrounds, bool (n, h, w).
        min_pixels: Smaller components are no objects, at least 1.

    Returns:
        For every frame (k, 2): row and column of the centroid of each 8-connected component, in
        pixels; k = 0 for an empty mask.

    Raises:
        ValueError: When masks are not bool (n, h, w).
    """
    if masks.dtype != np.bool_ or masks.ndim != 3:
        raise ValueError(f"masks must be bool (n, h, w), got {masks.dtype} {masks.shape}")
    if not len(masks):
        return []
    touching = np.zeros((3, 3, 3), dtype=np.bool_)
    touching[1] = True  # neighbours within a frame, never across frames
    labels, count = ndimage.label(masks, touching)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    kept = 1 + np.flatnonzero(areas[1:] >= min_pixels)
    centroids = np.array(ndimage.center_of_mass(masks, labels, kept)).reshape(-1, 3)
    frames = np.rint(centroids[:, 0])
    return [centroids[frames == index, 1:] for index in range(len(masks))]


def match_objects(real: FloatArray, imagined: FloatArray, radius: float) -> ObjectScores:
    """Pair the objects of two frames and compare them.

    The assignment makes the sum of min(distance, radius) over all pairs smallest; pairs nearer than
    the radius count.

    Args:
        real: Centroids of the real frame, (k, 2) in pixels.
        imagined: Centroids of the imagined frame, (m, 2).
        radius: In pixels, above 0.

    Source: the assignment of Schuhmacher, Vo and Vo (2008), A consistent metric for performance
        evaluation of multi-object filters, order 1.
    """
    distances = np.linalg.norm(real[:, None] - imagined[None], axis=-1)
    cut = np.minimum(distances, radius)
    pairs = linear_sum_assignment(cut)
    near = distances[pairs][distances[pairs] < radius]
    return ObjectScores(
        precision=len(near) / len(imagined) if len(imagined) else np.nan,
        recall=len(near) / len(real) if len(real) else np.nan,
        count_error=float(abs(len(imagined) - len(real))),
        centroid_error=float(near.mean()) if len(near) else np.nan,
    )


def score_objects(real: BoolArray, imagined: BoolArray) -> Sequence[ObjectScores]:
    """Compare the objects of frames, one by one.

    Args:
        real: Foregrounds of the real frames, bool (n, h, w).
        imagined: Foregrounds of the imagined frames, same shape.

    Returns:
        n scores; pairs are nearer than an eighth of the shorter side.

    Raises:
        ValueError: When masks are not bool (n, h, w) of one shape.
    """
    if real.shape != imagined.shape:
        raise ValueError(f"masks must have one shape, got {real.shape} and {imagined.shape}")
    radius = MATCH_RADIUS * min(real.shape[1:])
    both = zip(object_centroids(real), object_centroids(imagined), strict=True)
    return [match_objects(x, y, radius) for x, y in both]
