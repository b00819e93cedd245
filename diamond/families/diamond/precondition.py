"""Coefficients around the network, one set for every parameterisation of the denoiser.

The noise that training adds is in `diamond.families.diamond.noise_law`.
"""

from dataclasses import dataclass
from functools import cache
from typing import assert_never

import torch
from torch import Tensor

from diamond.families.diamond.config import DenoiserConfig, InputScale, Target
from diamond.families.diamond.levels import DDPM_TIMESTEPS, ddpm_sigmas


@dataclass(frozen=True)
class Coefficients:
    """Scalars per item (b,) of D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)."""

    c_in: Tensor
    c_out: Tensor
    c_skip: Tensor
    c_noise: Tensor


def coefficients(config: DenoiserConfig, sigma: Tensor) -> Coefficients:
    """Coefficients of the denoiser at some noise levels.

    With the total noise s^2 = sigma^2 + offset_noise^2, or s = sigma where the offset is a part of
    the noise (`offset_law`); sd is sigma_data:

        target    c_skip            c_out                    the network predicts
        edm       sd^2 / (s^2+sd^2) s sd / sqrt(s^2+sd^2)    a target of variance one
        x0        0                 1                        clean
        eps       1                 -s                       (x - clean) / s
        v         1 / (1+s^2)       -s / sqrt(1+s^2)         (noise - s clean) / sqrt(1+s^2)
        velocity  1 / (1+s)         -s / (1+s)               noise - clean

    c_in is 1 / sqrt(s^2+sd^2) (edm), 1 / sqrt(1+s^2) (vp) or 1 / (1+s) (flow); c_noise is ln(s) / 4
    (log_sigma), (t(sigma)+1) / 1000 (timestep, see `ddpm_time`) or sigma / (1+sigma) (time).

    Args:
        config: Its parameterisation is read, nothing of the network or the training.
        sigma: Noise levels (b,), not negative; above zero for log_sigma without offset noise.

    Returns:
        Coefficients, each (b,).

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1, edm; Ho et al. 2020 (arXiv:2006.11239),
        eps; Salimans and Ho 2022 (arXiv:2202.00512), section 4, x0 and v; Liu et al. 2022
        (arXiv:2209.03003), velocity. The offset term is DIAMOND's (docs/deviations.md).
    """
    total = _total(config, sigma)
    c_skip, c_out = _output(config.target, total, config.sigma_data)
    c_in = _input(config.input_scale, total, config.sigma_data)
    return Coefficients(c_in, c_out, c_skip, _embedding(config, sigma, total))


def ddpm_time(sigma: Tensor) -> Tensor:
    """The DDPM timestep of noise levels, 0 to 999: linear in ln(sigma) between those of the table.

    A level of the table, rounded to float32, gives its integer; levels beyond the ends give theirs.

    Args:
        sigma: Noise levels (b,), above zero.

    Returns:
        (b,) float64.
    """
    knots = _log_table(sigma.device)
    logs = sigma.double().log()
    upper = torch.searchsorted(knots, logs).clamp(1, DDPM_TIMESTEPS - 1)
    left, right = knots[upper - 1], knots[upper]
    return (upper - 1 + (logs - left) / (right - left)).clamp(0, DDPM_TIMESTEPS - 1)


def per_item(scalars: Tensor) -> Tensor:
    """Shape (b,) as (b, 1, 1, 1)."""
    return scalars[:, None, None, None]


def constant_sigma(sigma: float, batch_size: int, device: torch.device) -> Tensor:
    """The same noise level for every item, (b,)."""
    return torch.full((batch_size,), sigma, device=device)


@cache
def _log_table(device: torch.device) -> Tensor:
    # Through float32, in which levels reach the denoiser, so that those of the table hit a knot.
    return torch.tensor(ddpm_sigmas(), dtype=torch.float32, device=device).double().log()


def _total(config: DenoiserConfig, sigma: Tensor) -> Tensor:
    match config.offset_law:
        case "constant":
            return (sigma**2 + config.offset_noise**2).sqrt()
        case "sigma":
            return sigma
        case _:
            assert_never(config.offset_law)


def _output(target: Target, total: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """c_skip and c_out."""
    match target:
        case "edm":
            c_skip = sigma_data**2 / (total**2 + sigma_data**2)
            return c_skip, total * c_skip.sqrt()
        case "x0":
            return torch.zeros_like(total), torch.ones_like(total)
        case "eps":
            return torch.ones_like(total), -total
        case "v":
            return 1 / (1 + total**2), -total / (1 + total**2).sqrt()
        case "velocity":
            return 1 / (1 + total), -total / (1 + total)
        case _:
            assert_never(target)


def _input(scale: InputScale, total: Tensor, sigma_data: float) -> Tensor:
    match scale:
        case "edm":
            return (total**2 + sigma_data**2).rsqrt()
        case "vp":
            return (1 + total**2).rsqrt()
        case "flow":
            return 1 / (1 + total)
        case _:
            assert_never(scale)


def _embedding(config: DenoiserConfig, sigma: Tensor, total: Tensor) -> Tensor:
    match config.noise_embedding:
        case "log_sigma":
            return total.log() / 4
        case "timestep":
            return ((ddpm_time(sigma) + 1) / DDPM_TIMESTEPS).to(sigma.dtype)
        case "time":
            return sigma / (1 + sigma)
        case _:
            assert_never(config.noise_embedding)
