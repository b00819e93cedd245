"""Per-frame fidelity metrics of imagined against real frames; no averages and no intervals."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from diamond.config.metrics import METRIC_OF

FloatArray = NDArray[np.float64]
ByteArray = NDArray[np.uint8]
MaskArray = NDArray[np.bool_]

# Both thresholds fall between two 8-bit levels (25.5 and 76.5): float rounding moves no pixel.
FOREGROUND_THRESHOLD = 0.1
CORE_THRESHOLD = 0.3
# Rounding to 8 bits alone is an error of variance 1/12 level^2: 10 log10(12 * 255^2) = 58.9 dB.
# More cannot be told from rounding, and without a cap one exact frame makes every mean infinite.
PSNR_CAP_DB = 58.9


CORE_RATIO_REAL = "core_ratio_real"
SCORE_NAMES: tuple[str, ...] = tuple(
    name for name, spec in METRIC_OF.items() if spec.group in ("pixels", "objects", "modes")
)
"""What is computed from a pair of frames alone."""


def foreground(
    frame: FloatArray, background: FloatArray, threshold: float = FOREGROUND_THRESHOLD
) -> MaskArray:
    """Return where a frame differs from the background by more than a threshold in any channel.

    Args:
        frame: (..., h, w, 3) in [0, 1].
        background: (h, w, 3) in [0, 1].
        threshold: Difference, in (0, 1).

    Returns:
        bool (..., h, w).
    """
    differs: MaskArray = np.any(np.abs(frame - background) > threshold, axis=-1)
    return differs


def foreground_iou(real_mask: MaskArray, imagined_mask: MaskArray) -> float:
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


def psnr(real: FloatArray, imagined: FloatArray, mask: MaskArray | None = None) -> float:
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


def l1(real: FloatArray, imagined: FloatArray, mask: MaskArray | None = None) -> float:
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


def ssim(real: FloatArray, imagined: FloatArray, mask: MaskArray | None = None) -> float:
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


def score_frame(real: ByteArray, imagined: ByteArray, background: ByteArray) -> dict[str, float]:
    """Score one imagined frame against the real one by every metric.

    The mask of the `_fg` metrics is the foreground of the real frame alone, never of an arm.

    Args:
        real: uint8 (h, w, 3), h and w at least 7.
        imagined: Same shape and type.
        background: Median background of the real episode, same shape and type.

    Returns:
        One value for every name in `SCORE_NAMES`; NaN where a metric is undefined.

    Raises:
        ValueError: When a frame is not uint8 RGB or the shapes differ.
    """
    for name, frame in (("real", real), ("imagined", imagined), ("background", background)):
        if frame.dtype != np.uint8 or frame.shape != real.shape or frame.shape[-1] != 3:
            raise ValueError(
                f"{name} must be uint8 (h, w, 3) of the real frame's shape {real.shape}, "
                f"got {frame.dtype} {frame.shape}"
            )
    x, y, empty = _unit_range(real), _unit_range(imagined), _unit_range(background)
    mask = foreground(x, empty)
    mean_ssim, full_map = _ssim_and_map(x, y)
    return {
        "psnr": psnr(x, y),
        "ssim": mean_ssim,
        "l1": l1(x, y),
        "psnr_fg": psnr(x, y, mask),
        "ssim_fg": _masked_mean(full_map, mask),
        "l1_fg": l1(x, y, mask),
        "foreground_iou": foreground_iou(mask, foreground(y, empty)),
        "core_ratio": core_ratio(y, empty),
        CORE_RATIO_REAL: core_ratio(x, empty),
    }


def score_trajectory(
    real: ByteArray, imagined: ByteArray, background: ByteArray, valid: MaskArray
) -> dict[str, FloatArray]:
    """Score every frame of an imagined trajectory against the real one.

    Args:
        real: uint8 (t, h, w, 3).
        imagined: Same shape and type.
        background: Median background of the real episode, uint8 (h, w, 3).
        valid: bool (t,), False where there is no real frame to compare with, such as after the end
            of the real episode.

    Returns:
        For every name in `SCORE_NAMES` an array (t,), NaN where not valid or undefined.

    Raises:
        ValueError: When lengths, shapes or types do not agree.
    """
    if valid.dtype != np.bool_ or valid.ndim != 1 or not len(real) == len(imagined) == len(valid):
        raise ValueError(
            f"real, imagined and valid must have one length and valid be bool (t,), got "
            f"{len(real)}, {len(imagined)} and {valid.dtype} {valid.shape}"
        )
    scores = {name: np.full(len(valid), np.nan) for name in SCORE_NAMES}
    for index in np.flatnonzero(valid):
        for name, value in score_frame(real[index], imagined[index], background).items():
            scores[name][index] = value
    return scores


def _unit_range(frame: ByteArray) -> FloatArray:
    """Map levels 0..255 to [0, 1]."""
    return frame.astype(np.float64) / 255


def _masked_mean(values: FloatArray, mask: MaskArray | None) -> float:
    """Mean over the pixels of a mask and all channels; NaN for an empty mask."""
    selected = values if mask is None else values[mask]
    return float(selected.mean()) if selected.size else np.nan


def _ssim_and_map(real: FloatArray, imagined: FloatArray) -> tuple[float, FloatArray]:
    """Both outputs of one scikit-image call, which is the costly part of scoring a frame."""
    mean, full_map = structural_similarity(  # type: ignore[no-untyped-call]
        real, imagined, data_range=1.0, channel_axis=-1, full=True
    )
    return float(mean), np.asarray(full_map, dtype=np.float64)
