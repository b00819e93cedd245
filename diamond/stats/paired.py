"""Paired comparisons of two arms; correction for many of them lives in `multiple`."""

import numpy as np

from diamond.arrays import FloatArray
from diamond.stats.difference import Difference, t_test
from diamond.stats.intervals import bootstrap_interval, t_interval

MAX_ENUMERATED_SEEDS = 15
# Equal sums in another order differ by rounding: some 1e-15 of the sum of magnitudes.
TIE_TOLERANCE = 1e-12


def paired_seeds(a: FloatArray, b: FloatArray) -> Difference:
    """Compare two arms over training seeds: a t interval decides, a sign-flip p stands beside it.

    Args:
        a: One value per training seed of the first arm, shape (n,).
        b: The same seeds in the same order for the second arm, shape (n,).

    Returns:
        The difference a - b. A seed that is NaN in either arm is left out. The t interval decides
        at any number of seeds, and `p_t` is the p value of the same t test. With 3 seeds the
        sign-flip p cannot go below .25, with 5 not below .0625; above 15 seeds it is not enumerated
        and is None.

    Raises:
        ValueError: When the shapes differ or are not 1-D.

    Source: Fisher (1935), The Design of Experiments, section 21: under the null hypothesis every
        difference may change its sign.
    """
    differences = _paired_differences(a, b)
    interval = t_interval(differences)
    method = "t interval over paired seeds"
    p = p_min = None
    if interval.n > MAX_ENUMERATED_SEEDS:
        method += f"; no sign-flip p above {MAX_ENUMERATED_SEEDS} seeds"
    elif interval.n > 0:
        method += "; exact two-sided sign-flip p"
        p, p_min = _sign_flip_p(differences), 2 / 2**interval.n
    return Difference(
        difference=interval.mean,
        lo=interval.lo,
        hi=interval.hi,
        n=interval.n,
        sd=float(differences.std(ddof=1)) if interval.n > 1 else np.nan,
        p_t=t_test(differences),
        p=p,
        p_min=p_min,
        method=method,
        unit="seed",
    )


def paired_starts(
    a: FloatArray,
    b: FloatArray,
    seed: int,
) -> Difference:
    """Compare two arms over the starts of one trained model, not over training runs.

    Args:
        a: One value per start of the first arm, shape (n,).
        b: The same starts in the same order for the second arm, shape (n,).
        seed: Seed of the resampling, from `diamond.seeds.derive`.

    Returns:
        The difference a - b with a percentile bootstrap interval, and the p value of the paired t
        test over the starts, for a correction for many comparisons: both hold within the trained
        model, for the unit that stands for training again is the seed, and there is one. A start
        that is NaN in either arm is left out; fewer than `MIN_BOOTSTRAP_UNITS` give neither.

    Raises:
        ValueError: When the shapes differ or are not 1-D.
    """
    differences = _paired_differences(a, b)
    interval = bootstrap_interval(differences, seed)
    return Difference(
        difference=interval.mean,
        lo=interval.lo,
        hi=interval.hi,
        n=interval.n,
        sd=np.nan,
        p_t=None if np.isnan(interval.lo) else t_test(differences),
        p=None,
        p_min=None,
        method="bootstrap over paired starts within one trained model",
        unit="start",
    )


def _paired_differences(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a - b over the pairs in which both are defined."""
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"pairs need two arrays of equal shape (n,), got {a.shape} and {b.shape}")
    differences = a - b
    return differences[~np.isnan(differences)]


def _sign_flip_p(differences: FloatArray) -> float:
    """Share of all 2^n sign patterns whose |sum| is at least the observed one."""
    n = differences.size
    patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
    sums = np.abs((1.0 - 2.0 * patterns) @ differences)
    margin = TIE_TOLERANCE * np.abs(differences).sum()
    return float(np.mean(sums >= np.abs(differences.sum()) - margin))
