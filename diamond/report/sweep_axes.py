"""Axes of the figures of a sweep: scales that hold outliers, ticks, marks, places of numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from diamond.report.figure_style import INK, OKABE_ITO, plain

MANY_SIZES = 30.0
"""Positive values of which less is better are on a logarithmic scale beyond this factor.

Where more is better values near 0 are bad ones and deserve no room.
"""
BASELINE_COLOUR = "#6b6b6b"
FRONT_COLOUR = OKABE_ITO[2]
_FEWEST_TO_CUT = 8
_USUAL_SHARE = 0.75
_FAR, _SHOWN = 6.0, 3.0
_MARGIN = 0.06
_NUM_TICKS = 5
_NUM_SUBDIVIDED_DECADES = 2.5
_LABEL_POINTS = 8.0
_GLYPH_WIDTH, _LINE_HEIGHT = 0.64, 1.0
_GAP = 4.0
_RING = 11.0
_DISTANCES = (7.6, 13.0, 19.0, 26.0)
_FAR_FROM_MARK = 10.0
"""Beyond this distance in points a line leads from a number to its mark."""


@dataclass(frozen=True)
class Scale:
    """The part of an axis that is drawn; values beyond it stand at its edge.

    Attributes:
        kind: Whether the axis is linear or logarithmic.
        lo: Lower end.
        hi: Upper end.
        least: The smallest value that stands at its own place.
        most: The largest such value.
    """

    kind: Literal["linear", "log"]
    lo: float
    hi: float
    least: float
    most: float

    def is_beyond(self, value: float) -> bool:
        """Tell whether a value has no place of its own."""
        return not self.least <= value <= self.most

    def place(self, value: float) -> float:
        """Return where a value is drawn: at its place, or between the last place and the edge."""
        if value > self.most:
            return self._between(self.most, self.hi)
        return self._between(self.least, self.lo) if value < self.least else value

    def _between(self, a: float, b: float) -> float:
        return math.sqrt(a * b) if self.kind == "log" else (a + b) / 2

    def apply_to(self, axes: Axes, axis: Literal["x", "y"]) -> None:
        """Set scale, limits and ticks of an axis."""
        if axis == "x":
            axes.set_xscale(self.kind)
            axes.set_xlim(self.lo, self.hi)
        else:
            axes.set_yscale(self.kind)
            axes.set_ylim(self.lo, self.hi)
        if self.kind == "log":
            set_log_ticks(axes.xaxis if axis == "x" else axes.yaxis, self.lo, self.hi)
        elif axis == "x":
            axes.xaxis.set_major_locator(MaxNLocator(_NUM_TICKS))


def scale_of(values: Iterable[float], sign: int, kept: Iterable[float] = ()) -> Scale:
    """Return the scale that shows some values, the bad outliers among them at its edge.

    A value is an outlier where it is far worse than three quarters of the values are.

    Args:
        values: What is drawn.
        sign: 1 where less is better, -1 where more is, 0 where every value must have its place.
        kept: Values that must have their place, whatever they are.
    """
    must = list(kept)
    found = [*values, *must] or [0.0, 1.0]
    is_log = sign > 0 and min(found) > 0 and max(found) / min(found) > MANY_SIZES
    points = [math.log(value) for value in found] if is_log else found
    needed = [math.log(value) for value in must] if is_log else must
    if sign:
        losses = sorted(sign * point for point in points)
        worst = max([_worst_shown(losses), *(sign * point for point in needed)])
        points = [point for point in points if sign * point <= worst]
    least, most = min(points), max(points)
    margin = _MARGIN * (most - least) or abs(most) * _MARGIN or 0.5
    back = math.exp if is_log else float
    return Scale(
        "log" if is_log else "linear",
        back(least - margin),
        back(most + margin),
        back(least) * (1 - 1e-9 * math.copysign(1, back(least))),
        back(most) * (1 + 1e-9 * math.copysign(1, back(most))),
    )


def _worst_shown(losses: Sequence[float]) -> float:
    """Return the loss beyond which outliers begin; `losses` are sorted."""
    if len(losses) < _FEWEST_TO_CUT:
        return losses[-1]
    usual = losses[math.ceil(_USUAL_SHARE * len(losses)) - 1]
    spread = usual - losses[0]
    if spread == 0 or losses[-1] - losses[0] <= _FAR * spread:
        return losses[-1]
    return losses[0] + _SHOWN * spread


def set_log_ticks(axis: Axis, lo: float, hi: float) -> None:
    """Set ticks at powers of 10, over few decades at 1, 2 and 5 times these, as plain numbers."""
    few = math.log10(hi / lo) < _NUM_SUBDIVIDED_DECADES
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def set_count_ticks(axis: Axis, most: int) -> None:
    """Set at most about `most` ticks at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def wrapped(text: str, width: int) -> str:
    """Return a text of the document in lines of `width` characters, as it stands."""
    return plain(fill(text, width))


def cut(text: str, length: int) -> str:
    """Return a text of the document with at most `length` characters, as it stands."""
    return plain(text if len(text) <= length else f"{text[: length - 1]}…")


def name_tail(name: str, length: int) -> str:
    """Return the end of a dotted name, which tells more than its beginning, as it stands."""
    return plain(name if len(name) <= length else f"…{name[1 - length :]}")


@dataclass(frozen=True)
class Mark:
    """How trials of one sort are drawn; `is_open` leaves the inside of the mark empty."""

    label: str
    marker: str
    colour: str
    size: float
    is_open: bool = False

    def draw(self, axes: Axes, xs: Sequence[float], ys: Sequence[float], alpha: float) -> None:
        """Draw points; none for empty sequences."""
        if xs:
            axes.plot(xs, ys, linestyle="", alpha=alpha, clip_on=False, **self._style())

    def handle(self) -> Line2D:
        """Return the line of the legend."""
        return Line2D([], [], linestyle="", label=self.label, **self._style())

    def _style(self) -> dict[str, Any]:
        return {
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": "none" if self.is_open else self.colour,
            "markeredgecolor": self.colour,
            "markeredgewidth": 1.6 if self.is_open or self.marker == "x" else 0.0,
        }


FEASIBLE = Mark("trial", "o", OKABE_ITO[0], 5.0)
INFEASIBLE = Mark("breaks a constraint", "x", OKABE_ITO[1], 5.0)
PRUNED = Mark("pruned, at its last report", "v", "#a0a0a0", 5.5, is_open=True)
FAILED = Mark("failed", "|", OKABE_ITO[3], 11.0, is_open=True)
UNFINISHED = Mark("no value", "|", "#6b6b6b", 11.0, is_open=True)
BEYOND = Mark("far worse, at the edge", "D", "#6b6b6b", 4.5, is_open=True)
ON_FRONT = Mark("on the front", "o", FRONT_COLOUR, 9.5, is_open=True)
BEST = Mark("best", "o", FRONT_COLOUR, 10.5, is_open=True)
BASELINE = Mark("baseline", "*", INK, 12.0)


def opacity(num_points: int) -> float:
    """Return how opaque points are, so that many of them still show where they lie dense."""
    return 0.85 if num_points <= 80 else max(0.35, 0.85 * math.sqrt(80 / num_points))


def put_numbers(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    obstacles: Sequence[tuple[float, float]],
    better: tuple[int, int],
) -> int:
    """Write texts beside points where they cover no other text and no mark.

    The figure must be laid out, since places are found in points of the page.

    Args:
        axes: The axes, with their limits set.
        points: (x, y, text) in data coordinates, the most important first.
        obstacles: Marks in data coordinates.
        better: Direction of x and of y, 1 or -1, in which there are no dominated marks.

    Returns:
        How many texts found no room and were left out.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    to_points = 72.0 / figure.dpi
    inside = axes.get_window_extent()
    room = (inside.x0 * to_points, inside.y0 * to_points,
            inside.x1 * to_points, inside.y1 * to_points)  # fmt: skip

    def on_page(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y))
        return float(across) * to_points, float(up) * to_points

    marks = [_box(*on_page(x, y), FEASIBLE.size, FEASIBLE.size) for x, y in obstacles]
    marks += [_box(*on_page(x, y), _RING, _RING) for x, y, _ in points]
    taken: list[_Box] = []
    lost = 0
    for x, y, text in points:
        centre = on_page(x, y)
        size = (_GLYPH_WIDTH * _LABEL_POINTS * len(text), _LINE_HEIGHT * _LABEL_POINTS)
        for distance, dx, dy in _offsets(size, better):
            box = _box(centre[0] + dx, centre[1] + dy, size[0] + _GAP, size[1])
            if _is_within(box, room) and not any(_overlap(box, b) for b in (*taken, *marks)):
                taken.append(box)
                _write(axes, text, (x, y), (dx, dy), distance > _FAR_FROM_MARK)
                break
        else:
            lost += 1
    return lost


def _write(
    axes: Axes, text: str, point: tuple[float, float], shift: tuple[float, float], is_led: bool
) -> None:
    """Write a text at some distance in points, with a light edge that parts it from lines."""
    axes.annotate(
        text,
        point,
        shift,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_LABEL_POINTS,
        color=INK,
        annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": "#a0a0a0", "linewidth": 0.6, "shrinkA": 5,
                    "shrinkB": 4} if is_led else None,
        path_effects=[withStroke(linewidth=2.0, foreground="#ffffff")],
    ).set_in_layout(False)  # fmt: skip


_Box = tuple[float, float, float, float]


def _offsets(
    size: tuple[float, float], better: tuple[int, int]
) -> Iterable[tuple[float, float, float]]:
    """Yield distances and places of a text about its point, near ones first.

    Far ones are on the better side alone, where there are no marks to take them for.
    """
    width, height = size
    x, y = better
    for distance in _DISTANCES:
        ways = [(x, y), (0, y), (x, 0)]
        if distance == _DISTANCES[0]:
            ways += [(-x, y), (x, -y), (-x, 0), (0, -y), (-x, -y)]
        for across, up in ways:
            yield distance, across * (distance + width / 2), up * (distance + height / 2)


def _box(x: float, y: float, width: float, height: float) -> _Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_within(box: _Box, room: _Box) -> bool:
    return box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
