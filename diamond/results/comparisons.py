"""Differences of the arms of a study to its baseline arm, and the noise floor.

What a difference is lives in `diamond.stats`, what a run and an arm scored in
`rollout_estimates`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diamond.config.metric_table import METRIC_OF, RESULT_METRICS, is_set
from diamond.results.comparison_model import (
    NO_INTERVAL,
    ON_THE_WAY,
    ONE_SEED,
    Comparison,
    Decision,
    Family,
    NoiseFloor,
)
from diamond.results.rollout_estimates import (
    BOOTSTRAP_SEED,
    Scores,
    nan_mean,
    over_horizon,
    report_steps,
)
from diamond.results.values import MEAN
from diamond.seeds import Purpose, derive
from diamond.stats.difference import Difference
from diamond.stats.intervals import LEVEL
from diamond.stats.multiple import holm
from diamond.stats.paired import paired_seeds, paired_starts
from diamond.stats.power import detectable_difference, noise_floor
from diamond.stats.unpaired import welch

Role = Literal["arm", "control", "reference", "path"]
"""An arm, an A/A arm (the baseline arm with other seeds), a world model without training, an arm
on the way of a path."""

FAMILIES = ("primary", "secondary")
"""Families of comparisons that are corrected, each for its own number."""

NO_FLOOR = "not defined: needs two seeds"
METHOD_APART = (
    "bootstrap over paired starts of one trained model per arm: says nothing of training again"
)


@dataclass(frozen=True)
class Scored:
    """An arm with what it has been scored.

    Attributes:
        role: What it is beside the baseline arm.
        scores: Scores of its finished runs by training seed.
        num_seeds: Training seeds that were asked for.
        model: What of its first run was trained and imagines; arms with equal ones share it.
    """

    name: str
    role: Role
    scores: Mapping[int, Scores]
    num_seeds: int
    model: str | None = None


def compare(arm: Scored, baseline: Scored, metric: str) -> Difference:
    """Difference arm - baseline of a metric's mean over the horizon.

    Over the seeds that both have finished, and the cells that both have defined. A reference has no
    training seed: its scores stand against those of every seed of the baseline arm. A control has
    other seeds than the baseline arm and nothing is paired. With one seed asked for, starts are the
    unit: of one trained model, or of one per arm, which the method then says.
    """
    if arm.role == "control":
        own, others = arm.scores.values(), baseline.scores.values()
        return welch(_seed_means(own, metric), _seed_means(others, metric))
    pairs = [_both(one[metric], other[metric]) for one, other in _pairs(arm, baseline)]
    if baseline.num_seeds > 1:
        means = np.array([[nan_mean(over_horizon(side)) for side in pair] for pair in pairs])
        means = means.reshape(-1, 2)
        return paired_seeds(means[:, 0], means[:, 1])
    seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, metric)
    a, b = pairs[0] if pairs else (np.empty((0, 1)), np.empty((0, 1)))
    found = paired_starts(over_horizon(a), over_horizon(b), seed)
    return replace(found, method=METHOD_APART) if _trained_apart(arm, baseline) else found


def _trained_apart(arm: Scored, baseline: Scored) -> bool:
    """Whether one seed of each says nothing of their difference."""
    one_seed, trained = baseline.num_seeds == 1, arm.role != "reference"
    return one_seed and trained and arm.model != baseline.model


def comparison_rows(
    arm: Scored, baseline: Scored, game: str, primary: str
) -> tuple[Comparison, ...]:
    """Compare an arm with the baseline arm on every metric that both were scored in.

    `corrected` adds what depends on all rows.

    Returns:
        A row for each metric, a - b with `b` the baseline arm.
    """
    metrics = scored_metrics([*arm.scores.values(), *baseline.scores.values()])
    return tuple(_comparison(arm, baseline, game, name, name == primary) for name in metrics)


def best_rows(best: Scored, other: Scored, game: str, primary: str) -> tuple[Comparison, ...]:
    """Compare the best arm with another one that is not the baseline arm, on the primary metric.

    Returns:
        One row, best - other, of the family of the comparisons with the baseline arm, and without
        a noise floor, which is the baseline arm's; none where either was not scored.
    """
    if primary not in scored_metrics([*best.scores.values(), *other.scores.values()]):
        return ()
    row = _comparison(best, other, game, primary, is_primary=True)
    return (row.model_copy(update={"within_noise": None}),)


def _comparison(
    arm: Scored, baseline: Scored, game: str, metric: str, is_primary: bool
) -> Comparison:
    found = compare(arm, baseline, metric)
    floor = noise_floor(_seed_means(baseline.scores.values(), metric))
    undefined = np.isnan([floor, found.difference]).any()
    return Comparison(
        game=game,
        metric=metric,
        a=arm.name,
        b=baseline.name,
        family=_family(arm.role, is_primary),
        difference=found.difference,
        lo=found.lo,
        hi=found.hi,
        n=found.n,
        unit=found.unit,
        method=found.method,
        p_t=found.p_t,
        p=found.p,
        p_min=found.p_min,
        within_noise=None if undefined else bool(abs(found.difference) <= floor),
        detectable=detectable_difference(found.sd, found.n),
        detectable_next=detectable_difference(found.sd, found.n + 1) if found.n > 1 else None,
        reason=_reason(arm, baseline, found),
    )


def corrected(rows: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Correct the comparisons of a study for their number and decide what each shows.

    A family is all arms and games on the primary metric, or all arms, games and other metrics;
    controls, references, arms on the way of a path and rows with a reason belong to none. Holm's
    procedure goes over the p values of the t tests, which agree with the intervals, and beside
    them over the sign-flip p values.

    Args:
        rows: What `comparison_rows` and `best_rows` returned, of all arms and games.

    Returns:
        The rows in their order with `p_t_corrected`, `p_corrected`, `family_size` (None where
        nothing is corrected) and `decision`.
    """
    done = [
        row
        if row.family in FAMILIES
        else row.model_copy(update={"p_t_corrected": row.p_t, "p_corrected": row.p})
        for row in rows
    ]
    for family in FAMILIES:
        places = [
            i
            for i, row in enumerate(done)
            if row.family == family and row.p_t is not None and row.reason is None
        ]
        p_t, p = holm([done[i].p_t for i in places]), holm([done[i].p for i in places])
        for place, own_t, own in zip(places, p_t, p, strict=True):
            found = {"p_t_corrected": own_t, "p_corrected": own, "family_size": len(places)}
            done[place] = done[place].model_copy(update=found)
    return tuple(row.model_copy(update={"decision": _decision(row)}) for row in done)


def scored_metrics(runs: Iterable[Scores]) -> list[str]:
    """The metrics that all of some runs were scored in, in the order of tables."""
    found = list(runs)
    own = sorted({name for scores in found for name in scores} - METRIC_OF.keys())
    names = [*(spec.name for spec in RESULT_METRICS), *own]
    return [name for name in names if all(name in scores for scores in found)]


def noise_rows(baseline: Scored, game: str, horizon: int) -> tuple[NoiseFloor, ...]:
    """The noise floor of every metric from the seeds of the baseline arm.

    Returns:
        A row for each metric: the floor at the report steps and over the horizon (`at`) and at
        every time step (`curve`, empty for a metric of a set), None with the `reason` where it is
        not defined. Nothing where nothing was scored.
    """
    if not baseline.scores:
        return ()
    rows = []
    for name in scored_metrics(baseline.scores.values()):
        runs = [run[name] for run in baseline.scores.values()]
        has_steps = not is_set(name)
        means = np.array([[nan_mean(column) for column in run.T] for run in runs])
        curve = np.array([noise_floor(column) for column in means.T] if has_steps else [])
        over = noise_floor(_seed_means(baseline.scores.values(), name))
        steps = report_steps(horizon) if has_steps else ()
        at = {str(step): curve[step - 1] for step in steps}
        rows.append(
            NoiseFloor(
                game=game,
                metric=name,
                arm=baseline.name,
                n=len(runs),
                at=at | {MEAN: over},
                curve=curve.tolist(),
                reason=NO_FLOOR if len(runs) < 2 else None,
            )
        )
    return tuple(rows)


def _reason(arm: Scored, baseline: Scored, found: Difference) -> str | None:
    """Why a comparison decides nothing; None where it may."""
    if np.isnan([found.lo, found.hi]).any():
        return NO_INTERVAL
    if arm.role == "path":
        return ON_THE_WAY
    return ONE_SEED if _trained_apart(arm, baseline) else None


def _family(role: Role, is_primary: bool) -> Family:
    if role != "arm":
        return role
    return "primary" if is_primary else "secondary"


def _decision(row: Comparison) -> Decision:
    """What a comparison shows: its own interval, and where it has a family Holm's p as well."""
    if row.reason is not None or row.lo is None or row.hi is None:
        return "undefined"
    if row.lo <= 0 <= row.hi:
        return "not shown"
    adjusted = row.p_t_corrected if row.family_size is not None else None
    lost = adjusted is not None and adjusted > 1 - LEVEL
    return "shown alone" if lost else "shown"


def _pairs(arm: Scored, baseline: Scored) -> list[tuple[Scores, Scores]]:
    if arm.role == "reference":
        return [(own, other) for own in arm.scores.values() for other in baseline.scores.values()]
    common = [seed for seed in baseline.scores if seed in arm.scores]
    return [(arm.scores[seed], baseline.scores[seed]) for seed in common]


def _seed_means(runs: Iterable[Scores], metric: str) -> NDArray[np.float64]:
    """Mean over starts and horizon of each run: (seeds,)."""
    return np.array([nan_mean(over_horizon(run[metric])) for run in runs])


def _both(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    undefined = np.isnan(a) | np.isnan(b)
    return np.where(undefined, np.nan, a), np.where(undefined, np.nan, b)
