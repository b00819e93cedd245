"""What each flip of a path changed: per direction, as a range per factor, and as a sum."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from diamond.config.base import Record, canonical
from diamond.plan.path import DIRECTIONS, Direction, Path
from diamond.results import path_model as model
from diamond.results.comparisons import scored_metrics
from diamond.results.rollout_estimates import BOOTSTRAP_SEED, Scores, nan_mean, over_horizon
from diamond.seeds import Purpose, derive
from diamond.stats.paired import paired_seeds, paired_starts


@dataclass(frozen=True)
class _Values:
    """One metric of all arms of a path, over the cells that they share.

    Attributes:
        units: Per arm one value for each replicate.
        over: What a replicate is: a training seed, or a start of one trained model.
        share: Cells that all arms share, of those in which any is defined; None without any.
    """

    metric: str
    units: Mapping[str, NDArray[np.float64]]
    over: Literal["seed", "start"]
    share: float | None


def path_result(path: Path, scores: Mapping[str, Sequence[Scores]], num_seeds: int) -> model.Path:
    """The walks of a path on one game, with what they changed in every metric.

    All arms of the path are compared over the cells (start, time step) in which every one of them
    is defined, so that the changes of a walk sum to the total.

    Args:
        path: The walks.
        scores: Per arm the scores of its finished runs.
        num_seeds: Runs that an arm has when it is whole; one with fewer has no value.
    """
    whole = {arm: runs for arm, runs in scores.items() if len(runs) == num_seeds}
    measured = scored_metrics(run for runs in whole.values() for run in runs)
    return model.Path(
        start=path.start,
        end=path.end,
        factors=tuple(
            model.Factor(name=factor.name, old=_plain(factor.old), new=_plain(factor.new))
            for factor in path.factors
        ),
        walks={
            direction: tuple(model.Step(**asdict(flip)) for flip in path.walks[direction])
            for direction in DIRECTIONS
        },
        left_out=tuple(model.LeftOut(**asdict(left)) for left in path.left_out),
        metrics={name: _metric(path, whole, name) for name in measured},
    )


def _plain(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    """The value per field of a factor as plain data: it may be a record or a tuple."""
    return {
        field: canonical(value) if isinstance(value, Record) else json.loads(json.dumps(value))
        for field, value in values.items()
    }


def factor_groups(path: Path) -> list[tuple[str, ...]]:
    """The smallest groups of factors whose change both walks tell apart from the rest.

    Single factors, unless a walk flips some jointly because a combination was left out.
    """
    names = [factor.name for factor in path.factors]
    group = {name: {name} for name in names}
    for flip in (flip for walk in path.walks.values() for flip in walk):
        merged = set().union(*(group[name] for name in flip.factors))
        group |= dict.fromkeys(merged, merged)
    ordered = [tuple(other for other in names if other in group[name]) for name in names]
    return list(dict.fromkeys(ordered))


def _metric(path: Path, whole: Mapping[str, Sequence[Scores]], metric: str) -> model.PathMetric:
    values = _values(whole, metric)
    walks: dict[str, tuple[model.Flip, ...]] = {
        direction: _walk(path, direction, values) for direction in DIRECTIONS
    }
    return model.PathMetric(
        values={arm: nan_mean(units) for arm, units in values.units.items()},
        cells_share=values.share,
        walks=walks,
        ranges=tuple(_range(path, group, values) for group in factor_groups(path)),
        total=_change([(path.start, path.end)], values),
        sums={direction: _sum(walks[direction]) for direction in DIRECTIONS},
    )


def _values(whole: Mapping[str, Sequence[Scores]], metric: str) -> _Values:
    found = {
        arm: np.stack([scores[metric] for scores in runs])
        for arm, runs in whole.items()
        if any(np.isfinite(scores[metric]).any() for scores in runs)
    }
    if not found:
        return _Values(metric, {}, "seed", None)
    undefined = np.isnan(np.stack(list(found.values())))
    lost, defined = undefined.any(axis=0), ~undefined.all(axis=0)
    many = len(next(iter(found.values()))) > 1
    units = {}
    for arm, values in found.items():
        starts = [over_horizon(run) for run in np.where(lost, np.nan, values)]
        units[arm] = np.array([nan_mean(run) for run in starts]) if many else starts[0]
    over: Literal["seed", "start"] = "seed" if many else "start"
    return _Values(metric, units, over, float((~lost).sum() / defined.sum()))


def _walk(path: Path, direction: Direction, values: _Values) -> tuple[model.Flip, ...]:
    before, flips = path.start, []
    for flip in path.walks[direction]:
        change = _change([(before, flip.arm)], values)
        flips.append(model.Flip(factors=flip.factors, before=before, after=flip.arm, change=change))
        before = flip.arm
    return tuple(flips)


def _range(path: Path, group: tuple[str, ...], values: _Values) -> model.FactorRange:
    """What a group of factors changed in both walks, and how far the two are apart."""
    found: dict[Direction, model.Change] = {}
    for direction in DIRECTIONS:
        steps, before = [], path.start
        for flip in path.walks[direction]:
            if set(flip.factors) <= set(group):
                steps.append((before, flip.arm))
            before = flip.arm
        found[direction] = _change(steps, values)
    known = [change.change for change in found.values() if change.change is not None]
    both = len(known) == len(found)
    return model.FactorRange(
        factors=group,
        forward=found["forward"],
        backward=found["backward"],
        min=min(known) if both else None,
        max=max(known) if both else None,
    )


def _sum(flips: Sequence[model.Flip]) -> float | None:
    changes = [flip.change.change for flip in flips]
    known = [change for change in changes if change is not None]
    return float(sum(known)) if len(known) == len(changes) else None


def _change(steps: Sequence[tuple[str, str]], values: _Values) -> model.Change:
    """The sum of the changes between pairs of arms, with an interval over the replicates."""
    units = values.units
    if not all(arm in units for step in steps for arm in step):
        return model.Change()
    before = np.sum([units[one] for one, _ in steps], axis=0)
    after = np.sum([units[other] for _, other in steps], axis=0)
    if values.over == "seed":
        paired = paired_seeds(after, before)
    else:
        seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, values.metric)
        paired = paired_starts(after, before, seed)
    return model.Change(
        change=paired.difference,
        lo=paired.lo,
        hi=paired.hi,
        n=paired.n,
        unit=paired.unit,
        method=paired.method,
    )
