"""Does a world model follow the actions: frames imagined under recorded and under other actions."""

import numpy as np

from diamond.arrays import BoolArray, ByteArray, FloatArray
from diamond.fidelity.pixel_oracle import PSNR_CAP_DB, psnr


def delta_psnr(real: ByteArray, imagined: ByteArray, imagined_other: ByteArray) -> FloatArray:
    """How much closer to the real frames the recorded actions come than other ones.

    PSNR(x, x^) - PSNR(x, x^'): x^ imagined under the recorded actions, x^' under other actions from
    the same start with the same noise. 0 where the model ignores the actions.

    Args:
        real: uint8 (t, h, w, 3), x.
        imagined: Same shape and type, x^.
        imagined_other: Same shape and type, x^'.

    Returns:
        (t,) in dB, from -58.9 to 58.9.

    Raises:
        ValueError: Shapes or types do not agree.

    Source: Bruce et al. (2024), Genie: generative interactive environments, section 3, there with
        random actions and t = 4.
    """
    _check(real, imagined, imagined_other)
    return _psnr(real, imagined) - _psnr(real, imagined_other)


def changed_pixels(real: ByteArray, real_other: ByteArray) -> BoolArray:
    """Where the other actions made a difference: pixels at which two real branches differ.

    Args:
        real: uint8 (t, h, w, 3), x.
        real_other: Same shape and type, x'.

    Returns:
        bool (t, h, w), of any channel.

    Raises:
        ValueError: Shapes or types do not agree.
    """
    _check(real, real_other)
    changed: BoolArray = (real != real_other).any(axis=-1)
    return changed


def delta_psnr_true(
    real: ByteArray,
    real_other: ByteArray,
    imagined: ByteArray,
    imagined_other: ByteArray,
    mask: BoolArray | None = None,
) -> FloatArray:
    """How much closer each imagined branch is to its own real branch than to the other one.

    1/2 [PSNR(x, x^) - PSNR(x, x^')] + 1/2 [PSNR(x', x^') - PSNR(x', x^)]: x and x' are what the
    game shows under the recorded and under other actions, x^ and x^' what the model imagines.
    Exchanging the two branches leaves it as it is, exchanging x^ and x^' alone turns its sign.

    Args:
        real: uint8 (t, h, w, 3), x.
        real_other: Same shape and type, x'.
        imagined: Same shape and type, x^.
        imagined_other: Same shape and type, x^'.
        mask: Pixels to compare, bool (t, h, w), from real frames alone; all when None.

    Returns:
        (t,) in dB, from -58.9 to 58.9; a model without an error gets `delta_psnr_true_real`. NaN
        where x equals x': there the actions made no difference; and for an empty mask.

    Raises:
        ValueError: Shapes or types do not agree.
    """
    _check(real, real_other, imagined, imagined_other)
    ours = _psnr(real, imagined, mask) - _psnr(real, imagined_other, mask)
    theirs = _psnr(real_other, imagined_other, mask) - _psnr(real_other, imagined, mask)
    return np.where(_differ(real, real_other), (ours + theirs) / 2, np.nan)


def delta_psnr_true_real(
    real: ByteArray, real_other: ByteArray, mask: BoolArray | None = None
) -> FloatArray:
    """`delta_psnr_true` of a model without an error: the cap of PSNR minus PSNR(x, x').

    Args:
        real: uint8 (t, h, w, 3), x.
        real_other: Same shape and type, x'.
        mask: Pixels to compare, bool (t, h, w); all when None.

    Returns:
        (t,) in dB, from 0 to 58.9; NaN where x equals x' and for an empty mask.

    Raises:
        ValueError: Shapes or types do not agree.
    """
    _check(real, real_other)
    apart = _psnr(real, real_other, mask)
    return np.where(_differ(real, real_other), PSNR_CAP_DB - apart, np.nan)


def _psnr(first: ByteArray, second: ByteArray, mask: BoolArray | None = None) -> FloatArray:
    """PSNR of each frame of two trajectories (t,)."""
    masks = [None] * len(first) if mask is None else mask
    frames = zip(first / 255, second / 255, masks, strict=True)
    return np.array([psnr(one, other, where) for one, other, where in frames], dtype=np.float64)


def _differ(first: ByteArray, second: ByteArray) -> BoolArray:
    differ: BoolArray = (first != second).any(axis=(1, 2, 3))
    return differ


def _check(*trajectories: ByteArray) -> None:
    shapes = {frames.shape for frames in trajectories}
    if (
        len(shapes) > 1
        or trajectories[0].ndim != 4
        or any(frames.dtype != np.uint8 for frames in trajectories)
    ):
        found = ", ".join(f"{frames.dtype} {frames.shape}" for frames in trajectories)
        raise ValueError(f"trajectories must all be uint8 (t, h, w, 3) of one shape, got {found}")
