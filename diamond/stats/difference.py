"""What every comparison of two arms returns, and the t test behind its interval."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr

from diamond.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference a - b of two arms, with an interval and p values.

    Fields:
        difference: Mean of a - b, NaN where nothing can be compared.
        lo: Lower bound of the interval, NaN where there are too few units for one.
        hi: Upper bound of the interval, NaN where there are too few units for one.
        n: Number of pairs in which both values are defined; unpaired, the size of the smaller side.
        sd: Standard deviation of the differences of paired seeds, NaN where there is none.
        p_t: Two-sided p value of the t test behind the interval, of starts of the paired t test
            beside it; None where there is no such test.
        p: Two-sided sign-flip p value; None where the method gives none.
        p_min: Smallest sign-flip p that this number of pairs can give; None where p is.
        method: How interval and p values were made, for the reader of a report.
        unit: What is replicated.
    """

    difference: float
    lo: float
    hi: float
    n: int
    sd: float
    p_t: float | None
    p: float | None
    p_min: float | None
    method: str
    unit: Literal["seed", "start"]


def t_test(values: FloatArray) -> float | None:
    """Two-sided p value of Student's t test of mean 0.

    Args:
        values: Independent values without NaN, shape (n,).

    Returns:
        P(|t_{n-1}| >= |mean| sqrt(n) / s), None with fewer than two values. It is below .05
        exactly where `t_interval` leaves out 0.

    Source: Student (1908), The probable error of a mean.
    """
    if values.size < 2:
        return None
    standard_error = float(values.std(ddof=1) / np.sqrt(values.size))
    return two_sided_t(float(values.mean()), standard_error, values.size - 1)


def two_sided_t(difference: float, standard_error: float, freedom: float) -> float:
    """P(|t| >= |difference| / standard_error); without spread 1 for no difference, else 0."""
    if standard_error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(difference) / standard_error))
