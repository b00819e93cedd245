"""What a trial is worth: the value of a measure for its runs, from the stage store alone."""

from collections.abc import Iterable, Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from diamond.config.metric_table import REAL_SUFFIX
from diamond.engine.store import Store
from diamond.families.baselines import COPY_LAST
from diamond.findings.ablation_result import run_costs
from diamond.findings.arm_scores import read_scores
from diamond.findings.policy_returns import run_returns
from diamond.plan.plan import Plan, Run
from diamond.results.rollout_estimates import BOOTSTRAP_SEED, Scores, nan_mean, over_horizon
from diamond.seeds import Purpose, derive
from diamond.stats.intervals import (
    DEFAULT_NUM_RESAMPLES,
    LEVEL,
    Interval,
    bootstrap_interval,
    t_curve,
)
from diamond.sweep.declaration import Sweep
from diamond.sweep.objectives import SKILLS, Measure
from diamond.sweep.trials import instances, own_arms


def run_value(plan: Plan, run: Run, store: Store, measure: Measure) -> float | None:
    """The value of one run; None where it is not made or not defined."""
    own = measure.quantity
    match own.origin:
        case "metric":
            scores = read_scores(run, store)
            found = None if scores is None else _mean_at(scores[own.name], measure)
        case "distance":
            scores = read_scores(run, store)
            found = None if scores is None else _distance(scores, measure)
        case "skill":
            found = _skill(plan, run, store, measure)
        case "return":
            earned = run_returns(run, store)
            if earned is None:
                return None
            found = earned.mean if own.name == "return" else earned.hns
        case "cost":
            costs = run_costs(run, store)
            found = None if costs is None else float(getattr(costs, own.name))
        case _:
            assert_never(own.origin)
    return None if found is None or np.isnan(found) else found


def trial_value(plan: Plan, runs: Sequence[Run], store: Store, measure: Measure) -> float | None:
    """The mean over runs, every game with the same weight; None where any run has no value."""
    by_game: dict[str, list[float]] = {}
    for run in runs:
        value = run_value(plan, run, store, measure)
        if value is None:
            return None
        by_game.setdefault(run.config.game, []).append(value)
    means = [sum(values) / len(values) for values in by_game.values()]
    return sum(means) / len(means) if means else None


def trial_interval(plan: Plan, store: Store, measure: Measure) -> Interval | None:
    """95 % interval of a trial's value, over what it was repeated on.

    Over its seeds where it has several (t interval; with several games each seed's mean over
    them), else over the starts of its one run (bootstrap, of metrics and skills alone).
    """
    arms = own_arms(plan)
    if len(arms[0].runs) > 1:
        seeds = zip(*(arm.runs for arm in arms), strict=True)
        values = [trial_value(plan, runs, store, measure) for runs in seeds]
        if any(value is None for value in values):
            return None
        found = t_curve(np.array(values, dtype=np.float64)[:, None])
        return Interval(
            float(found.mean[0]), float(found.lo[0]), float(found.hi[0]), int(found.n[0])
        )
    run, own = arms[0].runs[0], measure.quantity
    scores = read_scores(run, store)
    if len(arms) > 1 or not own.has_steps or scores is None:
        return None
    seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, own.name)
    if own.origin == "metric":
        return bootstrap_interval(per_start(scores[own.name], measure), seed)
    errors = _errors(plan, run, store, measure) if own.origin == "skill" else None
    return None if errors is None else _skill_interval(*errors, measure, seed)


def trial_seconds(plan: Plan, store: Store) -> float:
    """Seconds of all stages of a trial's runs, those shared with others included."""
    specs = {spec.key: spec for run in instances(plan) for spec in run.stages}
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs.values()]
    return sum(float(m["timings"].get("seconds", 0.0)) for m in manifests if m)


def _mean_at(values: NDArray[np.float64], measure: Measure) -> float:
    return nan_mean(per_start(values, measure))


def per_start(values: NDArray[np.float64], measure: Measure) -> NDArray[np.float64]:
    """Value of each start, of (starts, horizon): at the time step, or the mean over all."""
    at = measure.time_step
    return over_horizon(values) if at is None else values[:, at - 1]


def _distance(scores: Scores, measure: Measure) -> float:
    name = measure.quantity.name
    imagined, real = scores[name], scores[f"{name}{REAL_SUFFIX}"]
    return abs(_mean_at(imagined, measure) - _mean_at(real, measure))


def _skill(plan: Plan, run: Run, store: Store, measure: Measure) -> float | None:
    """1 - error / error of the last frame repeated, pooled over the starts of a time step."""
    errors = _errors(plan, run, store, measure)
    if errors is None:
        return None
    own, copy = (error.sum(axis=0) for error in errors)
    return float(_skill_of(own[None], copy[None], measure)[0])


def _errors(
    plan: Plan, run: Run, store: Store, measure: Measure
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Errors (starts, horizon) of a run and of the last frame repeated, 0 where undefined."""
    metric = SKILLS[measure.quantity.name]
    copy = next(
        arm.runs[0]
        for arm in plan.arms
        if arm.name == COPY_LAST.title and arm.game == run.config.game
    )
    own, other = read_scores(run, store), read_scores(copy, store)
    if own is None or other is None:
        return None
    defined = ~np.isnan(own[metric]) & ~np.isnan(other[metric])
    return np.where(defined, own[metric], 0.0), np.where(defined, other[metric], 0.0)


def _skill_of(
    error: NDArray[np.float64], copy: NDArray[np.float64], measure: Measure
) -> NDArray[np.float64]:
    """Skill of summed errors (n, horizon): (n,), at the time step or the mean over all."""
    ratio = np.full(error.shape, np.nan)
    np.divide(error, copy, out=ratio, where=copy > 0)
    at = measure.time_step
    return over_horizon(1 - ratio) if at is None else 1 - ratio[:, at - 1]


def _skill_interval(
    error: NDArray[np.float64], copy: NDArray[np.float64], measure: Measure, seed: int
) -> Interval:
    """Percentile bootstrap over starts of a skill that pools them."""
    num_starts = len(error)
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = generator.multinomial(
        num_starts, np.full(num_starts, 1 / num_starts), size=DEFAULT_NUM_RESAMPLES
    )
    drawn = _skill_of(counts @ error, counts @ copy, measure)
    drawn = drawn[~np.isnan(drawn)]
    value = float(_skill_of(error.sum(axis=0)[None], copy.sum(axis=0)[None], measure)[0])
    if not len(drawn):
        return Interval(value, float("nan"), float("nan"), num_starts)
    tail = (1 - LEVEL) / 2
    lo, hi = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(lo), float(hi), num_starts)


def violations(sweep: Sweep, values: Iterable[float | None]) -> dict[str, float]:
    """How far each constraint is from being kept, at most 0 where it is; by name.

    Args:
        sweep: The sweep.
        values: Value per constraint, all of them defined.
    """
    said = sweep.declaration
    found = {}
    for bound, measure, value in zip(said.constraints, said.bounds, values, strict=True):
        assert value is not None
        if bound.at_most is not None:
            found[f"{measure.name} <= {bound.at_most:g}"] = value - bound.at_most
        elif bound.at_least is not None:
            found[f"{measure.name} >= {bound.at_least:g}"] = bound.at_least - value
    return found
