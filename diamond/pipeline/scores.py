"""From the scores of rollouts to estimates: per run, and per arm with intervals.

Differences of arms live in `comparisons`.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from diamond.config.metrics import is_set
from diamond.seeds import Purpose, derive
from diamond.stats.intervals import Interval, bootstrap_curve, bootstrap_interval, t_interval

Scores = Mapping[str, NDArray[np.float64]]
"""Array (starts, horizon) per metric, (1, 1) where one value is for all frames of a run.

Column j is time step t = j + 1; NaN where undefined or masked.
"""

REPORT_STEPS = (1, 5, 10, 20, 50, 100)
MEAN = "mean"
METHOD_SEEDS = "t over seeds"
METHOD_STARTS = "bootstrap over starts within one trained model"
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class ArmEstimates:
    """Numbers of one arm: at report steps and over the horizon, and curves with intervals.

    A metric of a set has its one value under `MEAN` and no curve.
    """

    metrics: dict[str, dict[str, Any]]
    curves: dict[str, dict[str, list[float | None]]]
    interval: dict[str, Any]


@lru_cache(maxsize=16)
def load_scores(paths: tuple[Path, ...]) -> Scores:
    """The scores of a run from the files of its scoring stages, which never change."""
    return {name: array for path in paths for name, array in load_file(path).items()}


def report_steps(horizon: int) -> list[int]:
    """The time steps shown in tables and film strips: those within the horizon, and its end."""
    return sorted({step for step in REPORT_STEPS if step <= horizon} | {horizon})


def run_metrics(scores: Scores, horizon: int) -> dict[str, dict[str, float | None]]:
    """Means over starts at the report steps and over the whole horizon; of a set its one value."""
    found: dict[str, dict[str, float | None]] = {}
    for name, values in scores.items():
        steps = [] if is_set(name) else report_steps(horizon)
        at = {str(step): number(nan_mean(values[:, step - 1])) for step in steps}
        found[name] = at | {MEAN: number(nan_mean(over_horizon(values)))}
    return found


def arm_estimates(per_seed: Sequence[Scores], horizon: int) -> ArmEstimates:
    """Estimates of an arm from the scores of its runs.

    With two or more seeds the seed is the unit and t intervals are over the means of the seeds;
    with one seed the start is the unit and the bootstrap says nothing of training again.
    """
    many = len(per_seed) > 1
    metrics: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, list[float | None]]] = {}
    for name in dict.fromkeys(name for scores in per_seed for name in scores):
        arrays = [scores[name] for scores in per_seed if name in scores]
        seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, name)
        metrics[name] = {}
        steps = [] if is_set(name) else report_steps(horizon)
        for step in [*map(str, steps), MEAN]:
            units = [over_horizon(a) if step == MEAN else a[:, int(step) - 1] for a in arrays]
            if many:
                interval = t_interval(np.array([nan_mean(unit) for unit in units]))
            else:
                interval = bootstrap_interval(units[0], seed)
            metrics[name][step] = _interval(interval)
        if not is_set(name):
            curves[name] = _curve(arrays, seed)
    num_starts = max(len(values) for values in per_seed[0].values())
    return ArmEstimates(
        metrics,
        curves,
        {
            "level": 0.95,
            "method": METHOD_SEEDS if many else METHOD_STARTS,
            "unit": "seed" if many else "start",
            "n": len(per_seed) if many else num_starts,
        },
    )


def over_horizon(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over time of (starts, horizon), NaN left out: (starts,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a start that is never defined stays NaN
        mean: NDArray[np.float64] = np.nanmean(values, axis=1)
    return mean


def nan_mean(values: NDArray[np.float64]) -> float:
    """Mean of (n,), NaN left out; NaN when nothing is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def number(value: float) -> float | None:
    """A number for JSON: None for NaN."""
    return None if np.isnan(value) else float(value)


def numbers(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON."""
    return [number(float(value)) for value in values]


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        "mean": number(interval.mean),
        "lo": number(interval.lo),
        "hi": number(interval.hi),
        "n": interval.n,
    }


def _curve(arrays: Sequence[NDArray[np.float64]], seed: int) -> dict[str, list[float | None]]:
    if len(arrays) == 1:
        mean, lo, hi = bootstrap_curve(arrays[0], seed)
        return {"mean": numbers(mean), "lo": numbers(lo), "hi": numbers(hi)}
    columns = [
        t_interval(np.array([nan_mean(array[:, index]) for array in arrays]))
        for index in range(arrays[0].shape[1])
    ]
    return {
        "mean": numbers([column.mean for column in columns]),
        "lo": numbers([column.lo for column in columns]),
        "hi": numbers([column.hi for column in columns]),
    }
