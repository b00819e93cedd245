"""Which arm is the best one on a metric: which way is better, and what a difference says of it."""

from collections.abc import Sequence

from diamond.results.arm_model import Arm
from diamond.results.metric_model import Direction
from diamond.results.values import MEAN


def distance(value: float, direction: Direction, real: float | None) -> float | None:
    """How far a value is from the best one: less is better; None where no value is better.

    Args:
        value: Of a metric.
        direction: Which of its values are better.
        real: The value of the real frames, which only `real` reads.
    """
    match direction:
        case "higher":
            return -value
        case "lower":
            return value
        case "real":
            return None if real is None else abs(value - real)
        case "none":
            return None


def best_arm(
    arms: Sequence[Arm], metric: str, direction: Direction, real: float | None
) -> Arm | None:
    """The arm with the best mean, the first of equal ones; None where nothing is better."""
    found = [
        (far, place)
        for place, arm in enumerate(arms)
        if (one := arm.estimate(metric, MEAN))
        and (far := distance(one.mean, direction, real)) is not None
    ]
    return arms[min(found)[1]] if found else None


def is_better(one: Arm, other: Arm, metric: str, direction: Direction, real: float | None) -> bool:
    """Whether an arm has a better mean than another, with both on one side of the real frames.

    On two sides of them a difference does not say which is closer.
    """
    own, against = one.estimate(metric, MEAN), other.estimate(metric, MEAN)
    if own is None or against is None:
        return False
    near, far = (distance(each.mean, direction, real) for each in (own, against))
    if near is None or far is None:
        return False
    apart = (
        direction == "real" and real is not None and (own.mean - real) * (against.mean - real) < 0
    )
    return near < far and not apart
