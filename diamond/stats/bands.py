"""Simultaneous confidence bands: the whole curve of true means lies inside.

What holds at one time step alone lives in `intervals`.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from diamond.arrays import FloatArray
from diamond.stats.intervals import LEVEL, TAIL
from diamond.stats.least_units import MIN_BOOTSTRAP_UNITS

NUM_SAMPLES = 4000
"""Simulated studies behind a critical value: its coverage has a standard error of .0034."""

NUM_BAND_RESAMPLES = 1000
"""Resamples behind a bootstrap band: the coverage of its quantile has a standard error of .007."""

MAX_WITHOUT_SPREAD = 0.005
"""Share of resamples in which no unit differs, at a time step whose band is still defined."""
ROUNDING = 1e-12
"""Spread that rounding leaves, as a share of the values."""
DUST = 1e-6
"""Variance of a resample that is no spread, as a share of that of the sample: scores are float32
numbers, and starts that score the same differ by their rounding. A band that divides by it
explodes."""
WINDOW = 0.1
"""Half the width of the window over which spread is pooled, as a share of the horizon."""

SMOOTH_LENGTHS = (0.2, 0.4, 0.8)
"""Length scales of the smooth deviations that a critical value allows for, over the horizon."""

ROUGH_TIMES = (0.0, 0.1)
"""Correlation times of the rough deviations that it allows for, over the horizon; 0 is noise."""

SMOOTH_STEPS = 100
"""Time steps that show a smooth deviation; more add nothing to its maximum."""


def t_band(values: FloatArray, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Simultaneous band for the mean of few curves, such as one for each training seed.

    With few curves their spread is nearly zero somewhere by chance, and a band that divides by it
    must be some ten times as wide as an interval at one time step (3 curves). So the spread at a
    time step is the larger of its own and that pooled over the neighbouring time steps, a fifth of
    the horizon; for the rest the width is free to change along the curve.

    Args:
        values: One curve for each unit, shape (n, horizon); NaN means undefined at that time step.
        seed: Seed of the simulation of the critical value, from `diamond.seeds.derive`.

    Returns:
        Mean, lower and upper bound, each of shape (horizon,): mean -/+ c s / sqrt(n) over the n
        units that are defined at a time step, NaN with fewer than two. c is the largest
        quantile over several laws of normal deviations, from noise to nearly constant ones: few
        curves do not tell which law is theirs. It is never below the t quantile, so that the
        band holds the t interval of each time step.

    Raises:
        ValueError: When the values are not a 2-D array.
    """
    _check(values)
    horizon = values.shape[1]
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    mean = _mean(values, defined)
    variance = np.where(
        count > 1,
        np.where(defined, (values - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1),
        0.0,
    )
    spread = np.sqrt(np.maximum(variance, _pooled(variance, np.maximum(count - 1, 0))))
    critical = np.full(horizon, np.nan)
    for n in np.unique(count[count > 1]):
        critical[count == n] = critical_value(int(n), horizon, seed)
    half_width = critical * spread / np.sqrt(np.maximum(count, 1))
    return mean, mean - half_width, mean + half_width


def bootstrap_band(
    values: FloatArray,
    seed: int,
    num_resamples: int = NUM_BAND_RESAMPLES,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Simultaneous band for the mean of many curves, such as one for each start of one model.

    A resample draws whole curves; the critical value is the quantile of the largest studentised
    deviation over time (bootstrap-t). It covers also where the curves are skewed.

    Args:
        values: One curve for each unit, shape (n, horizon); NaN means undefined at that time step.
        seed: Seed of the resampling, from `diamond.seeds.derive`.

    Returns:
        Mean, lower and upper bound, each of shape (horizon,): mean -/+ c s / sqrt(n) over the n
        units that are defined at a time step. The bounds are NaN where these are fewer than
        `MIN_BOOTSTRAP_UNITS`, or where so few of them differ that more than `MAX_WITHOUT_SPREAD` of
        the resamples have no spread; there the band promises nothing.

    Raises:
        ValueError: When the values are not a 2-D array.

    Source: Hall (1988), Theoretical comparison of bootstrap confidence intervals (bootstrap-t);
        Degras (2011), Simultaneous confidence bands for nonparametric regression with functional
        data (the supremum over the curve).
    """
    _check(values)
    defined = ~np.isnan(values)
    mean = _mean(values, defined)
    bounds = np.full((2, values.shape[1]), np.nan)
    count = defined.sum(axis=0)
    shown = count >= MIN_BOOTSTRAP_UNITS
    if not shown.any():
        return mean, bounds[0], bounds[1]
    present, n = defined[:, shown].astype(np.float64), count[shown]
    deviations = np.where(defined, values - mean, 0.0)[:, shown]
    standard_error = np.sqrt((deviations**2).sum(axis=0) / (n - 1) / n)
    varies = standard_error > ROUNDING * np.abs(mean[shown])
    critical = 0.0
    undefined = np.zeros(len(varies), np.bool_)
    if varies.any():
        scaled = deviations[:, varies] / standard_error[varies]
        largest, without_spread = _resampled_maxima(scaled, present[:, varies], seed, num_resamples)
        critical = float(np.quantile(largest, LEVEL))
        undefined[varies] = without_spread > MAX_WITHOUT_SPREAD
    half_width = np.where(undefined, np.nan, critical * standard_error)
    bounds[:, shown] = mean[shown] - half_width, mean[shown] + half_width
    return mean, bounds[0], bounds[1]


@lru_cache(maxsize=256)
def critical_value(n: int, horizon: int, seed: int) -> float:
    """Half the width of `t_band` in standard errors, by simulation.

    Args:
        n: Number of curves, at least 2.
        horizon: Number of time steps, at least 1.

    Returns:
        The largest over the laws of `SMOOTH_LENGTHS` (squared-exponential covariance) and
        `ROUGH_TIMES` (first-order autoregressive) of the quantile of max |mean| / standard error,
        and at least the t quantile, which is that of constant deviations.
    """
    pointwise = float(stdtrit(n - 1, 1 - TAIL))
    if horizon == 1:
        return pointwise
    rng = np.random.default_rng(seed)
    steps = min(horizon, SMOOTH_STEPS)
    rough = [_quantile(n, horizon, rng, _rough(share * horizon)) for share in ROUGH_TIMES]
    smooth = [_quantile(n, steps, rng, _smooth(share * steps, steps)) for share in SMOOTH_LENGTHS]
    return max(pointwise, *rough, *smooth)


def _rough(time: float) -> Callable[[FloatArray], FloatArray]:
    """Make independent noise (samples, steps) a stationary autoregression of unit variance."""
    correlation = float(np.exp(-1 / time)) if time else 0.0

    def law(noise: FloatArray) -> FloatArray:
        curves: FloatArray = np.sqrt(1 - correlation**2) * noise
        curves[:, 0] = noise[:, 0]
        # scipy.signal does the same in one call, and takes longer to import.
        for step in range(1, curves.shape[1]):
            curves[:, step] += correlation * curves[:, step - 1]
        return curves

    return law


def _smooth(length: float, steps: int) -> Callable[[FloatArray], FloatArray]:
    """Make independent noise (samples, steps) smooth curves of unit variance."""
    distance = np.subtract.outer(np.arange(steps), np.arange(steps)) / length
    # The ridge keeps the factor real where neighbours are equal but for rounding.
    factor = np.linalg.cholesky(np.exp(-(distance**2) / 2) + 1e-8 * np.eye(steps))
    return lambda noise: np.asarray(noise @ factor.T)


def _quantile(
    n: int,
    steps: int,
    rng: np.random.Generator,
    law: Callable[[FloatArray], FloatArray],
) -> float:
    """Quantile of the largest studentised mean where the deviations follow a law.

    The scaled mean of n normal curves and the n - 1 parts of their variance are independent
    processes of that same law, so that these are drawn rather than the curves.
    """
    mean = law(rng.normal(size=(NUM_SAMPLES, steps)))
    variance = np.zeros_like(mean)
    for _ in range(n - 1):
        variance += law(rng.normal(size=(NUM_SAMPLES, steps))) ** 2
    variance /= n - 1
    spread = np.maximum(variance, _pooled(variance, np.full(steps, n - 1)))
    return float(np.quantile((np.abs(mean) / np.sqrt(spread)).max(axis=1), LEVEL))


def _pooled(variance: FloatArray, freedom: FloatArray) -> FloatArray:
    """Pool variances (..., steps) over a window, weighted by degrees of freedom (steps,)."""
    steps = variance.shape[-1]
    half = max(1, round(WINDOW * steps))
    first = np.maximum(np.arange(steps) - half, 0)
    end = np.minimum(np.arange(steps) + half + 1, steps)
    total, weight = (
        np.concatenate([np.zeros((*part.shape[:-1], 1)), np.cumsum(part, axis=-1)], axis=-1)
        for part in (variance * freedom, np.asarray(freedom, np.float64))
    )
    # The difference of two sums may fall below 0 by rounding.
    summed = np.maximum(total[..., end] - total[..., first], 0.0)
    return np.asarray(summed / np.maximum(weight[end] - weight[first], 1.0))


def _resampled_maxima(
    scaled: FloatArray, present: FloatArray, seed: int, num_resamples: int
) -> tuple[FloatArray, FloatArray]:
    """Largest |deviation| in its own standard errors of each resample: (resamples,).

    Time steps at which more than `MAX_WITHOUT_SPREAD` of the resamples have no spread are left
    out: their deviations have no scale. Elsewhere such a resample counts for nothing there.

    Args:
        scaled: Deviations from the mean of each time step over its standard error, 0 where
            undefined, (n, steps).
        present: 1 where defined, else 0, (n, steps).

    Returns:
        The largest deviations, and the share of the resamples without spread, (steps,).
    """
    n = scaled.shape[0]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=num_resamples)
    weights = counts.astype(np.float64)
    count = np.maximum(weights @ present, 1.0)
    mean = weights @ scaled / count
    variance = (weights @ scaled**2 / count - mean**2) * count / np.maximum(count - 1, 1.0)
    # The variance of the sample itself is about n.
    spread = variance > DUST * n
    without = 1 - spread.mean(axis=0)
    ratio = np.zeros(mean.shape)
    np.divide(
        np.abs(mean) * np.sqrt(count),
        np.sqrt(np.maximum(variance, 0.0)),
        out=ratio,
        where=spread & (without <= MAX_WITHOUT_SPREAD),
    )
    return np.asarray(ratio.max(axis=1)), np.asarray(without)


def _mean(values: FloatArray, defined: NDArray[np.bool_]) -> FloatArray:
    """Mean over the units that are defined, NaN where none is: (horizon,)."""
    count = defined.sum(axis=0)
    mean = np.full(values.shape[1], np.nan)
    np.divide(np.where(defined, values, 0.0).sum(axis=0), count, out=mean, where=count > 0)
    return mean


def _check(values: FloatArray) -> None:
    if values.ndim != 2:
        raise ValueError(f"curves must have shape (n, horizon), got {values.shape}")
