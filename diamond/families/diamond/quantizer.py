"""Bringing denoised frames back to the 256 levels of real frames."""

from typing import assert_never

from torch import Tensor

from diamond.families.diamond.config import Quantizer


def quantize(frames: Tensor, quantizer: Quantizer) -> Tensor:
    """Clamp frames to [-1, 1] and bring them to multiples of 1/255.

    Args:
        frames: Frames (b, c, h, w).
        quantizer: ``floor`` truncates as the released code does (not idempotent), ``round`` takes
            the nearest level (idempotent), ``none`` only clamps.

    Returns:
        New frames (b, c, h, w).

    Source: released code of arXiv:2405.12399. Differs: docs/deviations.md, defect 1.
    """
    frames = frames.clamp(-1, 1)
    match quantizer:
        case "floor":
            return frames.add(1).div(2).mul(255).floor().div(255).mul(2).sub(1)
        case "round":
            return frames.add(1).div(2).mul(255).round().div(255).mul(2).sub(1)
        case "none":
            return frames
        case _:
            assert_never(quantizer)
