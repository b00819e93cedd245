"""EDM preconditioning: the coefficients around the network, and the noise that training adds."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coefficients:
    """Scalars per item (b,) of D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)."""

    c_in: Tensor
    c_out: Tensor
    c_skip: Tensor
    c_noise: Tensor


def edm_coefficients(sigma: Tensor, sigma_data: float, offset_noise: float) -> Coefficients:
    """Coefficients that give the network's input and target unit variance at every noise level.

    With s^2 = sigma^2 + offset_noise^2: c_in = (s^2 + sigma_data^2)^(-1/2),
    c_skip = sigma_data^2 / (s^2 + sigma_data^2), c_out = s sqrt(c_skip), c_noise = ln(s) / 4.

    Args:
        sigma: Noise levels (b,), not negative.
        sigma_data: Standard deviation of the data.
        offset_noise: Standard deviation of the per-channel constant noise.

    Returns:
        Coefficients, each (b,).

    Source: Karras et al. 2022, table 1; the offset term is DIAMOND's (docs/deviations.md).
    """
    total = (sigma**2 + offset_noise**2).sqrt()
    variance = total**2 + sigma_data**2
    c_skip = sigma_data**2 / variance
    return Coefficients(variance.rsqrt(), total * c_skip.sqrt(), c_skip, total.log() / 4)


def lognormal_sigma(normal: Tensor, loc: float, scale: float, low: float, high: float) -> Tensor:
    """Training noise levels exp(loc + scale * normal), clipped to [low, high]; normal is (b,)."""
    return (normal * scale + loc).exp().clamp(low, high)


def add_noise(
    clean: Tensor, sigma: Tensor, offset_noise: float, normal: Tensor, offset: Tensor
) -> Tensor:
    """Return x = clean + sigma * normal + offset_noise * offset.

    Args:
        clean: Frames (b, c, h, w) in [-1, 1].
        sigma: Noise levels (b,).
        offset_noise: Weight of the constant noise.
        normal: Standard normal numbers (b, c, h, w).
        offset: Standard normal numbers (b, c, 1, 1).
    """
    return clean + per_item(sigma) * normal + offset_noise * offset


def per_item(scalars: Tensor) -> Tensor:
    """Shape (b,) as (b, 1, 1, 1)."""
    return scalars[:, None, None, None]


def constant_sigma(sigma: float, batch_size: int, device: torch.device) -> Tensor:
    """The same noise level for every item, (b,)."""
    return torch.full((batch_size,), sigma, device=device)
