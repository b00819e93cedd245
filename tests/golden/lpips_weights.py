"""Seeded weights and frames for LPIPS, the same in the golden values and in the test of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))


def seeded_weights() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return weights of AlexNet as torchvision names them, and of the channels as lpips does."""
    generator = np.random.Generator(np.random.PCG64(0))
    trunk: dict[str, Tensor] = {}
    heads: dict[str, Tensor] = {}
    for index, (place, (out, into, side)) in enumerate(zip((0, 3, 6, 8, 10), SHAPES, strict=True)):
        scale = np.sqrt(2 / (into * side * side))
        weight = generator.normal(0, scale, (out, into, side, side)).astype(np.float32)
        trunk[f"features.{place}.weight"] = torch.from_numpy(weight)
        bias = generator.normal(0, 0.1, out).astype(np.float32)
        trunk[f"features.{place}.bias"] = torch.from_numpy(bias)
        head = generator.uniform(0, 1, (1, out, 1, 1)).astype(np.float32)
        heads[f"lin{index}.model.1.weight"] = torch.from_numpy(head)
    return trunk, heads


def seeded_frames(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two sets of three frames uint8 (3, side, side, 3): far, near and equal ones."""
    generator = np.random.Generator(np.random.PCG64(side))
    real = generator.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    imagined = real.copy()
    imagined[0] = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
    imagined[1, : side // 4] = 255 - imagined[1, : side // 4]
    return real, imagined
