"""Solvers: functions of (denoiser, start, noise levels). They know no network."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor

from diamond.families.diamond.levels import churn_gamma

Denoise = Callable[[Tensor, float], Tensor]
"""D(x; sigma): noisy frames (b, c, h, w) and a noise level to denoised frames (b, c, h, w)."""

Draw = Callable[[int], Tensor]
"""Standard normal numbers (b, c, h, w) for a solver step: those of churn, or of ancestral steps."""


def sample(
    denoise: Denoise,
    start: Tensor,
    levels: Sequence[float],
    order: Literal[1, 2],
    churn: float,
    draw: Draw,
) -> Tensor:
    """Integrate dx/dsigma = (x - D(x; sigma)) / sigma from levels[0] to zero.

    Args:
        denoise: The denoiser in variance-exploding coordinates.
        start: Sample at levels[0], (b, c, h, w).
        levels: Strictly decreasing noise levels, ended by zero.
        order: 1 Euler; 2 Heun (Euler on the step to zero).
        churn: S_churn; at each step the level is raised by gamma = min(churn / n, sqrt(2) - 1).
        draw: Called with the step's index for the noise of churn; never called when churn is 0.

    Returns:
        The sample at level zero (b, c, h, w).

    Source: Karras et al. 2022, algorithms 1 and 2. Differs: with churn the denoiser is evaluated
        at the raised level, which the released code of DIAMOND does not do
        (docs/deviations.md, defect 2).
    """
    num_steps = len(levels) - 1
    gamma = churn_gamma(churn, num_steps)
    x = start
    for index, (level, following) in enumerate(pairwise(levels)):
        raised = level
        if gamma > 0:
            raised = level * (1 + gamma)
            x = x + math.sqrt(raised**2 - level**2) * draw(index)
        slope = (x - denoise(x, raised)) / raised
        euler = x + (following - raised) * slope
        if order == 1 or following == 0:
            x = euler
        else:
            second = (euler - denoise(euler, following)) / following
            x = x + (following - raised) * (slope + second) / 2
    return x


def sample_ancestral(
    denoise: Denoise, start: Tensor, levels: Sequence[float], draw: Draw
) -> Tensor:
    """Draw every step from its posterior given the noisy frame and the denoised one.

    From level s to s' the next sample is normal with mean (s'/s)^2 x + (1 - (s'/s)^2) D(x; s) and
    variance s'^2 (s^2 - s'^2) / s^2; the step to zero is D itself.

    Args:
        denoise: The denoiser in variance-exploding coordinates; one call a step.
        start: Sample at levels[0], (b, c, h, w).
        levels: Strictly decreasing noise levels, ended by zero.
        draw: Called with the step's index for its noise; never called for the step to zero.

    Returns:
        The sample at level zero (b, c, h, w).

    Source: Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7: DDPM with the smaller of its two
        variances, in other coordinates.
    """
    x = start
    for index, (level, following) in enumerate(pairwise(levels)):
        kept = (following / level) ** 2
        x = kept * x + (1 - kept) * denoise(x, level)
        if following > 0:
            x = x + following * math.sqrt(1 - kept) * draw(index)
    return x
