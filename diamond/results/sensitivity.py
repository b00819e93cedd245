"""Which metrics tell a known defect from the baseline arm: positive controls of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diamond.config.metric_table import METRIC_OF, REAL_SUFFIX, MetricSpec, is_set
from diamond.results.comparison_model import Comparison, Seen, Sensitivity
from diamond.results.comparisons import scored_metrics
from diamond.results.rollout_estimates import BOOTSTRAP_SEED, Scores, nan_mean, over_horizon
from diamond.seeds import Purpose, derive
from diamond.stats.paired import paired_starts


@dataclass(frozen=True)
class Control:
    """The baseline arm with a defect, and without it.

    Attributes:
        spoilt: Scores of its runs by training seed.
        sound: Scores of the runs of the baseline arm.
    """

    game: str
    defect: str
    spoilt: Mapping[int, Scores]
    sound: Mapping[int, Scores]


def sensitivity_rows(
    control: Control, own: Sequence[MetricSpec], arms: Sequence[Comparison]
) -> tuple[Sensitivity, ...]:
    """What each metric says of a defect.

    Scores are means over the horizon and over the training seeds, paired by start: defect and
    baseline arm share every network. A metric of a set has one value a run, and no interval.

    Args:
        own: Metrics of the user's own.
        arms: Comparisons of the arms with the baseline arm.

    Returns:
        A row for each metric that both were scored in.
    """
    seeds = [seed for seed in control.sound if seed in control.spoilt]
    if not seeds:
        return ()
    spoilt, sound = ([side[seed] for seed in seeds] for side in (control.spoilt, control.sound))
    specs = {**METRIC_OF, **{spec.name: spec for spec in own}}
    return tuple(
        _row(control, specs[name], (spoilt, sound), arms)
        for name in scored_metrics([*spoilt, *sound])
        if name in specs
    )


def _row(
    control: Control,
    spec: MetricSpec,
    sides: tuple[list[Scores], list[Scores]],
    arms: Sequence[Comparison],
) -> Sensitivity:
    a, b = (_by_start([scores[spec.name] for scores in side]) for side in sides)
    found = paired_starts(a, b, derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, spec.name))
    has_interval = not is_set(spec.name) and not np.isnan([found.lo, found.hi]).any()
    tells = has_interval and not found.lo <= 0 <= found.hi
    real = sides[1][0].get(f"{spec.name}{REAL_SUFFIX}")
    return Sensitivity(
        game=control.game,
        metric=spec.name,
        defect=control.defect,
        difference=found.difference,
        lo=found.lo if has_interval else None,
        hi=found.hi if has_interval else None,
        n=found.n,
        tells=tells if has_interval else None,
        seen=_seen(spec, nan_mean(a), nan_mean(b), real) if tells else None,
        arms=_largest(spec.name, control.game, arms),
    )


def _by_start(arrays: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Means over horizon and seeds of each start."""
    return over_horizon(np.stack([over_horizon(one) for one in arrays], axis=1))


def _seen(
    spec: MetricSpec, spoilt: float, sound: float, real: NDArray[np.float64] | None
) -> Seen | None:
    """Whether a metric takes a defect that it tells for worse frames or for better ones."""
    match spec.direction:
        case "higher":
            worse = spoilt < sound
        case "lower":
            worse = spoilt > sound
        case "real":
            if real is None:
                return None
            target = nan_mean(over_horizon(real))
            worse = abs(spoilt - target) > abs(sound - target)
        case "none":
            return None
    return "worse" if worse else "better"


def _largest(metric: str, game: str, arms: Sequence[Comparison]) -> float | None:
    """The largest difference of an arm to the baseline arm in a metric."""
    found = [
        abs(row.difference)
        for row in arms
        if (row.game, row.metric) == (game, metric)
        and row.family in ("primary", "secondary")
        and row.difference is not None
    ]
    return max(found, default=None)
