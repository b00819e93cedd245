"""What the metrics say of the real frames of a study, apart from its arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diamond.config.metric_table import METRIC_OF
from diamond.results.model import Result
from diamond.results.values import MEAN

REAL_FRAMES = "real frames"


@dataclass(frozen=True)
class RealValues:
    """A metric measured on the real frames.

    Attributes:
        overall: Its one number, None where it is not defined.
        curve: Its value at each time step; empty for a metric of a set.
    """

    overall: float | None
    curve: Sequence[float | None]


def real_frames(outcome: Result, game: str) -> Mapping[str, RealValues]:
    """The metrics of the real frames of a game, by column such as ``core_ratio_real``.

    A column in which two arms differ is none of them: those arms read the real frames with models
    of their own, and their values belong to them.
    """
    found: dict[str, RealValues] = {}
    own = set()
    for arm in outcome.arms_of(game):
        for column in arm.metrics:
            if column not in METRIC_OF or METRIC_OF[column].name == column:
                continue
            estimate = arm.estimate(column, MEAN)
            overall = None if estimate is None else estimate.mean
            values = RealValues(overall, arm.curve(column, "mean"))
            if found.setdefault(column, values) != values:
                own.add(column)
    return {column: values for column, values in found.items() if column not in own}
