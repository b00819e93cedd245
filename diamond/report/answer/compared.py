"""What the answer of one game rests on: its arms, the best of them, its comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from diamond.findings.foundations import UNTRAINED, UNTRAINED_PRESET
from diamond.results.arm_model import Arm
from diamond.results.best_arm import best_arm, is_better
from diamond.results.comparison_model import Comparison
from diamond.results.metric_model import Metric
from diamond.results.model import Result
from diamond.results.values import MEAN

MOTION = "frozen"
"""The partner of metrics that a still picture wins: what does not move is sharp."""


@dataclass(frozen=True)
class Pair:
    """The best arm beside another one, on the primary metric."""

    other: Arm
    row: Comparison


@dataclass(frozen=True)
class Main:
    """The two arms that the other metrics are read for; one of them is the baseline arm."""

    better: Arm
    other: Arm
    row: Comparison
    is_shown: bool


@dataclass(frozen=True)
class Compared:
    """The arms of a game that are compared on the primary metric.

    Attributes:
        arms: Those with a value, the baseline arm among them; controls and baselines are not.
        best: That with the best mean; None where there is none, or nothing may be concluded.
        pairs: The best arm with each other arm; empty where nothing was compared.
        further: The comparisons with the baseline arm in which the best arm is not.
        real: The value of the real frames.
        unfounded: Why no finding can be made from any number; None where it can.
    """

    doc: Result
    game: str
    metric: Metric
    arms: tuple[Arm, ...]
    best: Arm | None
    pairs: tuple[Pair, ...]
    further: tuple[Comparison, ...]
    real: float | None
    unfounded: str | None

    @property
    def by_name(self) -> dict[str, Arm]:
        """All arms of the game by their names."""
        return {arm.name: arm for arm in self.doc.arms_of(self.game)}

    @property
    def baseline(self) -> Arm | None:
        """The baseline arm, None where it was not scored."""
        return next((arm for arm in self.arms if arm.is_baseline), None)

    def beaten(self) -> list[Pair]:
        """The pairs in which the best arm is shown to be better."""
        return [pair for pair in self.pairs if pair.row.is_shown and self._wins(pair)]

    def open(self) -> list[Pair]:
        """The pairs in which it is not."""
        beaten = self.beaten()
        return [pair for pair in self.pairs if pair not in beaten]

    def main(self) -> Main | None:
        """The two arms that the other metrics are read for.

        The best arm and the baseline arm; where these do not differ, the baseline arm and the arm
        that it beats by most. The baseline arm and the one furthest from it where it is the best.
        """
        base, best = self.baseline, self.best
        if not self.pairs or best is None or base is None:
            return None
        beaten = self.beaten()
        if best is base:
            pair = _largest(beaten or self.pairs)
            return Main(best, pair.other, pair.row, pair in beaten)
        own = next((pair for pair in self.pairs if pair.other is base), None)
        if own is not None and own in beaten:
            return Main(best, base, own.row, is_shown=True)
        arms = self.by_name
        worse = [
            Pair(arms[row.a], row)
            for row in self.further
            if row.is_shown and self._is_better(base, arms[row.a])
        ]
        if worse:
            pair = _largest(worse)
            return Main(base, pair.other, pair.row, is_shown=True)
        return None if own is None else Main(best, base, own.row, is_shown=False)

    def _wins(self, pair: Pair) -> bool:
        assert self.best is not None, "a pair has a best arm"
        return self._is_better(self.best, pair.other)

    def _is_better(self, one: Arm, other: Arm) -> bool:
        metric = self.metric
        return is_better(one, other, metric.name, metric.direction, self.real)


def compared(doc: Result, game: str) -> Compared:
    """Gather what the answer of a game rests on."""
    metric = doc.primary
    unfounded = UNTRAINED if doc.preset == UNTRAINED_PRESET else None
    rows = [row for row in doc.compared(game, metric.name) if row.family == "primary"]
    names = {name for row in rows for name in (row.a, row.b)}
    measured = [arm for arm in doc.arms_of(game, "arm") if arm.estimate(metric.name, MEAN)]
    real = doc.real(game, metric.name, MEAN)
    value = real.mean if real else None
    arms = tuple(arm for arm in measured if not names or arm.name in names)
    best = None if unfounded else best_arm(arms, metric.name, metric.direction, value)
    further = [row for row in doc.best_comparisons if row.game == game]
    pairs = () if best is None else tuple(_pairs(best, arms, [*rows, *further]))
    others = tuple(row for row in rows if best is not None and best.name not in (row.a, row.b))
    return Compared(doc, game, metric, arms, best, pairs, others, value, unfounded)


def _largest(pairs: Sequence[Pair]) -> Pair:
    """The pair with the largest difference, the last of equal ones."""
    sizes = [(abs(pair.row.difference or 0.0), place) for place, pair in enumerate(pairs)]
    return pairs[max(sizes)[1]]


def _pairs(best: Arm, arms: Sequence[Arm], rows: Sequence[Comparison]) -> list[Pair]:
    found = []
    for other in arms:
        both = {best.name, other.name}
        row = next((row for row in rows if {row.a, row.b} == both and row.a != row.b), None)
        if row is not None and other is not best:
            found.append(Pair(other, row))
    return found
