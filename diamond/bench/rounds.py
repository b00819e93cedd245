"""Rounds in alternation, and what is told of their times."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUND_SECONDS = 0.25
"""A round repeats short runs until it takes about so long."""
MOST_REPEATS = 10_000
MANY_ROUNDS, FEW_ROUNDS, FEWEST_ROUNDS = 5, 3, 2
SHORT_SECONDS, LONG_SECONDS = 2.0, 20.0
RULE = (
    f"two runs to warm up (one where it takes {LONG_SECONDS:g} s or more); a round repeats what "
    f"is short until it takes {ROUND_SECONDS:g} s; {MANY_ROUNDS} rounds where a round takes less "
    f"than {SHORT_SECONDS:g} s, {FEW_ROUNDS} where it takes less than {LONG_SECONDS:g} s, else "
    f"{FEWEST_ROUNDS}; with a reference the sides take turns round by round"
)


@dataclass(frozen=True)
class Timing:
    """Seconds of one run in every round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def least(self) -> float:
        """The fastest one."""
        return min(self.seconds)

    @property
    def most(self) -> float:
        """The slowest one."""
        return max(self.seconds)


def repeats_for(run_seconds: float) -> int:
    """Runs in a round, from the seconds of one."""
    if run_seconds <= 0:
        return MOST_REPEATS
    return max(1, min(MOST_REPEATS, math.ceil(ROUND_SECONDS / run_seconds)))


def rounds_for(round_seconds: float) -> int:
    """Rounds of each side, from the seconds of one."""
    if round_seconds < SHORT_SECONDS:
        return MANY_ROUNDS
    return FEW_ROUNDS if round_seconds < LONG_SECONDS else FEWEST_ROUNDS


def time_in_turn(sides: Sequence[Callable[[int], float]]) -> list[Timing]:
    """Time one case on every side, A B A B.

    Args:
        sides: Each runs the case so many times and returns the seconds of all.

    Returns:
        Seconds of one run in every round, per side. All sides have as many runs and rounds: those
        that the slowest one needs.
    """
    warm = [_warm_up(side) for side in sides]
    repeats = repeats_for(max(warm))
    rounds = rounds_for(repeats * max(warm))
    found: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, seconds in zip(sides, found, strict=True):
            seconds.append(side(repeats) / repeats)
    return [Timing(tuple(seconds)) for seconds in found]


def _warm_up(side: Callable[[int], float]) -> float:
    first = side(1)
    return first if first >= LONG_SECONDS else side(1)


def ratio(released: Timing, ours: Timing) -> float:
    """How many times as long the released code takes, by medians."""
    return released.median / ours.median
