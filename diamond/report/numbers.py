"""Numbers as text: how many decimals a reader needs, and what stands for an absent one."""

from collections.abc import Iterable

from diamond.results.number_text import ABSENT, Written, number, written
from diamond.results.search import Bounds, Constraint, Objective, Value

_MOST_PLACES = 6


def visible_decimals(values: Iterable[float | None], places: int) -> int:
    """Return the fewest decimals, at least `places` and at most 6, that round no value but 0 to 0.

    A clear difference of 0.004 (0.001 to 0.007) must not read as 0.00 (0.00 to 0.01).
    """
    smallest = min((abs(value) for value in values if value), default=1.0)
    while places < _MOST_PLACES and smallest < 0.5 * 10.0**-places:
        places += 1
    return places


def span(lo: float | None, hi: float | None, places: int) -> str:
    """Write an interval as ``0.57 to 0.66``; empty where there is none."""
    return "" if lo is None or hi is None else f"{number(lo, places)} to {number(hi, places)}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 seed``, ``3 seeds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def label_of(measured: Objective | Constraint) -> str:
    """Return how an objective or a constraint is called, with its time step and its unit."""
    when = f", t={measured.at}" if measured.at.isdigit() else ""
    unit = f" [{measured.unit}]" if measured.unit else ""
    return f"{measured.label}{when}{unit}"


def short_label(measured: Objective | Constraint) -> str:
    """Return the name of an objective or a constraint for a heading, as studies are written."""
    when = f" t={measured.at}" if measured.at.isdigit() else ""
    unit = f" [{measured.unit}]" if measured.unit else ""
    return f"{measured.name}{when}{unit}"


def valued(value: float | None, bounds: Bounds | None) -> Written:
    """Write a value of a search with its interval."""
    return written(value) if bounds is None else written(value, bounds.lo, bounds.hi)


def parameter_text(value: Value | None) -> str:
    """Write the value of a parameter, a float with four digits; an absent one is a dash."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)
