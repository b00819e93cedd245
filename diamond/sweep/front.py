"""Which trials none beats, by plain numbers; no Optuna here."""

from collections.abc import Sequence
from dataclasses import dataclass

from diamond.stats.pareto import pareto
from diamond.sweep.objectives import Aim


@dataclass(frozen=True)
class Point:
    """A trial by its number and its value per objective."""

    number: int
    values: tuple[float, ...]


def pareto_front(points: Sequence[Point], directions: Sequence[Aim]) -> list[Point]:
    """The points that no other matches or beats in every objective, sorted by the first of them.

    With one objective that is the best point alone, the earliest of equal ones.

    Args:
        points: Points that keep all constraints.
        directions: What is better, per objective.
    """
    first: dict[tuple[float, ...], Point] = {}
    for point in sorted(points, key=lambda one: one.number):
        first.setdefault(_losses(point, directions), point)
    distinct = list(first.values())
    return [distinct[index] for index in pareto(list(first))]


def spread(front: Sequence[Point], most: int) -> list[Point]:
    """At most so many points of a front, its ends and points evenly between them.

    Args:
        front: What `pareto_front` returned.
        most: At least 1.
    """
    if len(front) <= most:
        return list(front)
    if most == 1:
        return [front[0]]
    places = [round(index * (len(front) - 1) / (most - 1)) for index in range(most)]
    return [front[place] for place in places]


def _losses(point: Point, directions: Sequence[Aim]) -> tuple[float, ...]:
    return tuple(
        -value if aim == "maximize" else value
        for value, aim in zip(point.values, directions, strict=True)
    )
