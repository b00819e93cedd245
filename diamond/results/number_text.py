"""Numbers as text: as many decimals as their interval tells, the same in every place."""

import math
from typing import NamedTuple

ABSENT = "–"
_OF_WIDTH = 2
"""Significant digits of the width of an interval."""
_OF_VALUE = 3
"""Significant digits of a value without an interval."""
_MOST_PLACES = 5
"""Decimals above which a number is written in powers of ten."""
_DUST = 1e-10
"""What rounding leaves of 0: no metric has such values."""
_LEAST_P = 1e-4


class Written(NamedTuple):
    """A value and its interval as text; `bounds` is empty where there is none."""

    text: str
    bounds: str


def written(value: float | None, lo: float | None = None, hi: float | None = None) -> Written:
    """Write a value with its interval.

    Value and bounds have the decimals with which the width of the interval has two significant
    digits, at least those of a whole number; a value without an interval has three significant
    digits. What needs more than five decimals is written in powers of ten.

    Args:
        value: None where there is none.
        lo: Lower bound, None without an interval.
        hi: Upper bound.

    Returns:
        Such as ``0.553`` and ``0.541 to 0.566``.
    """
    if value is None:
        return Written(ABSENT, "")
    value = _clean(value)
    if lo is None or hi is None:
        return Written(_fixed(value, value, _places(value, _OF_VALUE)), "")
    lo, hi = _clean(lo), _clean(hi)
    largest = max(value, lo, hi, key=abs)
    width = _clean(hi - lo)
    places = _places(width, _OF_WIDTH) if width else _places(largest, _OF_VALUE)
    value_text, lo_text, hi_text = (_fixed(each, largest, places) for each in (value, lo, hi))
    return Written(value_text, f"{lo_text} to {hi_text}")


def signed(value: float | None, lo: float | None = None, hi: float | None = None) -> Written:
    """Write a difference with its sign, plus included, as `written` does."""
    found = written(value, lo, hi)
    has_plus = value is not None and _clean(value) > 0
    return found._replace(text=f"+{found.text}") if has_plus else found


def with_bounds(found: Written) -> str:
    """Return ``0.553 (0.541 to 0.566)``, or the value alone."""
    return f"{found.text} ({found.bounds})" if found.bounds else found.text


def number(value: float | None, places: int) -> str:
    """Write a number with `places` decimals and no negative zero; an absent one is a dash."""
    return ABSENT if value is None else f"{value:z.{places}f}"


def p_text(p: float | None) -> str:
    """Write a p value; a small one as what it is below."""
    if p is None:
        return ABSENT
    return f"< {_LEAST_P:.4f}" if p < _LEAST_P else f"{p:.3g}"


def _clean(value: float) -> float:
    return 0.0 if abs(value) < _DUST else value


def _places(size: float, digits: int) -> int:
    """Decimals with which a number has so many significant digits; they may be below 0."""
    if not size:
        return 0
    return digits - 1 - math.floor(math.log10(abs(size)))


def _fixed(value: float, largest: float, places: int) -> str:
    """Write a number with so many decimals; where these are many in powers of ten of `largest`."""
    if places <= _MOST_PLACES:
        return f"{value:z.{max(places, 0)}f}"
    exponent = math.floor(math.log10(abs(largest)))
    return f"{value / 10.0**exponent:z.{max(places + exponent, 0)}f}e{exponent}"
