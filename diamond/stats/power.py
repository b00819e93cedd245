"""What so many paired seeds can show, and what two trainings of the same thing differ by."""

from functools import cache, lru_cache

import numpy as np
from scipy.special import gammaincinv, ndtr, stdtrit

from diamond.arrays import FloatArray
from diamond.stats.intervals import LEVEL, TAIL

DEFAULT_POWER = 0.8
MAX_SEEDS = 100
"""Above this many missing seeds their number is not told."""

NUM_NODES = 200
"""Nodes of the quadrature over the sample standard deviation; power is then right to 1e-6."""


def noise_floor(values: FloatArray) -> float:
    """Typical difference between two trainings of one configuration.

    Args:
        values: One value per training seed, shape (n,); NaN is left out.

    Returns:
        sqrt(2) s, the root mean square difference of two independent seeds; s has n - 1 in its
        denominator. With two seeds this is their difference. NaN with fewer than two.
    """
    defined = values[~np.isnan(values)]
    return float(np.sqrt(2) * defined.std(ddof=1)) if defined.size > 1 else np.nan


def t_power(effect: float, n: int) -> float:
    """Probability that a t interval over n paired seeds leaves out 0.

    Args:
        effect: True mean difference in standard deviations of the differences, at least 0.
        n: Number of paired seeds, at least 2.

    Returns:
        P(|T| > t_{n-1}) for T noncentral t with n - 1 degrees of freedom and noncentrality
        effect sqrt(n); .05 for no effect.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions, vol. 2,
        chapter 31.
    """
    critical = float(stdtrit(n - 1, 1 - TAIL))
    shift = effect * np.sqrt(n)
    # P(|Z + shift| > critical S) over the law of S = s / sigma, by its quantiles: the noncentral
    # t of scipy is NaN for large shifts.
    nodes, weights = _quadrature()
    spread = np.sqrt(2 * gammaincinv((n - 1) / 2, (nodes + 1) / 2) / (n - 1))
    shown = ndtr(shift - critical * spread) + ndtr(-shift - critical * spread)
    return float(weights @ shown / 2)


def detectable_difference(sd: float, n: int, power: float = DEFAULT_POWER) -> float:
    """Smallest true difference that n paired seeds show with the given probability.

    Args:
        sd: Standard deviation of the per-seed differences, at least 0.
        n: Number of paired seeds.
        power: Probability that the interval leaves out 0, above .05 and below 1.

    Returns:
        The difference, in the unit of `sd`, to a relative 1e-6; for one comparison alone. NaN with
        fewer than two seeds or without sd.

    Raises:
        ValueError: When the power is not between .05 and 1.
    """
    _check_power(power)
    if n < 2 or np.isnan(sd):
        return np.nan
    return sd * _detectable_effect(n, power)


def seeds_needed(differences: FloatArray, power: float = DEFAULT_POWER) -> int | None:
    """About how many more paired seeds an interval needs to leave out 0.

    Args:
        differences: Differences of the paired seeds so far, shape (n,); NaN is left out.
        power: Probability that it then leaves out 0, were the true mean and standard deviation the
            observed ones; .5 is about where the present interval, narrowed, would touch 0.

    Returns:
        The number of seeds that are missing, 0 where the interval leaves out 0 already, at most
        `MAX_SEEDS` + 1, which stands for more. None with fewer than two seeds. Mean and spread of
        few seeds are rough, and so is the answer.

    Raises:
        ValueError: When the power is not between .05 and 1.
    """
    _check_power(power)
    defined = differences[~np.isnan(differences)]
    n = defined.size
    if n < 2:
        return None
    mean, sd = abs(float(defined.mean())), float(defined.std(ddof=1))
    if mean > float(stdtrit(n - 1, 1 - TAIL)) * sd / np.sqrt(n):
        return 0
    if mean == 0 or t_power(mean / sd, n + MAX_SEEDS) < power:
        return MAX_SEEDS + 1
    lo, hi = n, n + MAX_SEEDS
    while hi - lo > 1:
        middle = (lo + hi) // 2
        lo, hi = (middle, hi) if t_power(mean / sd, middle) < power else (lo, middle)
    return hi - n


@cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of Gauss and Legendre on (-1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    return nodes, weights


@lru_cache(maxsize=256)
def _detectable_effect(n: int, power: float) -> float:
    """The detectable difference in standard deviations: the root of `t_power` by bisection."""
    lo, hi = 0.0, 1.0
    while t_power(hi, n) < power:
        lo, hi = hi, 2 * hi
    while hi - lo > 1e-6 * hi:
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if t_power(middle, n) < power else (lo, middle)
    return hi


def _check_power(power: float) -> None:
    if not 1 - LEVEL < power < 1:
        raise ValueError(f"power must be between {1 - LEVEL:g} and 1, got {power}")
