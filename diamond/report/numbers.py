"""Numbers as text: how many decimals a reader needs, and what stands for an absent one."""

import math
from collections.abc import Iterable

from diamond.results.metric_model import Metric
from diamond.results.search import Bounds, ConfirmedRow, Constraint, Objective, Search, Value

ABSENT = "–"
_DECIMALS = {"psnr": 2, "psnr_fg": 2, "l1": 4, "l1_fg": 4}
_SIGNIFICANT = 3
_MOST_PLACES = 6
_LARGE = 1e7


def decimals(metric: str) -> int:
    """Return how many decimals the reader needs for a value of this metric."""
    return _DECIMALS.get(metric, 3)


def shown_decimals(metric: Metric, values: Iterable[float | None]) -> int:
    """Return the decimals of a table of values of a metric, at most 6.

    Errors can be small: two digits of the smallest one are shown.
    """
    places = decimals(metric.name)
    if metric.low != 0 or metric.direction != "lower":
        return places
    smallest = min((value for value in values if value), default=1.0)
    return max(places, min(_MOST_PLACES, 1 - math.floor(math.log10(smallest))))


def visible_decimals(values: Iterable[float | None], places: int) -> int:
    """Return the fewest decimals, at least `places` and at most 6, that round no value but 0 to 0.

    A clear difference of 0.004 (0.001 to 0.007) must not read as 0.00 (0.00 to 0.01).
    """
    smallest = min((abs(value) for value in values if value), default=1.0)
    while places < _MOST_PLACES and smallest < 0.5 * 10.0**-places:
        places += 1
    return places


def places_of(values: Iterable[float | None]) -> int:
    """Return the decimals that show three digits of the median of some values, 0 to 6."""
    sizes = sorted(abs(value) for value in values if value)
    if not sizes:
        return _SIGNIFICANT
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(sizes[len(sizes) // 2]))
    return max(0, min(_MOST_PLACES, digits))


def number(value: float | None, places: int) -> str:
    """Write a number with `places` decimals and no negative zero; an absent one is a dash."""
    return ABSENT if value is None else f"{value:z.{places}f}"


def value_text(value: float | None, places: int) -> str:
    """Write a value of a search; very large ones and ones that would read 0 in powers of ten."""
    if value is not None and value and not 0.5 * 10.0**-places <= abs(value) < _LARGE:
        return f"{value:.3g}"
    return number(value, places)


def span(lo: float | None, hi: float | None, places: int) -> str:
    """Write an interval as ``0.57 to 0.66``; empty where there is none."""
    return "" if lo is None or hi is None else f"{number(lo, places)} to {number(hi, places)}"


def signed(value: float | None, places: int) -> str:
    """Write a number with its sign, plus included."""
    text = number(value, places)
    return f"+{text}" if value is not None and value > 0 else text


def p_text(p: float | None) -> str:
    """Write a p value with three digits."""
    return ABSENT if p is None else f"{p:.3g}"


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


def value_places(search: Search, objective: int) -> int:
    """Return the decimals of the values of an objective: about three digits of a typical one."""
    points = [*(trial.values for trial in search.valued()), search.baseline.values]
    return places_of(values[objective] for values in points if values)


def bounds_text(bounds: Bounds | ConfirmedRow | None, places: int) -> str:
    """Write an interval of a search as ``0.57 to 0.66``; empty where there is none."""
    if bounds is None or bounds.lo is None or bounds.hi is None:
        return ""
    return f"{value_text(bounds.lo, places)} to {value_text(bounds.hi, places)}"


def parameter_text(value: Value | None) -> str:
    """Write the value of a parameter, a float with four digits; an absent one is a dash."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)
