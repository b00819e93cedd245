"""Which noise levels training shows to a denoiser, and whether a sampler asks for others.

No tensor here: the draw itself is in `diamond.families.diamond.noise_law`.
"""

import math
from statistics import NormalDist
from typing import assert_never

from diamond.families.diamond.config import DenoiserConfig, SamplerConfig
from diamond.families.diamond.levels import churn_gamma, ddpm_sigmas, levels_of

RARE = 1e-4
"""A level that training draws beyond with less than this chance counts as not seen."""
LOW_FACTOR = 10.0
"""A sampler may end this many times below the lowest level of training.

What is denoised there is a frame but for a noise that is far smaller than what training removed.
"""
_ROUNDING = 1 + 1e-6


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
