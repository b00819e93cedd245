"""Comparison of two arms whose training seeds differ: nothing is paired, as in an A/A test."""

import numpy as np
from scipy.special import stdtrit

from diamond.arrays import FloatArray
from diamond.stats.difference import Difference, two_sided_t
from diamond.stats.intervals import TAIL

METHOD_WELCH = "Welch's t interval over unpaired seeds"


def welch(a: FloatArray, b: FloatArray) -> Difference:
    """Compare two arms over different training seeds, without equal variances.

    Args:
        a: One value per training seed of the first arm, shape (n,); NaN is left out.
        b: One value per training seed of the second arm, shape (m,); NaN is left out.

    Returns:
        The difference of the means a - b with Welch's t interval and its p value; no sign-flip p.
        With fewer than two seeds on a side the bounds are NaN, with none the difference is too.

    Raises:
        ValueError: When the values are not 1-D arrays.

    Source: Welch (1947), The generalization of Student's problem when several different population
        variances are involved.
    """
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"values must have shape (n,), got {a.shape} and {b.shape}")
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    n = min(a.size, b.size)
    difference = float(a.mean() - b.mean()) if n else np.nan
    lo = hi = np.nan
    p_t = None
    if n > 1:
        variances = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
        standard_error = float(np.sqrt(sum(variances)))
        freedom = _freedom((float(variances[0]), float(variances[1])), (a.size, b.size))
        half_width = float(stdtrit(freedom, 1 - TAIL)) * standard_error
        lo, hi = difference - half_width, difference + half_width
        p_t = two_sided_t(difference, standard_error, freedom)
    return Difference(
        difference=difference,
        lo=lo,
        hi=hi,
        n=n,
        sd=np.nan,
        p_t=p_t,
        p=None,
        p_min=None,
        method=METHOD_WELCH,
        unit="seed",
    )


def _freedom(variances: tuple[float, float], sizes: tuple[int, int]) -> float:
    """Degrees of freedom after Welch and Satterthwaite; n + m - 2 without any spread."""
    spread = sum(v**2 / (size - 1) for v, size in zip(variances, sizes, strict=True))
    return float(sum(variances) ** 2 / spread) if spread else float(sum(sizes) - 2)
