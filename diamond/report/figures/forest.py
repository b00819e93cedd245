"""Differences to the baseline arm as a forest plot, beside the noise floor."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from diamond.report.figures.figure_style import INK, NOISE, Look, draw_grid, looks, plain, settings
from diamond.results.comparison_model import Comparison
from diamond.results.metric_model import Metric
from diamond.results.model import Result
from diamond.results.number_text import p_text, signed, with_bounds
from diamond.results.values import MEAN

_PANELS_A_ROW = 3
_MANY_SIZES = 20.0


def forest_figure(doc: Result, game: str, metric: str) -> Figure:
    """Draw each arm minus the baseline arm in one metric, with interval, corrected p and floor.

    Args:
        metric: A metric with at least one difference in this game.
    """
    rows, info = doc.compared(game, metric), doc.metric(metric)
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(9.5, 0.42 * len(rows) + 1.9), layout="constrained")
        axes = figure.subplots()
        floor = _draw(axes, doc, game, rows)
        _label_rows(axes, rows)
        _scale(axes, rows, floor)
        for place, row in enumerate(rows):
            axes.annotate(
                _numbers(row),
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
            )
        has_p = any(row.p_t_corrected is not None for row in rows)
        axes.annotate(
            "difference (interval)" + ("   p (Holm)" if has_p else ""),
            (1.02, 1.01),
            xycoords="axes fraction",
            va="bottom",
            fontsize=9,
        )
        unit = f" [{info.unit}]" if info.unit else ""
        axes.set_xlabel(f"{info.label}{unit}: arm minus {plain(rows[0].b)}\n{_sides(info)}")
        figure.legend(
            handles=_legend(rows, floor), loc="outside lower center", ncols=4, frameon=False
        )
        return figure


def forest_panels(doc: Result, game: str, metrics: Sequence[str]) -> Figure:
    """Draw the differences in several metrics, a panel each, without numbers.

    Args:
        metrics: Metrics with at least one difference in this game; one or more.
    """
    found = {metric: doc.compared(game, metric) for metric in metrics}
    names = list(dict.fromkeys(row.a for rows in found.values() for row in rows))
    num_columns = min(_PANELS_A_ROW, len(metrics))
    num_rows = -(-len(metrics) // num_columns)
    with matplotlib.rc_context(settings()):
        size = (3.1 * num_columns + 2.2, num_rows * (0.26 * len(names) + 1.1) + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = np.ravel(figure.subplots(num_rows, num_columns, squeeze=False, sharey=True))
        floors = []
        for axes, metric in zip(panels, metrics, strict=False):
            by_name = {row.a: row for row in found[metric]}
            rows = [by_name.get(name) for name in names]
            floors.append(_draw(axes, doc, game, rows))
            info = doc.metric(metric)
            axes.set_title(f"{info.label}{f' [{info.unit}]' if info.unit else ''}", fontsize=10)
            axes.set_xlabel(_sides(info), fontsize=9)
            axes.locator_params(axis="x", nbins=5)
        for axes in panels[len(metrics) :]:
            axes.set_axis_off()
        panels[0].set_yticks(range(len(names)), [plain(name) for name in names])
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        every = [row for rows in found.values() for row in rows]
        figure.legend(
            handles=_legend(every, next((floor for floor in floors if floor is not None), None)),
            loc="outside lower center",
            ncols=4,
            frameon=False,
        )
        return figure


def _draw(axes: Axes, doc: Result, game: str, rows: Sequence[Comparison | None]) -> float | None:
    """Draw the floor, the zero line and the differences; return the floor."""
    of_arm = {arm.name: look for arm, look in looks(doc, game)}
    metric = next(row.metric for row in rows if row)
    floor = _floor(doc, game, metric)
    if floor is not None:
        axes.axvspan(-floor, floor, color=NOISE, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, row in enumerate(rows):
        if row is not None:
            _draw_row(axes, place, row, of_arm[row.a])
    draw_grid(axes, "x")
    axes.tick_params(axis="y", length=0)
    return floor


def _draw_row(axes: Axes, place: int, row: Comparison, look: Look) -> None:
    if row.lo is not None and row.hi is not None:
        axes.plot([row.lo, row.hi], [place] * 2, color=look.colour, linewidth=2.2)
    assert row.difference is not None, "only comparisons with a difference are drawn"
    is_shown = row.is_shown
    axes.plot(
        [row.difference],
        [place],
        marker=look.marker or "o",
        markersize=7,
        color=look.colour,
        markerfacecolor=look.colour if is_shown else "#ffffff",
        markeredgewidth=1.6,
    )


def _floor(doc: Result, game: str, metric: str) -> float | None:
    """Return the noise floor of the mean over the horizon; None where it is not defined."""
    found = doc.floor(game, metric)
    return None if found is None else found.at[MEAN]


def _label_rows(axes: Axes, rows: Sequence[Comparison]) -> None:
    notes = {"control": " (A/A)", "reference": " (not trained)"}
    names = [plain(row.a) + notes.get(row.family, "") for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def is_symmetric_logarithmic(rows: Sequence[Comparison]) -> bool:
    """Tell whether differences are so unlike in size that a linear scale would hide the small."""
    sizes = [abs(row.difference) for row in rows if row.difference]
    return len(sizes) > 1 and max(sizes) > _MANY_SIZES * min(sizes)


def _scale(axes: Axes, rows: Sequence[Comparison], floor: float | None) -> None:
    """Where differences are of very unlike size: linear within the floor, logarithmic beyond."""
    if not is_symmetric_logarithmic(rows):
        return
    bounds = [abs(end) for row in rows for end in (row.difference, row.lo, row.hi) if end]
    linear = floor or min(abs(row.difference) for row in rows if row.difference)
    axes.set_xscale("symlog", linthresh=linear, linscale=0.6)
    powers = range(math.ceil(math.log10(linear)), math.floor(math.log10(max(bounds))) + 1)
    low, high = axes.get_xlim()
    sizes = [10.0**power for power in powers]
    ticks = [one for one in (*(-size for size in sizes), 0.0, *sizes) if low <= one <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _numbers(row: Comparison) -> str:
    text = with_bounds(signed(row.difference, row.lo, row.hi))
    p = row.p_t_corrected
    return text if p is None else f"{text}   {p_text(p)}"


def _sides(info: Metric) -> str:
    match info.direction:
        case "higher":
            return "\N{LEFTWARDS ARROW} worse    better \N{RIGHTWARDS ARROW}"
        case "lower":
            return "\N{LEFTWARDS ARROW} better    worse \N{RIGHTWARDS ARROW}"
        case "real":
            return "closer to the real frames is better"
        case "none":
            return "neither more nor less is better"


def _legend(rows: Sequence[Comparison], floor: float | None) -> list[Line2D | Patch]:
    def mark(face: str, label: str) -> Line2D:
        return Line2D(
            [], [], color="#808080", marker="o", markersize=7, markerfacecolor=face, label=label
        )

    decisions = {row.is_shown for row in rows}
    shown = [mark("#808080", "a difference is shown")] if True in decisions else []
    hollow = [mark("#ffffff", "none is shown")] if False in decisions else []
    floors = [] if floor is None else [Patch(color=NOISE, label="noise floor")]
    return [*shown, *hollow, *floors]
