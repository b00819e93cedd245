"""Survival of fidelity: how long a trajectory stays good, with starts that end first censored."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diamond.arrays import BoolArray, FloatArray, IntArray
from diamond.stats.intervals import LEVEL, TAIL, t_curve

_ROUNDING = 1e-9
"""Of a product of fractions that is exactly one half."""


@dataclass(frozen=True, slots=True)
class Times:
    """When each start lost its fidelity, or was last seen with it.

    Fields:
        steps: Env step of the loss, or the last one that was seen without it, at least 0: (n,).
        observed: Whether the loss was seen; False is censored: (n,).
    """

    steps: IntArray
    observed: BoolArray


@dataclass(frozen=True, slots=True)
class Survival:
    """Share of starts that have kept their fidelity, at env steps 1 to the horizon.

    Fields:
        survival: In [0, 1], never rising; NaN where nobody is left to tell: (horizon,).
        lo: Lower bound of its interval at each step, NaN where it is not defined: (horizon,).
        hi: Upper bound, likewise: (horizon,).
        at_risk: Starts that are seen at the step and had kept their fidelity before it: (horizon,).
        median: First step at which the survival is at most one half; None: not reached.
    """

    survival: FloatArray
    lo: FloatArray
    hi: FloatArray
    at_risk: IntArray
    median: int | None


def first_above(curves: FloatArray, threshold: float) -> Times:
    """Time to the first step above a threshold; the end of a curve censors.

    Args:
        curves: One curve for each start, (n, horizon); column j is env step j + 1. From its first
            NaN on a start is out of sight, because its real episode has ended.
        threshold: A curve is lost at the first step at which it is above, not at, this value.

    Returns:
        The step of the loss, else the last step before the first NaN, 0 where there is none.

    Raises:
        ValueError: When the curves are not a 2-D array or the threshold is NaN.
    """
    if curves.ndim != 2:
        raise ValueError(f"curves must have shape (n, horizon), got {curves.shape}")
    if np.isnan(threshold):
        raise ValueError("the threshold must be a number, got nan")
    seen = np.logical_and.accumulate(~np.isnan(curves), axis=1)
    above = seen & (curves > threshold)
    observed = np.asarray(above.any(axis=1))
    steps = np.where(observed, above.argmax(axis=1) + 1, seen.sum(axis=1))
    return Times(steps.astype(np.int64), observed)


def kaplan_meier(times: Times, horizon: int) -> Survival:
    """Survival over the starts of one trained model, with an interval at each step.

    Args:
        times: Of independent starts, (n,).
        horizon: Number of env steps, at least 1.

    Returns:
        The product-limit estimate. Its interval is Greenwood's on the log(-log) scale. That scale
        ends where nothing or everything is lost: there it is the exact binomial one, of the starts
        at risk (none lost so far) or of all losses (none left). A start that is censored at a step
        is at risk at it. Where none is at risk any more and some were censored, it is NaN.

    Raises:
        ValueError: When the shapes differ or the horizon is below 1.

    Source: Kaplan and Meier (1958), Nonparametric estimation from incomplete observations;
        Kalbfleisch and Prentice (2002), The Statistical Analysis of Failure Time Data, section
        1.4; Clopper and Pearson (1934), The use of confidence or fiducial limits.
    """
    _check(times, horizon)
    steps = np.arange(1, horizon + 1)
    at_risk = (times.steps[:, None] >= steps).sum(axis=0)
    survival = np.full(horizon, np.nan)
    lo, hi = survival.copy(), survival.copy()
    if times.steps.size:
        # It takes a second to import, and most of what a study does needs nothing of it.
        from scipy.stats import CensoredData, ecdf  # noqa: PLC0415

        sample = CensoredData.right_censored(times.steps, ~times.observed)
        estimate = ecdf(sample).sf
        with warnings.catch_warnings():
            # The log(-log) of 0 and 1 is infinite: made good below.
            warnings.filterwarnings("ignore", "The confidence interval is undefined")
            interval = estimate.confidence_interval(LEVEL, method="log-log")
        survival, lo, hi = (
            np.asarray(part.evaluate(steps), np.float64)
            for part in (estimate, interval.low, interval.high)
        )
        kept, lost = survival == 1, survival == 0
        lo[kept], hi[kept] = TAIL ** (1 / np.maximum(at_risk[kept], 1)), 1.0
        lo[lost], hi[lost] = 0.0, 1 - TAIL ** (1 / max(int(times.observed.sum()), 1))
    unknown = (at_risk == 0) & (survival > 0)
    for part in (survival, lo, hi):
        part[unknown] = np.nan
    return Survival(survival, lo, hi, at_risk.astype(np.int64), _median(survival))


def survival_over_seeds(times: Sequence[Times], horizon: int) -> Survival:
    """Survival of an arm over training seeds: the mean of the curves of its seeds.

    Args:
        times: Of the starts of each seed.
        horizon: Number of env steps, at least 1.

    Returns:
        The mean of the seeds' product-limit estimates with its t interval over seeds, cut to
        [0, 1]. It is not on a logarithmic scale: seeds with no loss or no start left are common,
        and the mean of their logarithms is not the logarithm of the mean that is shown. The bounds
        are NaN where all seeds are equal, which shows no spread. NaN where any seed is.
        `at_risk` counts the starts of all seeds.

    Raises:
        ValueError: When the shapes differ or the horizon is below 1.
    """
    each = [kaplan_meier(one, horizon) for one in times]
    curves = np.array([one.survival for one in each]).reshape(-1, horizon)
    curves[:, np.isnan(curves).any(axis=0)] = np.nan
    found = t_curve(curves)
    spread = curves.max(axis=0, initial=0.0) > curves.min(axis=0, initial=1.0)
    lo = np.where(spread, np.maximum(found.lo, 0.0), np.nan)
    hi = np.where(spread, np.minimum(found.hi, 1.0), np.nan)
    at_risk = np.sum([one.at_risk for one in each], axis=0, dtype=np.int64, initial=0)
    return Survival(found.mean, lo, hi, np.broadcast_to(at_risk, horizon), _median(found.mean))


def _median(survival: FloatArray) -> int | None:
    """First step at which at most half are left, None when that is not reached."""
    reached = survival <= 0.5 + _ROUNDING
    return int(reached.argmax()) + 1 if reached.any() else None


def _check(times: Times, horizon: int) -> None:
    if times.steps.ndim != 1 or times.steps.shape != times.observed.shape:
        shapes = f"{times.steps.shape} and {times.observed.shape}"
        raise ValueError(f"steps and observed must have one shape (n,), got {shapes}")
    if horizon < 1:
        raise ValueError(f"the horizon must be at least 1, got {horizon}")
