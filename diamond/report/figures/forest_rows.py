"""Differences as small SVG beside the rows of their table, so that they fit a narrow screen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.scale import SymmetricalLogTransform

from diamond.report.figures.figure_style import looks
from diamond.report.figures.forest import is_symmetric_logarithmic
from diamond.results.comparison_model import Comparison
from diamond.results.model import Result
from diamond.results.values import MEAN

_WIDTH, _HEIGHT, _HEAD_HEIGHT, _EDGE = 200, 26, 15, 8
_LINSCALE = 0.6


@dataclass(frozen=True)
class ForestRows:
    """The graphics of a table of differences.

    Attributes:
        head: For the heading: where 0 is.
        rows: A graphic a row, empty where there is no difference.
        note: How to read them.
    """

    head: Markup
    rows: tuple[Markup, ...]
    note: str


def forest_rows(doc: Result, pairs: Sequence[Comparison]) -> ForestRows:
    """Draw each difference with its interval on one scale, that of all rows.

    Args:
        pairs: Comparisons in one metric, in the order of the table.
    """
    css = {(arm.game, arm.name): look.css for game in doc.games for arm, look in looks(doc, game)}
    floors = {
        pair.game: row.at[MEAN]
        for pair in pairs
        if (row := doc.floor(pair.game, pair.metric)) is not None
    }
    known = [pair for pair in pairs if pair.difference is not None]
    is_log = is_symmetric_logarithmic(known)
    ends = [0.0, *(end for p in known for end in (p.difference, p.lo, p.hi) if end is not None)]
    sizes = (abs(p.difference) for p in known if p.difference)
    linear = min((floor for floor in floors.values() if floor), default=min(sizes, default=1.0))
    transform = SymmetricalLogTransform(10, linear, _LINSCALE)

    def place(value: float) -> float:
        return float(np.asarray(transform.transform([value]))[0]) if is_log else value

    low, high = place(min(ends)), place(max(ends))

    def x(value: float) -> float:
        share = (place(value) - low) / (high - low) if high > low else 0.5
        return float(_EDGE + np.clip(share, 0, 1) * (_WIDTH - 2 * _EDGE))

    rows = tuple(
        _row(pair, css.get((pair.game, pair.a), ""), x, floors.get(pair.game))
        if pair.difference is not None
        else Markup("")
        for pair in pairs
    )
    note = "A filled mark is a difference that is shown, a hollow one is not."
    note += " The grey area is the noise floor." if floors else ""
    note += " The scale is logarithmic but for its middle." if is_log else ""
    return ForestRows(_head(x(0.0)), rows, note)


def _row(pair: Comparison, css: str, x: Callable[[float], float], floor: float | None) -> Markup:
    """One difference: the floor, the line of 0, the interval, the mark."""
    middle = _HEIGHT / 2
    parts = [_line(x(0.0), "zero", 0, _HEIGHT)]
    if floor is not None:
        left, right = x(-floor), x(floor)
        parts.insert(
            0,
            Markup('<rect class="noise" x="{:.1f}" width="{:.1f}" height="{}"/>').format(
                left, right - left, _HEIGHT
            ),
        )
    if pair.lo is not None and pair.hi is not None:
        parts.append(
            Markup('<path class="line" stroke-width="2.4" d="M{:.1f} {}H{:.1f}"/>').format(
                x(pair.lo), middle, x(pair.hi)
            )
        )
    assert pair.difference is not None, "only comparisons with a difference are drawn"
    parts.append(
        Markup('<circle class="{}" stroke-width="1.8" cx="{:.1f}" cy="{}" r="4.5"/>').format(
            "mark" if pair.is_shown else "mark hollow", x(pair.difference), middle
        )
    )
    label = f"{pair.a} minus {pair.b}, interval beside 0"
    return _svg(css, label, Markup("").join(parts), _HEIGHT)


def _head(zero: float) -> Markup:
    """The heading: where 0 is."""
    text = Markup('<text x="{:.1f}" y="12" text-anchor="middle">0</text>').format(zero)
    return _svg("", "0", text, _HEAD_HEIGHT)


def _line(x: float, name: str, top: float, bottom: float) -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {}V{}"/>').format(name, x, top, bottom)


def _svg(css: str, label: str, inside: Markup, height: int) -> Markup:
    return Markup(
        '<svg class="forest {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(css, _WIDTH, height, label, inside)
