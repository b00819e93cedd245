"""Per-frame fidelity metrics of imagined against real frames; no averages and no intervals.

One frame at a time, with scikit-image: the oracle of `diamond.fidelity.pixel_metrics`. Objects are
in `diamond.fidelity.objects`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity

from diamond.arrays import BoolArray, ByteArray, FloatArray

# Both thresholds fall between two 8-bit levels (25.5 and 76.5): float rounding moves no pixel.
FOREGROUND_THRESHOLD = 0.1
CORE_THRESHOLD = 0.3
# Rounding to 8 bits alone is an error of variance 1/12 level^2: 10 log10(12 * 255^2) = 58.9 dB.
# More cannot be told from rounding, and without a cap one exact frame makes every mean infinite.
PSNR_CAP_DB = 58.9

WINDOW = 7
SSIM_K1, SSIM_K2 = 0.01, 0.03
# The first three of the five weights of Wang et al. (2003), so that they sum to 1.
MS_SSIM_WEIGHTS: tuple[float, ...] = tuple(w / 0.6305 for w in (0.0448, 0.2856, 0.3001))
# Cycles per pixel: half of the Nyquist frequency.
HF_CUTOFF = 0.25
# Share of all energy, far above rounding in float64 and far below one level in one pixel.
HF_FLOOR = 1e-12


def foreground(
    frame: FloatArray, background: FloatArray, threshold: float = FOREGROUND_THRESHOLD
) -> BoolArray:
    """Return where a frame differs from the background by more than a threshold in any channel.

    Args:
        frame: (..., h, w, 3) in [0, 1].
        background: (h, w, 3) in [0, 1].
        threshold: Difference, in (0, 1).

    Returns:
        bool (..., h, w).
    """
    differs: BoolArray = np.any(np.abs(frame - background) > threshold, axis=-1)
    return differs


def foreground_iou(real_mask: BoolArray, imagined_mask: BoolArray) -> float:
    """Intersection over union of two masks of equal shape, in [0, 1]; NaN when both are empty."""
    union = np.count_nonzero(real_mask | imagined_mask)
    return np.count_nonzero(real_mask & imagined_mask) / union if union else np.nan


def core_ratio(frame: FloatArray, background: FloatArray) -> float:
    """Sharpness of objects: the share of the foreground that clearly differs from the background.

    A blurred or half-transparent object has a wide faint rim and a small core.

    Args:
        frame: (..., h, w, 3) in [0, 1].
        background: (h, w, 3) in [0, 1].

    Returns:
        Pixels above 0.3 over pixels above 0.1 in any channel, in [0, 1]; NaN when none is above
        0.1.
    """
    num_foreground = np.count_nonzero(foreground(frame, background, FOREGROUND_THRESHOLD))
    num_core = np.count_nonzero(foreground(frame, background, CORE_THRESHOLD))
    return num_core / num_foreground if num_foreground else np.nan


def psnr(real: FloatArray, imagined: FloatArray, mask: BoolArray | None = None) -> float:
    """Peak signal-to-noise ratio of the mean squared error pooled over pixels and channels.

    Args:
        real: (..., h, w, 3) in [0, 1]; the frames of a batch are pooled, which is not their mean
            PSNR.
        imagined: Same shape and range.
        mask: Pixels to compare, bool (..., h, w); all when None.

    Returns:
        -10 log10(MSE) in dB, at most 58.9; NaN for an empty mask.
    """
    mse = _masked_mean(np.square(real - imagined), mask)
    if mse == 0:
        return PSNR_CAP_DB
    return min(float(-10 * np.log10(mse)), PSNR_CAP_DB) if mse > 0 else np.nan


def l1(real: FloatArray, imagined: FloatArray, mask: BoolArray | None = None) -> float:
    """Mean absolute difference over pixels and channels, in [0, 1]; NaN for an empty mask.

    Args:
        real: (..., h, w, 3) in [0, 1].
        imagined: Same shape and range.
        mask: Pixels to compare, bool (..., h, w); all when None.
    """
    return _masked_mean(np.abs(real - imagined), mask)


def ssim_map(real: FloatArray, imagined: FloatArray) -> FloatArray:
    """Structural similarity at every pixel and channel, in a 7x7 uniform window.

    Args:
        real: One frame, (h, w, 3) in [0, 1], h and w at least 7.
        imagined: Same shape and range.

    Returns:
        (h, w, 3), at most 1. In the outer three pixels the window sees the mirrored frame.

    Source: Wang et al. (2004), Image quality assessment: from error visibility to structural
        similarity; sample covariance, K1 = 0.01, K2 = 0.03, as scikit-image has them.
    """
    return _ssim_and_map(real, imagined)[1]


def ssim(real: FloatArray, imagined: FloatArray, mask: BoolArray | None = None) -> float:
    """Mean structural similarity of one frame.

    Args:
        real: One frame, (h, w, 3) in [0, 1], h and w at least 7.
        imagined: Same shape and range.
        mask: Pixels to compare, bool (h, w); all when None.

    Returns:
        Without a mask the mean as scikit-image gives it, which leaves out the outer three pixels;
        with a mask the mean of `ssim_map` over its pixels and channels, NaN when it is empty.
    """
    mean, full_map = _ssim_and_map(real, imagined)
    return mean if mask is None else _masked_mean(full_map, mask)


def mse(real: FloatArray, imagined: FloatArray, mask: BoolArray | None = None) -> float:
    """Mean squared difference over pixels and channels, in [0, 1]; NaN for an empty mask.

    Args:
        real: (..., h, w, 3) in [0, 1].
        imagined: Same shape and range.
        mask: Pixels to compare, bool (..., h, w); all when None.
    """
    return _masked_mean(np.square(real - imagined), mask)


def ms_ssim(real: FloatArray, imagined: FloatArray, mask: BoolArray | None = None) -> float:
    """Structural similarity over three scales of one frame, each half of the one before.

    The product of the mean contrast-structure terms of the first two scales and of the mean SSIM of
    the third, to the weights .071, .453 and .476. Frames are halved by means of 2x2 pixels, an
    odd last row or column left out; a negative mean counts as 0.

    Args:
        real: One frame, (h, w, 3) in [0, 1].
        imagined: Same shape and range.
        mask: Pixels to compare, bool (h, w); all when None. Halved, a pixel is in the mask when
            any of its 2x2 pixels is.

    Returns:
        In [0, 1]. NaN when the third scale is smaller than the 7x7 window, that is when h or w is
        under 28, and for an empty mask.

    Source: Wang, Simoncelli and Bovik (2003), Multiscale structural similarity for image quality
        assessment, equation 7, with the first three of its five weights, divided by their sum.
    """
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            real, imagined = _halve(real, np.mean), _halve(imagined, np.mean)
            mask = None if mask is None else _halve(mask, np.any)
        if min(real.shape[:2]) < WINDOW:
            return np.nan
        # A large K1 makes the luminance term 1.
        k1 = SSIM_K1 if scale == len(MS_SSIM_WEIGHTS) - 1 else 1e6
        mean, full_map = _ssim_and_map(real, imagined, k1)
        term = mean if mask is None else _masked_mean(full_map, mask)
        product *= np.maximum(term, 0.0) ** weight
    return float(product)


def colour_shift(real: FloatArray, imagined: FloatArray) -> float:
    """Euclidean distance of the mean colours of one frame, in [0, sqrt(3)].

    Args:
        real: (h, w, 3) in [0, 1].
        imagined: Same shape and range.
    """
    return float(np.linalg.norm(real.mean(axis=(0, 1)) - imagined.mean(axis=(0, 1))))


def hf_energy(frame: FloatArray) -> float:
    """Energy of a frame where the horizontal or vertical frequency is high, over all channels.

    Args:
        frame: (h, w, 3).

    Returns:
        Sum of |DFT|^2 where either frequency exceeds 0.25 cycles per pixel, at least 0; exactly 0
        where it is rounding alone (under 1e-12 of the energy of all frequencies).
    """
    rows, columns = (np.abs(np.fft.fftfreq(size)) > HF_CUTOFF for size in frame.shape[:2])
    power = np.square(np.abs(np.fft.fft2(frame, axes=(0, 1)))).sum(axis=-1)
    energy = float(power[rows[:, None] | columns].sum())
    return energy if energy > HF_FLOOR * power.sum() else 0.0


def hf_ratio(real: FloatArray, imagined: FloatArray) -> float:
    """High-frequency energy of an imagined frame over that of the real one: 1 is best.

    Args:
        real: (h, w, 3).
        imagined: Same shape.

    Returns:
        At least 0: below 1 for a blurred frame, above 1 for a noisy one. NaN when the real frame
        has no high frequencies, such as a constant one.
    """
    energy = hf_energy(real)
    return hf_energy(imagined) / energy if energy else np.nan


def score_frame(real: ByteArray, imagined: ByteArray, background: ByteArray) -> dict[str, float]:
    """Score one imagined frame against the real one by every metric that needs no other frame.

    The mask of the `_fg` metrics is the foreground of the real frame alone, never of an arm.

    Args:
        real: uint8 (h, w, 3), h and w at least 7.
        imagined: Same shape and type.
        background: Median background of the real episode, same shape and type.

    Returns:
        One value for every name in `pixel_metrics.PIXEL_COLUMNS`; NaN where a metric is undefined.

    Raises:
        ValueError: When a frame is not uint8 RGB, smaller than a window, or the shapes differ.
    """
    check_frames(real[None], imagined[None], background)
    x, y, empty = _unit_range(real), _unit_range(imagined), _unit_range(background)
    mask = foreground(x, empty)
    mean_ssim, full_map = _ssim_and_map(x, y)
    return {
        "psnr": psnr(x, y),
        "ssim": mean_ssim,
        "l1": l1(x, y),
        "mse": mse(x, y),
        "ms_ssim": ms_ssim(x, y),
        "psnr_fg": psnr(x, y, mask),
        "ssim_fg": _masked_mean(full_map, mask),
        "l1_fg": l1(x, y, mask),
        "mse_fg": mse(x, y, mask),
        "ms_ssim_fg": ms_ssim(x, y, mask),
        "foreground_iou": foreground_iou(mask, foreground(y, empty)),
        "core_ratio": core_ratio(y, empty),
        "core_ratio_real": core_ratio(x, empty),
        "colour_shift": colour_shift(x, y),
        "hf_ratio": hf_ratio(x, y),
        "hf_ratio_real": hf_ratio(x, x),
    }


def check_frames(real: ByteArray, imagined: ByteArray, background: ByteArray) -> None:
    """Refuse frames that cannot be scored against each other.

    Args:
        real: Should be uint8 (n, h, w, 3), h and w at least 7.
        imagined: Should have the same shape and type.
        background: Should be uint8 (h, w, 3).

    Raises:
        ValueError: When one is not.
    """
    shape = real.shape[1:]
    for name, found, expected in (
        ("real", real, real.shape),
        ("imagined", imagined, real.shape),
        ("background", background, shape),
    ):
        if found.dtype != np.uint8 or found.shape != expected or len(shape) != 3 or shape[-1] != 3:
            raise ValueError(
                f"{name} must be uint8 RGB with the real frames' size {shape} and number "
                f"{len(real)}, got {found.dtype} {found.shape}"
            )
    if min(shape[:2]) < WINDOW:
        raise ValueError(
            f"frames must have at least {WINDOW} x {WINDOW} pixels, the window of SSIM, "
            f"got {shape[0]} x {shape[1]}"
        )


def _unit_range(frame: ByteArray) -> FloatArray:
    """Map levels 0..255 to [0, 1]."""
    return frame.astype(np.float64) / 255


def _masked_mean(values: FloatArray, mask: BoolArray | None) -> float:
    """Mean over the pixels of a mask and all channels; NaN for an empty mask."""
    selected = values if mask is None else values[mask]
    return float(selected.mean()) if selected.size else np.nan


def _ssim_and_map(
    real: FloatArray, imagined: FloatArray, k1: float = SSIM_K1
) -> tuple[float, FloatArray]:
    """Both outputs of one scikit-image call, which is the costly part of scoring a frame."""
    mean, full_map = structural_similarity(  # type: ignore[no-untyped-call]
        real, imagined, data_range=1.0, channel_axis=-1, full=True, win_size=WINDOW, K1=k1
    )
    return float(mean), np.asarray(full_map, dtype=np.float64)


def _halve(values: NDArray[Any], by: Callable[..., Any]) -> NDArray[Any]:
    """Reduce every 2x2 pixels to one; an odd last row or column is left out."""
    height, width = (size // 2 * 2 for size in values.shape[:2])
    blocks = (2, 2, *(1 for _ in values.shape[2:]))
    halved: NDArray[Any] = block_reduce(values[:height, :width], blocks, by)  # type: ignore[no-untyped-call]
    return halved
