"""Objects: components against scikit-image, matching against all assignments, closed forms."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from diamond.fidelity.objects import match_objects, object_centroids, score_objects

MASKS = hnp.arrays(np.bool_, (3, 7, 8))


@given(MASKS)
def test_centroids_against_scikit_image(masks: NDArray[np.bool_]) -> None:
    """Frames do not touch each other, corners of pixels do."""
    for min_pixels in (1, 3):
        found = object_centroids(masks, min_pixels)
        for mask, centroids in zip(masks, found, strict=True):
            regions = regionprops(label(mask, connectivity=2))  # type: ignore[no-untyped-call]
            expected = [r.centroid for r in regions if r.area >= min_pixels]
            np.testing.assert_allclose(sorted(map(tuple, centroids)), sorted(expected), rtol=1e-12)


def test_matching_against_all_assignments() -> None:
    """The sum of min(distance, radius) of the chosen pairs is the smallest of all assignments."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        real, imagined = rng.random((4, 2)) * 10, rng.random((5, 2)) * 10
        cut = np.minimum(np.linalg.norm(real[:, None] - imagined[None], axis=-1), 3.0)
        orders = [np.array(order) for order in permutations(range(5), 4)]
        best = min(orders, key=lambda order: cut[np.arange(4), order].sum())
        near = [d for d in cut[np.arange(4), best] if d < 3.0]
        scores = match_objects(real, imagined, 3.0)
        assert scores.recall == len(near) / 4
        assert scores.precision == len(near) / 5
        assert scores.count_error == 1
        # Sums of four float64 terms in another order.
        assert scores.centroid_error == pytest.approx(
            np.mean(near) if near else np.nan, rel=1e-12, nan_ok=True
        )


def blocks(*corners: tuple[int, int]) -> NDArray[np.bool_]:
    """2x2 objects in one frame of 32x32."""
    mask = np.zeros((1, 32, 32), dtype=np.bool_)
    for row, column in corners:
        mask[0, row : row + 2, column : column + 2] = True
    return mask


def test_scores_closed_form() -> None:
    """Of three objects one is exact, one moved by 3, one lost; one imagined object is nowhere."""
    real = blocks((4, 4), (4, 20), (20, 4))
    imagined = blocks((4, 4), (4, 23), (26, 26))
    (scores,) = score_objects(real, imagined)
    assert (scores.precision, scores.recall) == (2 / 3, 2 / 3)
    assert scores.count_error == 0
    assert scores.centroid_error == 1.5
    # Four pixels are an eighth of 32: as far as that is no longer the same object.
    (scores,) = score_objects(blocks((4, 4)), blocks((4, 8)))
    assert (scores.precision, scores.recall) == (0, 0)
    assert np.isnan(scores.centroid_error)


def test_frames_without_objects() -> None:
    some, none = blocks((4, 4)), blocks()
    (lost,), (invented,), (nothing,) = (
        score_objects(some, none), score_objects(none, some), score_objects(none, none),
    )  # fmt: skip
    assert np.isnan(lost.precision) and lost.recall == 0 and lost.count_error == 1
    assert invented.precision == 0 and np.isnan(invented.recall) and invented.count_error == 1
    assert np.isnan([nothing.precision, nothing.recall]).all() and nothing.count_error == 0
    assert list(score_objects(some[:0], some[:0])) == []


def test_wrong_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        score_objects(blocks(), blocks()[:, :8])
    with pytest.raises(ValueError, match="bool"):
        object_centroids(blocks().astype(np.uint8))
