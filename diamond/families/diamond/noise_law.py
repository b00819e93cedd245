"""The noise that training adds: laws of its level, and the noisy frame."""

import math
from functools import cache
from typing import assert_never

import torch
from torch import Tensor

from diamond.families.diamond.config import DenoiserConfig, OffsetLaw
from diamond.families.diamond.levels import DDPM_TIMESTEPS, ddpm_sigmas
from diamond.families.diamond.precondition import per_item


def training_sigma(config: DenoiserConfig, normal: Tensor) -> Tensor:
    """Noise levels of training, clipped to [noise_min, noise_max].

    Every law is an increasing function of the same normal number, so that the arms of an ablation
    draw the same quantiles. With u = Phi(normal):

        lognormal   exp(noise_loc + noise_scale * normal)
        loguniform  noise_min^(1-u) noise_max^u
        timesteps   the level of DDPM timestep floor(1000 u)
        time        u / (1 - u), the level of time u of rectified flow

    Args:
        config: Its noise law is read.
        normal: Standard normal numbers (b,) float32.

    Returns:
        Noise levels (b,) float32, on the device of `normal`.

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1, lognormal; Ho et al. 2020
        (arXiv:2006.11239), algorithm 1, timesteps; Liu et al. 2022 (arXiv:2209.03003), equation 1,
        time.
    """
    low, high = config.noise_min, config.noise_max
    match config.noise_law:
        case "lognormal":
            return (normal * config.noise_scale + config.noise_loc).exp().clamp(low, high)
        case "loguniform":
            sigma = (math.log(low) + _quantile(normal) * math.log(high / low)).exp()
        case "timesteps":
            index = (_quantile(normal) * DDPM_TIMESTEPS).long().clamp(max=DDPM_TIMESTEPS - 1)
            sigma = _ddpm_table(normal.device)[index]
        case "time":
            sigma = _quantile(normal) / _quantile(-normal)
        case _:
            assert_never(config.noise_law)
    return sigma.float().clamp(low, high)


def add_noise(
    clean: Tensor,
    sigma: Tensor,
    offset: tuple[OffsetLaw, float],
    normal: Tensor,
    per_channel: Tensor,
) -> Tensor:
    """Return a noisy frame.

    clean + sigma * normal + offset_noise * per_channel where the offset has one size (constant),
    clean + sigma * (normal + offset_noise * per_channel) where it is a part of the noise (sigma).

    Args:
        clean: Frames (b, c, h, w) in [-1, 1].
        sigma: Noise levels (b,).
        offset: The law of the offset noise, and its weight offset_noise.
        normal: Standard normal numbers (b, c, h, w).
        per_channel: Standard normal numbers (b, c, 1, 1).

    Source: the released code of arXiv:2405.12399, constant; its branch ddpm, sigma.
    """
    law, weight = offset
    level = per_item(sigma)
    match law:
        case "constant":
            return clean + level * normal + weight * per_channel
        case "sigma":
            return clean + level * (normal + weight * per_channel)
        case _:
            assert_never(law)


@cache
def _ddpm_table(device: torch.device) -> Tensor:
    return torch.tensor(ddpm_sigmas(), device=device)


def _quantile(normal: Tensor) -> Tensor:
    """Phi(normal) in float64, where both tails keep their digits."""
    quantile: Tensor = torch.special.ndtr(normal.double())
    return quantile
