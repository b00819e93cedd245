"""Noise levels as plain floats: the grids of samplers, the table of DDPM, the range of training.

All levels are sigma of variance-exploding coordinates: frame + sigma * noise. No tensor here: the
draw of training levels is in `diamond.families.diamond.noise_law`.
"""

import math
from functools import cache
from statistics import NormalDist
from typing import Literal, assert_never

from diamond.families.diamond.config import DenoiserConfig, SamplerConfig

DDPM_TIMESTEPS = 1000
_FIRST_BETA, _LAST_BETA = 1e-4, 0.02
_SINGLE_TIMESTEP = 500
_FLOW_START = 0.999

MAX_GAMMA = math.sqrt(2.0) - 1.0
"""Most that churn raises a level by, as a fraction of it."""

RARE = 1e-4
"""A level that training draws beyond with less than this chance counts as not seen."""
LOW_FACTOR = 10.0
"""A sampler may end this many times below the lowest level of training.

What is denoised there is a frame but for a noise that is far smaller than what training removed.
"""
_ROUNDING = 1 + 1e-6


def karras_levels(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float
) -> tuple[float, ...]:
    """Noise levels of a sampler, strictly decreasing, ended by zero.

    sigma_i = (sigma_max^(1/rho) + i / (n - 1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho

    Args:
        num_steps: Number n of levels above zero, at least 1; a single level is sigma_max.
        sigma_min: Last level above zero.
        sigma_max: First level.
        rho: Curvature; larger puts more levels near sigma_min.

    Returns:
        n + 1 floats, the last is 0.

    Source: Karras et al. 2022 (arXiv:2206.00364), equation 5.
    """
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    last = max(1, num_steps - 1)
    levels = tuple((high + i / last * (low - high)) ** rho for i in range(num_steps))
    return (*levels, 0.0)


@cache
def ddpm_sigmas() -> tuple[float, ...]:
    """Noise level of every DDPM timestep, 0 to 999: increasing from .01 to 157.4.

    sigma_t = sqrt((1 - abar_t) / abar_t), abar_t = prod_(s <= t) (1 - beta_s), with 1000 values
    of beta evenly spaced from 1e-4 to .02.

    Source: Ho et al. 2020 (arXiv:2006.11239), section 4; Song et al. 2020 (arXiv:2011.13456),
        section 3.4, for the change of coordinates.
    """
    sigmas, kept = [], 1.0
    for t in range(DDPM_TIMESTEPS):
        kept *= 1 - (_FIRST_BETA + t / (DDPM_TIMESTEPS - 1) * (_LAST_BETA - _FIRST_BETA))
        sigmas.append(math.sqrt((1 - kept) / kept))
    return tuple(sigmas)


def ddpm_timesteps(num_steps: int) -> tuple[int, ...]:
    """Timesteps of a DDPM sampler, strictly decreasing to 0; a single step is at 500.

    With n > 1 steps they are i * floor(1000 / n) for i = n - 1 ... 0: above 500 steps the highest
    timesteps are left out.

    Args:
        num_steps: Number n of steps, 1 to 1000.

    Source: the "leading" spacing of Diffusers, and the branch ddpm of the released code of
        arXiv:2405.12399, whose single step is at 500 because at high noise a network that
        predicts noise learns the identity.
    """
    assert 1 <= num_steps <= DDPM_TIMESTEPS
    if num_steps == 1:
        return (_SINGLE_TIMESTEP,)
    stride = DDPM_TIMESTEPS // num_steps
    return tuple(i * stride for i in reversed(range(num_steps)))


def timestep_levels(num_steps: int) -> tuple[float, ...]:
    """Noise levels of `ddpm_timesteps`, strictly decreasing, ended by zero (n + 1 floats)."""
    table = ddpm_sigmas()
    return (*(table[t] for t in ddpm_timesteps(num_steps)), 0.0)


def flow_levels(num_steps: int) -> tuple[float, ...]:
    """Noise levels at evenly spaced times of rectified flow, strictly decreasing, ended by zero.

    t_i = .999 (1 - i / n), sigma = t / (1 - t). Time 1, which is noise alone, has no sigma.

    Args:
        num_steps: Number n of levels above zero, at least 1.

    Returns:
        n + 1 floats, the last is 0.

    Source: Liu et al. 2022 (arXiv:2209.03003), section 2.2, in variance-exploding coordinates.
    """
    times = (_FLOW_START * (1 - i / num_steps) for i in range(num_steps))
    return (*(t / (1 - t) for t in times), 0.0)


def levels_of(sampler: SamplerConfig) -> tuple[float, ...]:
    """The noise levels of a sampler, strictly decreasing, ended by zero."""
    match sampler.grid:
        case "karras":
            return karras_levels(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
        case "timesteps":
            return timestep_levels(sampler.steps)
        case "flow":
            return flow_levels(sampler.steps)
        case _:
            assert_never(sampler.grid)


def initial_scale(sampler: SamplerConfig) -> float:
    """Standard deviation of the initial sample of a sampler."""
    first = levels_of(sampler)[0]
    match sampler.init_noise:
        case "unit":
            return 1.0
        case "sigma_max":
            return first
        case "marginal":
            return math.sqrt(1 + first**2)
        case _:
            assert_never(sampler.init_noise)


def churn_gamma(churn: float, num_steps: int) -> float:
    """The fraction that churn raises every level by: min(churn / n, sqrt(2) - 1).

    Source: Karras et al. 2022, algorithm 2.
    """
    return min(churn / num_steps, MAX_GAMMA)


def calls_per_sample(num_steps: int, order: Literal[1, 2]) -> int:
    """Number of denoiser calls of one sample (NFE).

    Heun's solver needs one only at its last step; ancestral sampling has order 1.
    """
    return num_steps if order == 1 else 2 * num_steps - 1


def training_range(denoiser: DenoiserConfig) -> tuple[float, float]:
    """The lowest and the highest noise level that training shows.

    The quantiles `RARE` and 1 - `RARE` of the training-noise law, clipped as the draws are.
    """
    low, high = denoiser.noise_min, denoiser.noise_max
    match denoiser.noise_law:
        case "lognormal":
            spread = denoiser.noise_scale * NormalDist().inv_cdf(1 - RARE)
            ends = math.exp(denoiser.noise_loc - spread), math.exp(denoiser.noise_loc + spread)
        case "loguniform":
            ends = low, high
        case "timesteps":
            ends = ddpm_sigmas()[0], ddpm_sigmas()[-1]
        case "time":
            ends = RARE / (1 - RARE), (1 - RARE) / RARE
        case _:
            assert_never(denoiser.noise_law)
    return min(max(ends[0], low), high), min(max(ends[1], low), high)


def out_of_training(denoiser: DenoiserConfig, sampler: SamplerConfig) -> str | None:
    """Say why a sampler asks for a noise level that training never showed; None if it does not.

    It may begin no higher than training went (churn raises levels), and end no lower than a tenth
    (`LOW_FACTOR`) of where training began.
    """
    levels = levels_of(sampler)
    first = levels[0] * (1 + churn_gamma(sampler.churn, sampler.steps))
    last = levels[-2]
    low, high = training_range(denoiser)
    if first > high * _ROUNDING:
        return (
            f"the sampler begins at noise level {first:.4g}, training shows none above {high:.4g}"
        )
    if last * LOW_FACTOR * _ROUNDING < low:
        return (
            f"the sampler ends at noise level {last:.4g}, training shows none below {low:.4g}, "
            f"more than {LOW_FACTOR:g} times higher"
        )
    return None
