"""How tables and sentences write counts, and what a search measures and sets."""

from diamond.results.number_text import ABSENT, Written, written
from diamond.results.search import Bounds, Constraint, Objective, Value


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
