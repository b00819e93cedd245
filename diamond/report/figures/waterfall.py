"""What each flip of a path changed, drawn as two waterfalls and a range per factor."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from diamond.report.figures.figure_style import LINE_COLOURS, plain, settings
from diamond.results.model import Result
from diamond.results.number_text import signed
from diamond.results.path_model import FactorRange, Path, PathMetric

_RAISES, _LOWERS = LINE_COLOURS[0], LINE_COLOURS[3]
_BAR = 0.62


def waterfall_figure(doc: Result, game: str, metric: str) -> Figure:
    """Draw both walks of a path over shared rows of factors, and how far their changes are apart.

    The forward walk goes down the rows, the backward walk up: both begin at the start of the path.

    Args:
        doc: A result document with a path for the game.
        metric: One of its metrics, of which some arm of the path has a value.
    """
    path = doc.path[game]
    rows = {factor.name: row for row, factor in enumerate(path.factors)}
    found, info = path.metrics[metric], doc.metric(metric)
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(12.5, 0.36 * len(rows) + 2.4), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 3))
        panels[1].sharex(panels[0])
        real = doc.real(game, metric, path.at)
        for axes, direction in zip(panels, ("forward", "backward"), strict=False):
            _draw_walk(axes, path, found, direction, rows)
            if real is not None:
                axes.axvline(real.mean, color="black", linestyle=":", linewidth=1.4)
            arrow = "down" if direction == "forward" else "up"
            axes.set_title(f"{direction}: read {arrow} the rows")
            axes.set_xlabel(f"{info.label}, mean over the horizon\n({info.better})")
        _draw_ranges(panels[2], found.ranges, rows)
        panels[2].set_title("change of each factor")
        panels[2].set_xlabel(f"change of {info.label}")
        panels[0].set_yticks(list(rows.values()), [plain(name) for name in rows])
        panels[0].set_ylim(len(rows) + 0.1, -1.1)
        figure.suptitle(plain(f"{game}: from {path.start} to {path.end}"), fontsize=12)
        figure.legend(
            handles=_legend(found, real is not None),
            loc="outside lower center",
            ncols=6,
            frameon=False,
        )
        return figure


def _draw_walk(
    axes: Axes,
    path: Path,
    found: PathMetric,
    direction: str,
    rows: Mapping[str, int],
) -> None:
    values = found.values
    start_row, end_row = (-0.75, len(rows) - 0.25)
    if direction == "backward":
        start_row, end_row = end_row, start_row
    last_row = start_row
    for flip in found.walks[direction]:
        before, after = values.get(flip.before), values.get(flip.after)
        here = [rows[name] for name in flip.factors]
        middle, height = _place(here)
        if before is not None:
            axes.plot([before, before], [last_row, middle], color="#b0b0b0", linewidth=0.9)
        last_row = middle
        if before is None or after is None:
            _absent(axes, middle)
            continue
        colour = _RAISES if after >= before else _LOWERS
        axes.barh(middle, after - before, left=before, height=height, color=colour, alpha=0.85)
        if flip.change.lo is not None and flip.change.hi is not None:
            axes.plot(
                [before + flip.change.lo, before + flip.change.hi],
                [middle] * 2,
                color="black",
                lw=1.2,
            )
    for name, row, marker in ((path.start, start_row, "o"), (path.end, end_row, "D")):
        value = values.get(name)
        if value is None:
            continue
        if row == end_row:
            axes.plot([value, value], [last_row, row], color="#b0b0b0", linewidth=0.9)
        axes.plot([value], [row], marker=marker, color="black", markersize=5)
        # On the side where there is room: the middle of the figure.
        known = [one for one in values.values() if one is not None]
        inwards = value < sum(known) / len(known)
        label = axes.annotate(
            plain(name),
            (value, row),
            (7 if inwards else -7, 0),
            textcoords="offset points",
            ha="left" if inwards else "right",
            va="center",
            fontsize=8,
        )
        label.set_in_layout(False)  # A long name must not take the room of the panel.
    _grid(axes)


def _draw_ranges(axes: Axes, ranges: Sequence[FactorRange], rows: Mapping[str, int]) -> None:
    axes.axvline(0, color="black", linewidth=0.9)
    for one in ranges:
        here = [rows[name] for name in one.factors]
        middle, _ = _place(here)
        forward, backward = one.forward.change, one.backward.change
        if forward is None or backward is None:
            _absent(axes, middle)
            continue
        ends = sorted((forward, backward))
        axes.plot(ends, [middle] * 2, color="#8c8c8c", linewidth=3, zorder=1)
        axes.plot([forward], [middle], marker="v", color="black", markersize=6)
        axes.plot([backward], [middle], marker="^", color="black", mfc="white", markersize=6)
        axes.annotate(
            f"{signed(forward).text} / {signed(backward).text}",
            (1.02, middle),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
        )
    _grid(axes)


def _place(rows: Sequence[int]) -> tuple[float, float]:
    """Middle and height of a bar over rows; over the first of them where others lie between."""
    first, last = min(rows), max(rows)
    if last - first + 1 > len(rows):
        return first, _BAR
    return (first + last) / 2, last - first + _BAR


def _absent(axes: Axes, row: float) -> None:
    axes.annotate(
        "no value", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8
    )


def _grid(axes: Axes) -> None:
    axes.grid(visible=True, axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)


def _legend(found: PathMetric, has_real: bool) -> list[Any]:
    flips = [flip for walk in found.walks.values() for flip in walk]
    units = {flip.change.unit for flip in flips if flip.change.unit is not None}
    over = "".join(f" over {unit}s" for unit in sorted(units))
    real = [Line2D([], [], color="black", linestyle=":", label="real frames")] if has_real else []
    return [
        Patch(color=_RAISES, alpha=0.85, label="raises"),
        Patch(color=_LOWERS, alpha=0.85, label="lowers"),
        Line2D([], [], color="black", linewidth=1.2, label=f"95% interval{over}"),
        *real,
        Line2D([], [], color="black", marker="v", linestyle="", label="forward"),
        Line2D([], [], color="black", marker="^", mfc="white", linestyle="", label="backward"),
    ]
