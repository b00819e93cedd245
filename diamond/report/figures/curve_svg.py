"""The curve of a metric as SVG that stands in the page itself, so that a script can point at it.

It is readable without the script; colours are those of the page's style. The same figure as a file
is `horizon_figures`'.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from diamond.report.figures.figure_style import LONG_HORIZON, Look, floats, looks, marked_steps
from diamond.report.figures.horizon_figures import (
    BANDS,
    MOST_POINTS,
    drawn_means,
    drawn_steps,
    has_bands,
    is_logarithmic,
    real_curve,
    value_bounds,
)
from diamond.results.arm_model import level_text
from diamond.results.model import Result

Points = NDArray[np.float64]
_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 50
_DEEP = _HEIGHT - _TOP - _BOTTOM
"""Height of the plot inside its axes."""
_ROOM = 6
"""Beyond the edge, for the width of a line that lies on it."""
_TICKS = 6
_LEAST_DIGITS = 3
"""Significant digits of a typical value where the curve is read."""
_REAL_DASH, _REAL_WIDTH = "2 4", 2.0
_MARKS = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "s": "M-3.7-3.7h7.4v7.4h-7.4z",
    "^": "M0-5l4.8 8.4h-9.6z",
    "D": "M0-5.2l5.2 5.2l-5.2 5.2l-5.2-5.2z",
    "v": "M0 5l4.8-8.4h-9.6z",
    "X": "M-5-2.6l2.4-2.4l2.6 2.6l2.6-2.6l2.4 2.4l-2.6 2.6l2.6 2.6l-2.4 2.4l-2.6-2.6l-2.6 2.6"
    "l-2.4-2.4l2.6-2.6z",
    "P": "M-1.7-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
    "h": "M0-5l4.3 2.5v5l-4.3 2.5l-4.3-2.5v-5z",
}


@dataclass(frozen=True)
class LegendEntry:
    """A line of the legend: its name, its class of colour, and a piece of it as SVG."""

    name: str
    css: str
    sample: Markup


@dataclass(frozen=True)
class PageCurve:
    """A curve in the page.

    Attributes:
        svg: The plot.
        legend: Its lines, in the order of `data`.
        bands: What the bands are, in words.
        data: What the script needs: time steps, values, and the scale of the axis.
    """

    svg: Markup
    legend: tuple[LegendEntry, ...]
    bands: str
    data: dict[str, Any]


@dataclass(frozen=True)
class _Line:
    """A line to draw: an arm, a baseline or the real frames."""

    name: str
    css: str
    mean: Points
    bands: tuple[tuple[Points, Points, float], ...]
    look: Look | None

    @property
    def dash(self) -> str:
        """Dashes and gaps of the line; empty for a whole one."""
        if self.look is None:
            return _REAL_DASH
        dash, width = self.look.dash, self.look.width
        if dash == "-":
            return ""
        shares = (6.4, 1.6, 1.0, 1.6) if isinstance(dash, str) else dash[1]
        return " ".join(f"{share * width:.1f}" for share in shares)

    @property
    def width(self) -> float:
        """Width of the line in pixels of the plot."""
        return _REAL_WIDTH if self.look is None else self.look.width


@dataclass(frozen=True)
class _Axes:
    """Where a time step and a value are, in pixels of the plot."""

    horizon: int
    low: float
    high: float
    log_steps: bool
    log_values: bool

    def x(self, step: Any) -> Any:
        """From the left."""
        last = max(self.horizon, 2)
        share = np.log(step) / np.log(last) if self.log_steps else (step - 1) / (last - 1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: Any) -> Any:
        """From the top; what is beyond an edge is at it, far enough for its line to be cut off."""
        scale: Callable[[Any], Any] = np.log if self.log_values else np.asarray
        inside = np.maximum(value, self.low / 2) if self.log_values else value
        share = (scale(inside) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return _HEIGHT - _BOTTOM - np.clip(share, -1, 2) * (_HEIGHT - _TOP - _BOTTOM)


def page_curve(doc: Result, game: str, metric: str, name: str) -> PageCurve:
    """Draw a metric against the time step.

    Args:
        metric: One with a curve in this game.
        name: Of the plot, apart from every other one of the page.
    """
    lines, axes = _lines(doc, game, metric), _axes(doc, game, metric)
    info = doc.metric(metric)
    places = _hover_places(drawn_means(doc, game, metric))
    drawn = drawn_steps(doc.horizon, MOST_POINTS)
    inside = Markup("").join(
        [
            *_noise(doc, game, metric, axes),
            *(_drawn(line, axes, index) for index, line in reversed([*enumerate(lines)])),
        ]
    )
    parts = [
        Markup('<clipPath id="{}-clip"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>')
        .format(name, _LEFT, _TOP - _ROOM, _WIDTH - _LEFT, _DEEP + 2 * _ROOM),
        *_frame(doc, axes),
        Markup('<g clip-path="url(#{}-clip)">{}</g>').format(name, inside),
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>')
        .format((_WIDTH + _LEFT) // 2, _HEIGHT - 8, "time step t after the start (env steps)"),
        Markup('<text class="axis" transform="translate(14 {}) rotate(-90)" text-anchor="middle">'
               "{}</text>").format(_TOP + _DEEP // 2, info.title),
        *(
            Markup('<line class="{}" y1="{}" y2="{}" visibility="hidden"/>')
            .format(kind, _TOP, _TOP + _DEEP)
            for kind in ("now", "hover")
        ),
    ]  # fmt: skip
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"{game}: {info.label} against the time step", Markup("").join(parts)
    )
    return PageCurve(
        svg,
        tuple(LegendEntry(line.name, line.css, _sample(line)) for line in lines),
        _bands_text(doc, game, metric),
        {
            "game": game,
            "steps": (drawn + 1).tolist(),
            "places": places,
            "left": _LEFT,
            "right": _WIDTH - _RIGHT,
            "horizon": max(doc.horizon, 2),
            "logarithmic": axes.log_steps,
            "series": [_values(line, drawn, places) for line in lines],
        },
    )


def _lines(doc: Result, game: str, metric: str) -> list[_Line]:
    """The arms, then the real frames, then the baselines, those without a value left out."""
    found: dict[str, list[_Line]] = {"arm": [], "baseline": []}
    for arm, look in looks(doc, game):
        mean = floats(arm.curve(metric, "mean"))
        bands = [
            (floats(arm.curve(metric, lower)), floats(arm.curve(metric, upper)), opacity)
            for lower, upper, opacity in BANDS
            if arm.kind == "arm"
        ]
        whole = tuple(band for band in bands if len(band[0]) == len(band[1]) == len(mean))
        if np.isfinite(mean).any():
            found[arm.kind].append(_Line(arm.name, look.css, mean, whole, look))
    real = real_curve(doc, game, metric)
    reals = [_Line("real frames", "real-line", real, (), None)] if len(real) else []
    return [*found["arm"], *reals, *found["baseline"]]


def _axes(doc: Result, game: str, metric: str) -> _Axes:
    """Scale to the means and the intervals at each time step; a wide band ends at the edge."""
    bounds = [
        floats(arm.curve(metric, part))
        for arm in doc.arms_of(game, "arm")
        for part in ("lo", "hi")
    ]  # fmt: skip
    means, real = drawn_means(doc, game, metric), real_curve(doc, game, metric)
    every = np.concatenate([means, real, *bounds])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    log_values = is_logarithmic(doc, game, metric)
    if log_values:
        low = float(means.min()) / 2
    else:
        room = 0.05 * (high - low) or 0.5
        low, high = low - room, high + room
        least, most = value_bounds(doc, metric)
        low = low if least is None else max(low, least)
        high = high if most is None else min(high, most)
        # An error that never was drawn has no height at all.
        high = high if high > low else low + 1
    return _Axes(doc.horizon, low, high, doc.horizon > LONG_HORIZON, log_values)


def _frame(doc: Result, axes: _Axes) -> Iterator[Markup]:
    """Grid, ticks and their numbers."""
    locator = LogLocator(10) if axes.log_values else MaxNLocator(_TICKS)
    for value in locator.tick_values(axes.low, axes.high):
        if axes.low <= value <= axes.high:
            y = float(axes.y(value))
            yield Markup(
                '<path class="grid" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}" text-anchor="end">'
                "{}</text>"
            ).format(_LEFT, y, _WIDTH - _RIGHT, _LEFT - 7, y + 4.5, f"{value:.4g}")
    for step in (step for step in doc.report_steps if step <= doc.horizon):
        x = float(axes.x(step))
        yield Markup(
            '<path class="grid" d="M{:.1f} {}V{}"/><text x="{:.1f}" y="{}" text-anchor="middle">'
            "{}</text>"
        ).format(x, _TOP, _HEIGHT - _BOTTOM, x, _HEIGHT - _BOTTOM + 18, step)


def _noise(doc: Result, game: str, metric: str, axes: _Axes) -> Iterator[Markup]:
    """The noise floor: the mean of the baseline arm, give or take the floor."""
    row = doc.floor(game, metric)
    if row is None:
        return
    arm = next(arm for arm in doc.arms_of(game, "arm") if arm.name == row.arm)
    mean, floor = floats(arm.curve(metric, "mean")), floats(row.curve)
    yield Markup('<path class="noise" d="{}"/>').format(_area(mean - floor, mean + floor, axes))


def _drawn(line: _Line, axes: _Axes, index: int) -> Markup:
    bands = Markup("").join(
        Markup('<path class="band" opacity="{}" d="{}"/>').format(opacity, _area(lo, hi, axes))
        for lo, hi, opacity in line.bands
    )
    marks = Markup("")
    if line.look is not None:
        places = marked_steps(line.look, len(line.mean), axes.log_steps)
        marks = Markup("").join(
            _mark(line.look, float(axes.x(place + 1)), float(axes.y(line.mean[place])))
            for place in places
            if np.isfinite(line.mean[place])
        )
    return Markup(
        '<g class="{}" data-arm="{}">{}<path class="line" stroke-width="{:.1f}"{} d="{}"/>{}</g>'
    ).format(
        line.css, index, bands, line.width, _dashed(line), _path(line.mean, axes), marks
    )  # fmt: skip


def _dashed(line: _Line) -> Markup:
    return Markup(' stroke-dasharray="{}"').format(line.dash) if line.dash else Markup("")


def _mark(look: Look, x: float, y: float) -> Markup:
    shape = _MARKS.get(look.marker)
    if shape is None:
        return Markup("")
    return Markup('<path class="mark" transform="translate({:.1f} {:.1f})" d="{}"/>').format(
        x, y, shape
    )


def _runs(*curves: Points) -> Iterator[NDArray[np.int64]]:
    """The drawn time steps in runs without a gap, as indices."""
    drawn = drawn_steps(len(curves[0]), MOST_POINTS)
    known = np.asarray(np.isfinite(np.stack([curve[drawn] for curve in curves])).all(axis=0))
    for is_known, run in groupby(zip(drawn.tolist(), known.tolist(), strict=True), lambda p: p[1]):
        if is_known:
            yield np.array([place for place, _ in run])


def _path(mean: Points, axes: _Axes) -> str:
    parts = []
    for run in _runs(mean):
        points = zip(axes.x(run + 1), axes.y(mean[run]), strict=True)
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points))
    return "".join(parts)


def _area(lo: Points, hi: Points, axes: _Axes) -> str:
    """The area between two curves, cut to the plot."""
    top, bottom = _TOP, _HEIGHT - _BOTTOM
    parts = []
    for run in _runs(lo, hi):
        there = [*zip(axes.x(run + 1), np.clip(axes.y(hi[run]), top, bottom), strict=True)]
        back = [*zip(axes.x(run + 1), np.clip(axes.y(lo[run]), top, bottom), strict=True)]
        points = [*there, *reversed(back)]
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "z")
    return "".join(parts)


def _sample(line: _Line) -> Markup:
    mark = Markup("") if line.look is None else _mark(line.look, 16, 7)
    return Markup(
        '<svg class="sample" viewBox="0 0 32 14" aria-hidden="true"><path class="line" '
        'stroke-width="{:.1f}"{} d="M1 7H31"/>{}</svg>'
    ).format(line.width, _dashed(line), mark)


def _hover_places(means: NDArray[np.float64]) -> int:
    """Decimals that show three digits of a typical value, at most six."""
    sizes = np.abs(means[np.isfinite(means) & (means != 0)])
    if not sizes.size:
        return _LEAST_DIGITS
    return int(np.clip(_LEAST_DIGITS - 1 - np.floor(np.log10(np.median(sizes))), 0, 6))


def _values(line: _Line, drawn: NDArray[np.int64], places: int) -> dict[str, Any]:
    """A line as numbers: mean, and bounds of the interval where it has one."""
    interval = line.bands[-1][:2] if line.bands else ()

    def rounded(curve: Points) -> list[float | None]:
        inside = curve[drawn[drawn < len(curve)]]
        return [round(float(v), places) if np.isfinite(v) else None for v in inside]

    parts = dict(zip(("lo", "hi"), map(rounded, interval), strict=False))
    return {"name": line.name, "mean": rounded(line.mean), **parts}


def _bands_text(doc: Result, game: str, metric: str) -> str:
    """Say what the bands and the grey area are."""
    arms: Sequence[Any] = [arm for arm in doc.arms_of(game, "arm") if arm.curve(metric, "lo")]
    told = []
    if any(value is not None for arm in arms for value in arm.curve(metric, "lo")):
        told.append(f"Dark band: {level_text(arms)} interval at each t.")
    if has_bands(arms, [metric]):
        told.append(f"Light band: {level_text(arms)} band, all t together.")
    floor = doc.floor(game, metric)
    if floor is not None:
        told.append(f"Grey area: noise floor of {floor.arm}.")
    return " ".join(told)
