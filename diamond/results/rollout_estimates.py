"""From the scores of rollouts to estimates: per run, and per arm with intervals.

Differences of arms live in `comparisons`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load_file

from diamond.config.base import Record
from diamond.config.metric_table import RESULT_METRICS, RETURN, MetricSpec, is_set
from diamond.results.metric_model import Curve, Estimate, Interval, Metric
from diamond.results.played_episodes import PlayedGames
from diamond.results.values import MEAN, Number, Numbers
from diamond.seeds import Purpose, derive
from diamond.stats import intervals as stats
from diamond.stats.bands import bootstrap_band, t_band
from diamond.stats.intervals import (
    LEVEL,
    CurveIntervals,
    bootstrap_curve,
    bootstrap_interval,
    t_curve,
)

Scores = Mapping[str, NDArray[np.float64]]
"""Array (starts, horizon) per metric, (1, 1) where one value is for all frames of a run.

Column j is time step t = j + 1; NaN where undefined or masked.
"""

REPORT_STEPS = (1, 5, 10, 20, 50, 100)
METHOD_SEEDS = "t over seeds"
METHOD_STARTS = "bootstrap over starts within one trained model"
BAND_SEEDS = "t over seeds, spread pooled over neighbouring time steps"
BAND_STARTS = "bootstrap-t over starts within one trained model"
BOOTSTRAP_SEED = 0


class RunMeans(Record):
    """Means over the starts of a run."""

    metrics: dict[str, dict[str, Number]] = Field(description="at report steps and `MEAN`")
    curves: dict[str, Numbers] = Field(description="at each time step; none of a set")


class ArmEstimates(Record):
    """Numbers of one arm: at report steps and over the horizon, and curves with intervals."""

    metrics: dict[str, dict[str, Estimate | None]] = Field(
        description="at report steps and `MEAN`; a metric of a set has its one value there"
    )
    curves: dict[str, Curve] = Field(description="none of a set")
    num_starts: int = Field(description="of the first run")


@lru_cache(maxsize=16)
def load_scores(paths: tuple[Path, ...]) -> Scores:
    """The scores of a run from the files of its scoring stages, which never change."""
    return {name: array for path in paths for name, array in _load(path).items()}


def _load(path: Path) -> Scores:
    """Scores, or what was played: of that the mean return."""
    if path.suffix != ".json":
        return load_file(path)
    games = PlayedGames.model_validate_json(path.read_text())
    return {RETURN.name: np.array([[games.played.mean]])}


def report_steps(horizon: int) -> tuple[int, ...]:
    """The time steps shown in tables and film strips: those within the horizon, and its end."""
    return tuple(sorted({step for step in REPORT_STEPS if step <= horizon} | {horizon}))


def run_means(scores: Scores, horizon: int) -> RunMeans:
    """Means of a run at the report steps, over the horizon and at every time step."""
    return RunMeans(
        metrics={name: _means(name, values, horizon) for name, values in scores.items()},
        curves={
            name: tuple(nan_mean(column) for column in values.T)
            for name, values in scores.items()
            if not is_set(name)
        },
    )


def _means(name: str, values: NDArray[np.float64], horizon: int) -> dict[str, float | None]:
    steps = () if is_set(name) else report_steps(horizon)
    at: dict[str, float | None] = {str(step): nan_mean(values[:, step - 1]) for step in steps}
    return at | {MEAN: nan_mean(over_horizon(values))}


def described(names: Collection[str], own: Iterable[MetricSpec] = ()) -> tuple[Metric, ...]:
    """The metrics of these names, in the order of tables; the user's own come last."""
    return tuple(
        Metric(
            name=spec.name,
            label=spec.label,
            unit=spec.unit,
            direction=spec.direction,
            group=spec.group,
            kind=spec.kind,
            low=spec.low,
            high=spec.high,
        )
        for spec in (*RESULT_METRICS, *own)
        if spec.name in names
    )


def arm_estimates(
    per_seed: Sequence[Scores], horizon: int, num_seeds: int | None = None
) -> ArmEstimates:
    """Estimates of an arm from the scores of its runs.

    With two or more seeds the seed is the unit and t intervals are over the means of the seeds;
    with one seed the start is the unit and the bootstrap says nothing of training again.

    Args:
        per_seed: Scores of its runs; at least one.
        horizon: Time steps of its rollouts.
        num_seeds: Runs that have any score, None where these are all.
    """
    seeds_decide = (num_seeds or len(per_seed)) > 1
    metrics: dict[str, dict[str, Estimate | None]] = {}
    curves: dict[str, Curve] = {}
    for name in dict.fromkeys(name for scores in per_seed for name in scores):
        arrays = [scores[name] for scores in per_seed if name in scores]
        steps = () if is_set(name) else report_steps(horizon)
        if seeds_decide:
            metrics[name], curve = _over_seeds(arrays, steps)
        else:
            metrics[name], curve = _over_starts(arrays[0], steps, name)
        if not is_set(name):
            curves[name] = curve
    num_starts = max(len(values) for values in per_seed[0].values())
    return ArmEstimates(metrics=metrics, curves=curves, num_starts=num_starts)


def arm_interval(num_seeds: int, num_starts: int) -> Interval:
    """How the intervals of an arm with so many scored runs, of so many starts, are made."""
    many = num_seeds > 1
    return Interval(
        level=LEVEL,
        method=METHOD_SEEDS if many else METHOD_STARTS,
        band_method=BAND_SEEDS if many else BAND_STARTS,
        unit="seed" if many else "start",
        n=num_seeds if many else num_starts,
    )


def over_horizon(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over time of (starts, horizon), NaN left out: (starts,)."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=1)
    mean = np.full(len(values), np.nan)
    np.divide(np.where(defined, values, 0.0).sum(axis=1), count, out=mean, where=count > 0)
    return mean


def nan_mean(values: NDArray[np.float64]) -> float:
    """Mean of (n,), NaN left out; NaN when nothing is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _estimate(found: stats.Interval) -> Estimate | None:
    """An interval as it stands in a result; None where no unit has a value."""
    if np.isnan(found.mean):
        return None
    return Estimate(mean=found.mean, lo=found.lo, hi=found.hi, n=found.n)


def _over_seeds(
    arrays: Sequence[NDArray[np.float64]], steps: Sequence[int]
) -> tuple[dict[str, Estimate | None], Curve]:
    """Estimates of a metric from the means of each seed over its starts."""
    means = np.array([_mean_over_starts(array) for array in arrays])
    totals = np.array([nan_mean(over_horizon(array)) for array in arrays])
    found, total = t_curve(means), t_curve(totals[:, None])
    at = {str(step): _estimate(_at(found, step - 1)) for step in steps}
    _, band_lo, band_hi = t_band(means, derive(BOOTSTRAP_SEED, Purpose.BANDS))
    return at | {MEAN: _estimate(_at(total, 0))}, _curve(
        found.mean, found.lo, found.hi, band_lo, band_hi
    )


def _over_starts(
    values: NDArray[np.float64], steps: Sequence[int], name: str
) -> tuple[dict[str, Estimate | None], Curve]:
    """Estimates of a metric from the starts of one trained model."""
    seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, name)
    units = {str(step): values[:, step - 1] for step in steps}
    units[MEAN] = over_horizon(values)
    mean, lo, hi = bootstrap_curve(values, seed)
    _, band_lo, band_hi = bootstrap_band(values, derive(BOOTSTRAP_SEED, Purpose.BANDS, name))
    return {at: _estimate(bootstrap_interval(unit, seed)) for at, unit in units.items()}, _curve(
        mean, lo, hi, band_lo, band_hi
    )


def _mean_over_starts(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over starts of (starts, horizon), NaN left out: (horizon,)."""
    return over_horizon(values.T)


def _curve(*parts: NDArray[np.float64]) -> Curve:
    mean, lo, hi, band_lo, band_hi = (part.tolist() for part in parts)
    return Curve(mean=mean, lo=lo, hi=hi, band_lo=band_lo, band_hi=band_hi)


def _at(found: CurveIntervals, index: int) -> stats.Interval:
    return stats.Interval(
        float(found.mean[index]),
        float(found.lo[index]),
        float(found.hi[index]),
        int(found.n[index]),
    )
