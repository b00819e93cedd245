"""Paired comparisons of two arms, and the correction for many of them; no single-arm intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diamond.stats.intervals import (
    DEFAULT_LEVEL,
    DEFAULT_NUM_RESAMPLES,
    FloatArray,
    bootstrap_interval,
    t_interval,
)

MAX_ENUMERATED_SEEDS = 15
# Equal sums in another order differ by rounding: some 1e-15 of the sum of magnitudes.
TIE_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean of a - b over paired units, with an interval and, for seeds, a sign-flip p value.

    Fields:
        difference: Mean of a - b over the pairs, NaN without pairs.
        lo: Lower bound of the interval, NaN with fewer than two pairs.
        hi: Upper bound of the interval, NaN with fewer than two pairs.
        n: Number of pairs in which both values are defined.
        p: Two-sided sign-flip p value; None where the method gives none.
        p_min: Smallest p value that this number of pairs can give; None where p is.
        method: How interval and p value were made, for the reader of a report.
        unit: What a pair is.
    """

    difference: float
    lo: float
    hi: float
    n: int
    p: float | None
    p_min: float | None
    method: str
    unit: Literal["seed", "start"]


def paired_seeds(a: FloatArray, b: FloatArray, level: float = DEFAULT_LEVEL) -> PairedDifference:
    """Compare two arms over training seeds: a t interval decides, a sign-flip p stands beside it.

    Args:
        a: One value per training seed of the first arm, shape (n,).
        b: The same seeds in the same order for the second arm, shape (n,).
        level: Nominal coverage of the interval, in (0, 1).

    Returns:
        The difference a - b. A seed that is NaN in either arm is left out. With 3 seeds p cannot go
        below .25, with 5 not below .0625; above 15 seeds it is not enumerated and is None.

    Raises:
        ValueError: When the shapes differ or are not 1-D.

    Source: Fisher (1935), The Design of Experiments, section 21: under the null hypothesis every
        difference may change its sign.
    """
    differences = _paired_differences(a, b)
    interval = t_interval(differences, level)
    method = "t interval over paired seeds"
    p = p_min = None
    if interval.n > MAX_ENUMERATED_SEEDS:
        method += f"; no sign-flip p above {MAX_ENUMERATED_SEEDS} seeds"
    elif interval.n > 0:
        method += "; exact two-sided sign-flip p"
        p, p_min = _sign_flip_p(differences), 2 / 2**interval.n
    return PairedDifference(
        difference=interval.mean,
        lo=interval.lo,
        hi=interval.hi,
        n=interval.n,
        p=p,
        p_min=p_min,
        method=method,
        unit="seed",
    )


def paired_starts(
    a: FloatArray,
    b: FloatArray,
    seed: int,
    level: float = DEFAULT_LEVEL,
    num_resamples: int = DEFAULT_NUM_RESAMPLES,
) -> PairedDifference:
    """Compare two arms over the starts of one trained model, not over training runs.

    Args:
        a: One value per start of the first arm, shape (n,).
        b: The same starts in the same order for the second arm, shape (n,).
        seed: Seed of the resampling, from `diamond.seeds.derive`.
        level: Nominal coverage of the interval, in (0, 1).
        num_resamples: Number of bootstrap samples.

    Returns:
        The difference a - b with a percentile bootstrap interval and no p value: the unit of
        replication is the training seed, and there is one. A start that is NaN in either arm is
        left out.

    Raises:
        ValueError: When the shapes differ or are not 1-D.
    """
    interval = bootstrap_interval(_paired_differences(a, b), seed, level, num_resamples)
    return PairedDifference(
        difference=interval.mean,
        lo=interval.lo,
        hi=interval.hi,
        n=interval.n,
        p=None,
        p_min=None,
        method="bootstrap over paired starts within one trained model",
        unit="start",
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number by Holm's step-down procedure.

    Args:
        p_values: p values in [0, 1] in any order; None where a comparison has none.

    Returns:
        The corrected values in the same order, at least the raw ones and at most 1. None stays None
        and does not count.

    Raises:
        ValueError: When a p value is not in [0, 1].

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    present = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(present):
        if not 0 <= p <= 1:
            raise ValueError(f"p values must be in [0, 1], got {p}")
        running = max(running, min(1.0, (len(present) - rank) * p))
        corrected[index] = running
    return corrected


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
