"""What each flip of a path changed: per direction, as a range per factor, and as a sum."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diamond.ablation.path import DIRECTIONS, Direction, Path
from diamond.pipeline.comparisons import scored_metrics
from diamond.pipeline.scores import BOOTSTRAP_SEED, MEAN, Scores, nan_mean, number, over_horizon
from diamond.seeds import Purpose, derive
from diamond.stats.paired import paired_seeds, paired_starts


@dataclass(frozen=True)
class _Values:
    """One metric of all arms of a path, over the cells that they share.

    Attributes:
        metric: Its name.
        units: Per arm one value for each replicate.
        over: What a replicate is: a training seed, or a start of one trained model.
        share: Cells that all arms share, of those in which any is defined; None without any.
    """

    metric: str
    units: Mapping[str, NDArray[np.float64]]
    over: Literal["seed", "start"]
    share: float | None


def path_document(
    path: Path, scores: Mapping[str, Sequence[Scores]], num_seeds: int
) -> dict[str, Any]:
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
    return {
        "from": path.start,
        "to": path.end,
        "at": MEAN,
        "factors": [
            {"name": factor.name, "from": dict(factor.old), "to": dict(factor.new)}
            for factor in path.factors
        ],
        "walks": {
            direction: [asdict(flip) for flip in path.walks[direction]] for direction in DIRECTIONS
        },
        "left_out": [asdict(left) for left in path.left_out],
        "metrics": {spec.name: _metric(path, whole, spec.name) for spec in measured},
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


def _metric(path: Path, whole: Mapping[str, Sequence[Scores]], metric: str) -> dict[str, Any]:
    values = _values(whole, metric)
    walks = {direction: _walk(path, direction, values) for direction in DIRECTIONS}
    return {
        "values": {arm: number(nan_mean(units)) for arm, units in values.units.items()},
        "cells_share": values.share,
        "walks": walks,
        "ranges": [_range(path, group, values) for group in factor_groups(path)],
        "total": _change([(path.start, path.end)], values),
        "sums": {direction: _sum(walks[direction]) for direction in DIRECTIONS},
    }


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


def _walk(path: Path, direction: Direction, values: _Values) -> list[dict[str, Any]]:
    before, rows = path.start, []
    for flip in path.walks[direction]:
        ends = {"factors": list(flip.factors), "before": before, "after": flip.arm}
        rows.append(ends | _change([(before, flip.arm)], values))
        before = flip.arm
    return rows


def _range(path: Path, group: tuple[str, ...], values: _Values) -> dict[str, Any]:
    """What a group of factors changed in both walks, and how far the two are apart."""
    row: dict[str, Any] = {"factors": list(group)}
    for direction in DIRECTIONS:
        steps, before = [], path.start
        for flip in path.walks[direction]:
            if set(flip.factors) <= set(group):
                steps.append((before, flip.arm))
            before = flip.arm
        row[direction] = _change(steps, values)
    changes = [row[direction]["change"] for direction in DIRECTIONS]
    known = None not in changes
    return row | {"min": min(changes) if known else None, "max": max(changes) if known else None}


def _sum(rows: Sequence[Mapping[str, Any]]) -> float | None:
    changes = [row["change"] for row in rows]
    return None if None in changes else float(sum(changes))


def _change(steps: Sequence[tuple[str, str]], values: _Values) -> dict[str, Any]:
    """The sum of the changes between pairs of arms, with an interval over the replicates."""
    units = values.units
    if not all(arm in units for step in steps for arm in step):
        return {"change": None, "lo": None, "hi": None, "n": 0, "unit": None, "method": None}
    before = np.sum([units[one] for one, _ in steps], axis=0)
    after = np.sum([units[other] for _, other in steps], axis=0)
    if values.over == "seed":
        paired = paired_seeds(after, before)
    else:
        seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, values.metric)
        paired = paired_starts(after, before, seed)
    return {
        "change": number(paired.difference),
        "lo": number(paired.lo),
        "hi": number(paired.hi),
        "n": paired.n,
        "unit": paired.unit,
        "method": paired.method,
    }
