"""Delta PSNR against scikit-image, and what it must not depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from skimage.metrics import peak_signal_noise_ratio

from diamond.arrays import ByteArray
from diamond.fidelity.counterfactual import (
    changed_pixels,
    delta_psnr,
    delta_psnr_true,
    delta_psnr_true_real,
)
from diamond.fidelity.pixel_oracle import PSNR_CAP_DB

ROUNDING = 1e-9
TRAJECTORIES = hnp.arrays(np.uint8, (4, 2, 7, 7, 3))


def frames_of(seed: int, *leading: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (*leading, 9, 8, 3), dtype=np.uint8)


def psnr_of(first: ByteArray, second: ByteArray) -> float:
    return float(peak_signal_noise_ratio(first, second, data_range=255))  # type: ignore[no-untyped-call]


def test_against_scikit_image() -> None:
    x, x_other, y, y_other = frames_of(0, 4, 3)
    for t in range(3):
        ours = psnr_of(x[t], y[t]) - psnr_of(x[t], y_other[t])
        theirs = psnr_of(x_other[t], y_other[t]) - psnr_of(x_other[t], y[t])
        assert delta_psnr(x, y, y_other)[t] == pytest.approx(ours, rel=ROUNDING)
        got = delta_psnr_true(x, x_other, y, y_other)[t]
        assert got == pytest.approx((ours + theirs) / 2, rel=ROUNDING)
        real = PSNR_CAP_DB - psnr_of(x[t], x_other[t])
        assert delta_psnr_true_real(x, x_other)[t] == pytest.approx(real, rel=ROUNDING)


@given(TRAJECTORIES)
def test_exchanging_branches_and_exchanging_dreams(frames: ByteArray) -> None:
    x, x_other, y, y_other = frames
    score = delta_psnr_true(x, x_other, y, y_other)
    np.testing.assert_array_equal(score, delta_psnr_true(x_other, x, y_other, y))
    np.testing.assert_allclose(score, -delta_psnr_true(x, x_other, y_other, y), atol=ROUNDING)
    assert (np.abs(score[~np.isnan(score)]) <= PSNR_CAP_DB).all()
    # Defined where the two real branches differ, whatever was imagined.
    differ = [not np.array_equal(*pair) for pair in zip(x, x_other, strict=True)]
    assert (~np.isnan(score)).tolist() == differ
    assert (~np.isnan(delta_psnr_true_real(x, x_other))).tolist() == differ


@given(TRAJECTORIES)
def test_a_model_without_an_error_gets_the_real_value_and_one_that_ignores_actions_none(
    frames: ByteArray,
) -> None:
    x, x_other, y, _ = frames
    np.testing.assert_array_equal(
        delta_psnr_true(x, x_other, x, x_other), delta_psnr_true_real(x, x_other)
    )
    assert delta_psnr(x, y, y).tolist() == [0, 0]
    ignores = delta_psnr_true(x, x_other, y, y)
    assert (ignores[~np.isnan(ignores)] == 0).all()


def test_a_difference_that_has_nothing_to_do_with_the_actions_scores_below_a_right_one() -> None:
    """The paddle goes left or right. Following is positive, the other way round negative.

    Moving one that ignores actions is 0: on real frames alone (`delta_psnr`) the same model would
    look as if it followed, for any change makes the wrong branch worse.
    """
    x, x_other, still = np.zeros((3, 1, 9, 8, 3), dtype=np.uint8)
    x[0, 7, 0:3] = 200
    x_other[0, 7, 5:8] = 200
    still[0, 7, 3:5] = 200
    flicker = x.copy()
    flicker[0, 0, 0] = 200
    assert delta_psnr_true(x, x_other, x, x_other) > 0
    assert delta_psnr_true(x, x_other, x_other, x) < 0
    assert delta_psnr_true(x, x_other, still, still) == 0
    assert delta_psnr(x, x, flicker) > 10
    assert delta_psnr_true(x, x_other, x, flicker) < delta_psnr_true(x, x_other, x, x_other) / 2


def test_on_changed_pixels_what_goes_wrong_elsewhere_does_not_count() -> None:
    """Against scikit-image on the cut-out pixels; noise outside of them costs the whole frame."""
    x, x_other, y, y_other = frames_of(0, 4, 1)
    x_other[0] = x[0]
    x_other[0, 2:5, 3:7] += 1
    changed = changed_pixels(x, x_other)
    assert changed.sum() == 12 and changed[0, 2:5, 3:7].all()
    assert not changed_pixels(x, x).any()
    inside = (slice(2, 5), slice(3, 7))
    cut = [frames[0][inside] for frames in (x, x_other, y, y_other)]
    expected = delta_psnr_true(*(frames[None] for frames in cut))
    assert delta_psnr_true(x, x_other, y, y_other, changed) == pytest.approx(expected, rel=ROUNDING)
    real = PSNR_CAP_DB - psnr_of(cut[0], cut[1])
    got = delta_psnr_true_real(x, x_other, changed)
    assert got == pytest.approx(real, rel=ROUNDING)
    y[0], y_other[0] = x[0], x_other[0]
    y[0, 0], y_other[0, 0] = 0, 0
    assert delta_psnr_true(x, x_other, y, y_other, changed) == pytest.approx(real, rel=ROUNDING)
    assert delta_psnr_true(x, x_other, y, y_other) < 1


def test_wrong_input_is_refused() -> None:
    x, y = frames_of(0, 2, 3)
    for bad in (y[:2], y / 255):
        with pytest.raises(ValueError, match="must all be uint8"):
            delta_psnr(x, y, bad)
        with pytest.raises(ValueError, match="must all be uint8"):
            delta_psnr_true(x, bad, y, y)
        with pytest.raises(ValueError, match="must all be uint8"):
            delta_psnr_true_real(x, bad)
    with pytest.raises(ValueError, match="must all be uint8"):
        delta_psnr(x[0], y[0], y[0])
    assert delta_psnr(x[:0], y[:0], y[:0]).shape == (0,)
    assert delta_psnr_true(x[:0], x[:0], y[:0], y[:0]).shape == (0,)
    assert delta_psnr_true_real(x[:0], x[:0]).shape == (0,)
