"""Fidelity metrics against scikit-image, closed forms and properties."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from diamond.arrays import BoolArray, ByteArray, FloatArray
from diamond.data.reference_files import median_background
from diamond.fidelity.pixel_oracle import (
    PSNR_CAP_DB,
    colour_shift,
    core_ratio,
    foreground,
    foreground_iou,
    hf_energy,
    hf_ratio,
    l1,
    ms_ssim,
    mse,
    psnr,
    score_frame,
    ssim,
    ssim_map,
)

# Sums of a few thousand float64 terms in another order.
ROUNDING = 1e-9

MASKS = hnp.arrays(np.bool_, (2, 6, 6))
FRAMES = hnp.arrays(np.uint8, (8, 9, 3))


def random_bytes(seed: int, *leading: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (*leading, 16, 20, 3), dtype=np.uint8)


def random_frame(seed: int) -> FloatArray:
    return np.random.default_rng(seed).random((16, 20, 3))


def reference_psnr(real: FloatArray, imagined: FloatArray) -> float:
    return float(peak_signal_noise_ratio(real, imagined, data_range=1.0))  # type: ignore[no-untyped-call]


def frame_with_object(contrast: float, column: int = 4) -> FloatArray:
    """A 4x4 object of some contrast on black, 16x20."""
    frame = np.zeros((16, 20, 3))
    frame[6:10, column : column + 4] = contrast
    return frame


def test_psnr_against_scikit_image() -> None:
    real, imagined = random_frame(0), random_frame(1)
    expected = reference_psnr(real, imagined)
    assert psnr(real, imagined) == pytest.approx(expected, rel=ROUNDING)


def test_masked_psnr_and_l1_against_the_cut_out_pixels() -> None:
    real, imagined = random_frame(0), random_frame(1)
    mask = np.zeros((16, 20), dtype=np.bool_)
    mask[3:9, 5:11] = True
    inside = (slice(3, 9), slice(5, 11))
    expected = reference_psnr(real[inside], imagined[inside])
    assert psnr(real, imagined, mask) == pytest.approx(expected, rel=ROUNDING)
    expected_l1 = np.abs(real[inside] - imagined[inside]).mean()
    assert l1(real, imagined, mask) == pytest.approx(expected_l1, rel=ROUNDING)


def test_psnr_closed_forms() -> None:
    """An error of 0.1 everywhere is 20 dB; a tiny one is capped; l1 is the error itself."""
    real = np.full((8, 8, 3), 0.5)
    assert psnr(real, real + 0.1) == pytest.approx(20.0, rel=ROUNDING)
    assert l1(real, real - 0.1) == pytest.approx(0.1, rel=ROUNDING)
    assert psnr(real, real + 1e-5) == PSNR_CAP_DB


def test_psnr_cap_is_what_rounding_to_bytes_costs() -> None:
    """A million uniform values give the mean squared error to .1%, that is .004 dB."""
    exact = np.random.default_rng(0).random((600, 600, 3))
    error = np.mean((np.rint(exact * 255) / 255 - exact) ** 2)
    assert -10 * np.log10(error) == pytest.approx(PSNR_CAP_DB, abs=0.03)


def test_ssim_against_scikit_image() -> None:
    real, imagined = random_frame(0), 0.5 * random_frame(0) + 0.5 * random_frame(1)
    expected, expected_map = structural_similarity(  # type: ignore[no-untyped-call]
        real, imagined, data_range=1.0, channel_axis=-1, win_size=7, full=True
    )
    assert ssim(real, imagined) == pytest.approx(expected, rel=ROUNDING)
    np.testing.assert_allclose(ssim_map(real, imagined), expected_map, rtol=ROUNDING)
    mask = np.random.default_rng(2).random((16, 20)) < 0.3
    total = sum(expected_map[y, x].sum() for y, x in np.argwhere(mask))
    assert ssim(real, imagined, mask) == pytest.approx(total / (3 * mask.sum()), rel=ROUNDING)


def test_ssim_closed_form_of_flat_frames() -> None:
    """Without variance the luminance term is left: (2ab + C1) / (a^2 + b^2 + C1), C1 = .01^2."""
    a, b = 0.2, 0.6
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    got = ssim(np.full((9, 9, 3), a), np.full((9, 9, 3), b))
    # Variances are differences of squares and leave some 1e-16 beside C2 = 9e-4.
    assert got == pytest.approx(expected, abs=1e-10)


def test_foreground_takes_any_channel_and_is_strict() -> None:
    background = np.full((2, 2, 3), 0.5)
    frame = background.copy()
    frame[0, 0, 2] += 0.2
    frame[0, 1, 0] -= 0.2
    frame[1, 0] += 0.05
    expected = [[True, True], [False, False]]
    assert foreground(frame, background).tolist() == expected
    assert foreground(np.stack([frame, background]), background).sum(axis=(1, 2)).tolist() == [2, 0]
    assert not foreground(frame, background, 0.3).any()


@pytest.mark.parametrize(("level", "is_foreground", "is_core"), [
    (25, False, False), (26, True, False), (76, True, False), (77, True, True),
])  # fmt: skip
def test_thresholds_in_levels(level: int, is_foreground: bool, is_core: bool) -> None:
    """The thresholds .1 and .3 are 25.5 and 76.5 levels."""
    background = np.zeros((16, 20, 3), dtype=np.uint8)
    real = background.copy()
    real[5, 5, 1] = level
    scores = score_frame(real, real, background)
    assert np.isnan(scores["core_ratio_real"]) == (not is_foreground)
    if is_foreground:
        assert scores["core_ratio_real"] == float(is_core)


def test_iou_closed_form() -> None:
    """Two 4x4 squares, two columns apart, share 8 of 24 pixels."""
    real, imagined = frame_with_object(1.0, column=4), frame_with_object(1.0, column=6)
    black = np.zeros_like(real)
    assert foreground_iou(foreground(real, black), foreground(imagined, black)) == 8 / 24


@given(MASKS)
def test_iou_properties(masks: BoolArray) -> None:
    first, second = masks
    value = foreground_iou(first, second)
    if not masks.any():
        assert np.isnan(value)
        return
    assert 0 <= value <= 1
    assert value == foreground_iou(second, first)
    assert (value == 1) == np.array_equal(first, second)


def test_half_transparent_object_has_a_lower_core_ratio() -> None:
    """Contrast 1, .8, .6, .4 in four columns; halved, only the first two stay above .3."""
    real = frame_with_object(1.0)
    real[6:10, 4:8] = np.array([1.0, 0.8, 0.6, 0.4])[None, :, None]
    black = np.zeros_like(real)
    assert core_ratio(real, black) == 1.0
    assert core_ratio(real / 2, black) == 0.5
    assert np.isnan(core_ratio(black, black))


def test_psnr_favours_the_blur_and_core_ratio_the_sampler() -> None:
    """The object is at one of two places with equal odds, contrast c, area A of N pixels.

    The mean over futures errs by c/2 on 2A pixels. A sampler that draws a place is right half of
    the time, else it errs by c on 2A pixels: twice the expected squared error, 3.01 dB less.
    """
    left, right = frame_with_object(0.5, column=2), frame_with_object(0.5, column=12)
    black = np.zeros_like(left)
    blur = (left + right) / 2
    real = np.stack([left, left, right, right])
    sampled = np.stack([left, right, left, right])
    psnr_blur = psnr(real, np.broadcast_to(blur, real.shape))
    psnr_sampler = psnr(real, sampled)
    assert psnr_blur == pytest.approx(-10 * np.log10(0.25**2 * 32 / 320), rel=ROUNDING)
    assert psnr_blur - psnr_sampler == pytest.approx(10 * np.log10(2), rel=ROUNDING)
    assert core_ratio(blur, black) == 0.0
    assert core_ratio(sampled, black) == core_ratio(real, black) == 1.0


def test_empty_mask_is_undefined() -> None:
    real, imagined = random_frame(0), random_frame(1)
    empty = np.zeros((16, 20), dtype=np.bool_)
    assert np.isnan([f(real, imagined, empty) for f in (psnr, ssim, l1)]).all()


@given(FRAMES, FRAMES)
def test_identical_frames_are_perfect(frame: ByteArray, background: ByteArray) -> None:
    scores = score_frame(frame, frame, background)
    assert scores["psnr"] == PSNR_CAP_DB
    assert scores["l1"] == 0
    assert scores["ssim"] == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_equal(scores["core_ratio"], scores["core_ratio_real"])
    if not np.isnan(scores["foreground_iou"]):
        assert scores["foreground_iou"] == 1
        assert scores["psnr_fg"] == PSNR_CAP_DB
        assert scores["ssim_fg"] == pytest.approx(1.0, abs=1e-12)


@given(FRAMES, FRAMES)
def test_scores_stay_in_their_ranges(real: ByteArray, imagined: ByteArray) -> None:
    scores = score_frame(real, imagined, np.zeros_like(real))
    assert 0 <= scores["psnr"] <= PSNR_CAP_DB
    assert 0 <= scores["l1"] <= 1
    # SSIM is a product of two ratios of at most 1 in size; rounding may exceed it.
    assert -1 - 1e-9 <= scores["ssim"] <= 1 + 1e-9
    assert scores["psnr"] == score_frame(imagined, real, np.zeros_like(real))["psnr"]


def test_score_frame_agrees_with_the_single_metrics() -> None:
    real, imagined, background = random_bytes(0, 3)
    x, y, z = (frame / 255 for frame in (real, imagined, background))
    mask = foreground(x, z)
    expected = {
        "psnr": psnr(x, y),
        "ssim": ssim(x, y),
        "l1": l1(x, y),
        "mse": mse(x, y),
        "psnr_fg": psnr(x, y, mask),
        "ssim_fg": ssim(x, y, mask),
        "l1_fg": l1(x, y, mask),
        "mse_fg": mse(x, y, mask),
        "foreground_iou": foreground_iou(mask, foreground(y, z)),
        "core_ratio": core_ratio(y, z),
        "core_ratio_real": core_ratio(x, z),
        "colour_shift": colour_shift(x, y),
        "hf_ratio": hf_ratio(x, y),
        "hf_ratio_real": 1.0,
    }
    scores = score_frame(real, imagined, background)
    # 16 x 20 pixels have no third scale that a window fits in.
    assert np.isnan([scores.pop("ms_ssim"), scores.pop("ms_ssim_fg")]).all()
    assert scores == pytest.approx(expected, rel=ROUNDING)


def test_foreground_mask_comes_from_the_real_frame_alone() -> None:
    """An object that only the arm shows is outside the mask: it costs PSNR, not foreground PSNR."""
    background = np.zeros((16, 20, 3), dtype=np.uint8)
    real, imagined = background.copy(), background.copy()
    real[2:6, 2:6] = imagined[2:6, 2:6] = 200
    imagined[10:14, 10:14] = 200
    scores = score_frame(real, imagined, background)
    assert scores["psnr_fg"] == PSNR_CAP_DB
    assert scores["l1_fg"] == 0
    assert scores["psnr"] < PSNR_CAP_DB
    assert scores["foreground_iou"] == 0.5


def test_median_background_removes_what_moves() -> None:
    """An object that is nowhere for half of the time leaves no trace."""
    background = random_bytes(0)
    frames = np.repeat(background[None], 5, axis=0)
    for index in range(5):
        frames[index, 3, 2 * index : 2 * index + 2] ^= 255
    assert median_background(frames).dtype == np.uint8
    assert np.array_equal(median_background(frames), background)


def window_terms(real: FloatArray, imagined: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Luminance and contrast-structure terms of all windows that fit, from their definition."""
    x, y = (
        sliding_window_view(frame, (7, 7), axis=(0, 1)).reshape(
            *np.subtract(frame.shape, (6, 6, 0)), 49
        )
        for frame in (real, imagined)
    )
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    covariance = ((x - mean_x[..., None]) * (y - mean_y[..., None])).sum(-1) / 48
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (x.var(-1, ddof=1) + y.var(-1, ddof=1) + c2)
    return luminance, structure


def halved(frame: FloatArray) -> FloatArray:
    even = frame[:, : frame.shape[1] // 2 * 2]
    small = cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float64)


def test_ms_ssim_against_its_definition() -> None:
    """28 x 33 pixels: the smallest height that has a third scale, and an odd width."""
    rng = np.random.default_rng(0)
    real = rng.random((28, 33, 3))
    imagined = 0.6 * real + 0.4 * rng.random((28, 33, 3))
    expected, x, y = 1.0, real, imagined
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001)):
        luminance, structure = window_terms(x, y)
        term = structure if scale < 2 else luminance * structure
        expected *= term.mean() ** (weight / (0.0448 + 0.2856 + 0.3001))
        x, y = halved(x), halved(y)
    assert 0.5 < expected < 0.99
    assert ms_ssim(real, imagined) == pytest.approx(expected, rel=ROUNDING)


def test_ms_ssim_on_a_mask() -> None:
    """What is outside the mask, and outside the windows around it, does not count."""
    rng = np.random.default_rng(0)
    real = rng.random((64, 64, 3))
    imagined = real.copy()
    imagined[:, :16] = rng.random((64, 16, 3))
    mask = np.zeros((64, 64), dtype=np.bool_)
    mask[20:30, 40:50] = True
    assert ms_ssim(real, imagined, mask) == pytest.approx(1.0, rel=ROUNDING)
    mask[20:30, 0:10] = True
    assert ms_ssim(real, imagined, mask) < 0.9
    assert np.isnan(ms_ssim(real, imagined, np.zeros((64, 64), dtype=np.bool_)))


def test_ms_ssim_of_opposites_is_zero_and_of_small_frames_undefined() -> None:
    """The mean structure of a frame and its negative is below 0, which has no fractional power."""
    frame = np.random.default_rng(0).random((40, 40, 3))
    assert ms_ssim(frame, 1 - frame) == 0.0
    assert np.isnan(ms_ssim(frame[:27], frame[:27]))
    assert ms_ssim(frame[:28], frame[:28]) == pytest.approx(1.0, rel=ROUNDING)


def test_colour_shift_closed_form() -> None:
    """Moving pixels changes no mean colour; adding (.1, .2, .2) shifts it by .3."""
    frame = 0.5 * random_frame(0)
    assert colour_shift(frame, frame[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert colour_shift(frame, frame + np.array([0.1, 0.2, 0.2])) == pytest.approx(
        0.3, rel=ROUNDING
    )


@pytest.mark.parametrize(("cycles", "is_high"), [(4, False), (5, True)])
def test_high_frequencies_of_a_wave(cycles: int, is_high: bool) -> None:
    """Of 16 pixels more than 4 cycles are high; by Parseval the energy is (h w)^2 a^2 / 2."""
    wave = 0.5 + 0.25 * np.cos(2 * np.pi * cycles * np.arange(16) / 16)
    frame = np.repeat(np.broadcast_to(wave, (16, 16))[..., None], 3, axis=-1)
    expected = 3 * 256**2 * 0.25**2 / 2 if is_high else 0.0
    assert hf_energy(frame) == pytest.approx(expected, rel=ROUNDING)
    assert hf_energy(frame.transpose(1, 0, 2)) == pytest.approx(expected, rel=ROUNDING)


def test_hf_ratio_is_below_one_for_blur_and_above_for_noise() -> None:
    """Halving the contrast quarters the energy; averaging neighbours lowers it; noise raises it."""
    frame = random_frame(0)
    assert hf_ratio(frame, 0.5 * frame) == pytest.approx(0.25, rel=ROUNDING)
    assert hf_ratio(frame, (frame + np.roll(frame, 1, axis=0)) / 2) < 0.8
    assert hf_ratio(frame, frame + random_frame(1)) > 1.5
    assert np.isnan(hf_ratio(np.full((9, 9, 3), 0.3), frame[:9, :9]))


def test_wrong_input_is_refused() -> None:
    real, background = random_bytes(0, 4), random_bytes(1)
    with pytest.raises(ValueError, match="imagined must be uint8"):
        score_frame(real[0], real[0, :8], background)
    with pytest.raises(ValueError, match="real must be uint8"):
        score_frame(real[0] / 255, real[0], background)
    with pytest.raises(ValueError, match=r"at least 7 x 7 pixels, .* got 6 x 20"):
        score_frame(real[0, :6], real[0, :6], background[:6])
    with pytest.raises(ValueError, match="frames must be uint8"):
        median_background(real[:0])
