"""Fidelity against horizon as figures, from the result document."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from diamond.report.figures.figure_style import (
    INK,
    LONG_HORIZON,
    NOISE,
    draw_grid,
    floats,
    looks,
    marked_steps,
    plain,
    settings,
)
from diamond.results.arm_model import Arm, level_text
from diamond.results.metric_model import CurvePart
from diamond.results.model import Result

BANDS: tuple[tuple[CurvePart, CurvePart, float], ...] = (
    ("band_lo", "band_hi", 0.08),
    ("lo", "hi", 0.16),
)
"""The simultaneous band, lightest and below, and the pointwise interval: bounds and opacity."""
MOST_POINTS = 200
"""Points of a line in a figure of one metric."""
PANEL_POINTS = 48
"""Points of a line in a small panel: about one every four points of its width."""
_PANEL_TICKS = 5
_MANY_SIZES = 30.0
"""An error whose curves differ by this factor is drawn on a logarithmic scale."""


def horizon_figure(doc: Result, game: str, metric: str) -> Figure:
    """Draw one metric against the time step: a line and an interval band for each arm.

    Returns:
        A figure of 8.5 x 5.6 inches, not bound to any window.
    """
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 5.6), layout="constrained")
        axes = figure.subplots()
        info = doc.metric(metric)
        _draw(axes, doc, game, metric, MOST_POINTS)
        axes.set_title(f"{game}: {info.label} ({info.better})")
        axes.set_xlabel("time step t after the start (env steps)")
        figure.legend(
            handles=_legend(doc, game, [metric]),
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
        return figure


def horizon_panels(doc: Result, game: str, metrics: Sequence[str]) -> Figure:
    """Draw metrics as small multiples with one legend.

    Args:
        metrics: Names of metrics of the document with values in this game, at least one.

    Returns:
        A figure with up to three panels a row.

    Raises:
        ValueError: There is no metric to draw.
    """
    if not metrics:
        raise ValueError(f"no metric to draw in {game!r}")
    num_columns = min(3, len(metrics))
    num_rows = -(-len(metrics) // num_columns)
    with matplotlib.rc_context(settings()):
        size = (4.0 * num_columns, 2.9 * num_rows + 0.9)
        figure = Figure(figsize=size, layout="constrained")
        panels = np.ravel(figure.subplots(num_rows, num_columns, squeeze=False))
        for index, (axes, metric) in enumerate(zip(panels, metrics, strict=False)):
            info = doc.metric(metric)
            _draw(axes, doc, game, metric, PANEL_POINTS)
            if axes.get_yscale() == "linear":
                axes.yaxis.set_major_locator(MaxNLocator(_PANEL_TICKS))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_title(f"{info.label}\n({info.better})", fontsize=10)
            if index + num_columns < len(metrics):
                axes.tick_params(labelbottom=False)  # the panel below has the same axis
            else:
                axes.set_xlabel("time step t (env steps)")
        for axes in panels[len(metrics) :]:
            axes.set_axis_off()
        handles = _legend(doc, game, metrics)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(num_columns, len(handles)),
            frameon=False,
        )
        return figure


def drawn_steps(num_steps: int, most: int) -> NDArray[np.int64]:
    """Return the indices of the time steps that a line draws, first and last among them.

    Args:
        num_steps: Time steps that there are.
        most: Points that a line may have; evenly spaced on the logarithmic axis beyond that.

    Returns:
        Rising indices, at most `most` of them.
    """
    if num_steps <= most:
        return np.arange(num_steps)
    return np.unique(np.rint(np.geomspace(1, num_steps, most)).astype(np.int64)) - 1


def _draw(axes: Axes, doc: Result, game: str, metric: str, most: int) -> None:
    info = doc.metric(metric)
    _draw_noise(axes, doc, game, metric, most)
    is_long = doc.horizon > LONG_HORIZON
    for arm, look in looks(doc, game):
        mean = floats(arm.curve(metric, "mean"))
        drawn = drawn_steps(len(mean), most)
        for lower, upper, alpha in BANDS:
            lo, hi = floats(arm.curve(metric, lower)), floats(arm.curve(metric, upper))
            if arm.kind == "arm" and len(lo) == len(hi) == len(mean):
                axes.fill_between(
                    drawn + 1, lo[drawn], hi[drawn], color=look.colour, alpha=alpha, linewidth=0
                )
        marked = marked_steps(look, len(mean), is_long)
        axes.plot(
            drawn + 1,
            mean[drawn],
            color=look.colour,
            linestyle=look.dash,
            linewidth=look.width,
            marker=look.marker,
            markersize=5.5,
            markevery=sorted({*np.searchsorted(drawn, marked).tolist()}) or None,
        )
    real = real_curve(doc, game, metric)
    drawn = drawn_steps(len(real), most)
    axes.plot(drawn + 1, real[drawn], color=INK, linestyle=":", linewidth=1.6)
    axes.set_ylabel(info.title)
    draw_grid(axes)
    _set_values(axes, doc, game, metric)
    _set_steps(axes, doc)


def _set_values(axes: Axes, doc: Result, game: str, metric: str) -> None:
    """Scale the vertical axis; it ends where values of the metric end, whatever an interval says.

    An error whose curves differ by far is drawn on a logarithmic scale, from half of its smallest
    mean: an interval that reaches below ends at the edge.
    """
    low, high = value_bounds(doc, metric)
    if is_logarithmic(doc, game, metric):
        axes.set_yscale("log")
        axes.set_ylim(bottom=float(drawn_means(doc, game, metric).min()) / 2)
    elif low is not None:
        axes.set_ylim(bottom=max(low, axes.get_ylim()[0]))
    if high is not None:
        axes.set_ylim(top=min(high, axes.get_ylim()[1]))


def is_logarithmic(doc: Result, game: str, metric: str) -> bool:
    """Tell whether a metric is drawn on a logarithmic scale."""
    low, high = value_bounds(doc, metric)
    means = drawn_means(doc, game, metric)
    return (
        (low, high) == (0.0, None)
        and doc.metric(metric).direction == "lower"
        and len(means) > 0
        and bool(means.min() > 0)
        and bool(means.max() / means.min() > _MANY_SIZES)
    )


def is_cut(doc: Result, game: str, metric: str) -> bool:
    """Tell whether an interval of an arm reaches beyond what values of the metric can be."""
    low, high = value_bounds(doc, metric)
    for arm in doc.arms_of(game, "arm"):
        for lower, upper, _ in BANDS:
            lo, hi = floats(arm.curve(metric, lower)), floats(arm.curve(metric, upper))
            if low is not None and (lo < low).any() or high is not None and (hi > high).any():
                return True
    return False


def value_bounds(doc: Result, metric: str) -> tuple[float | None, float | None]:
    """What no value of a metric can be below or above; an interval may reach beyond it."""
    info = doc.metric(metric)
    return info.low, info.high


def drawn_means(doc: Result, game: str, metric: str) -> NDArray[np.float64]:
    """Return every mean that is drawn, (n,)."""
    drawn = [floats(arm.curve(metric, "mean")) for arm in doc.arms_of(game)]
    found = np.concatenate([*drawn, np.empty(0)])
    finite: NDArray[np.float64] = found[np.isfinite(found)]
    return finite


def _draw_noise(axes: Axes, doc: Result, game: str, metric: str, most: int) -> None:
    """Shade the noise floor: the mean of the baseline arm, give or take the floor."""
    row = doc.floor(game, metric)
    if row is None:
        return
    arm = next(arm for arm in doc.arms_of(game, "arm") if arm.name == row.arm)
    mean, floor = floats(arm.curve(metric, "mean")), floats(row.curve)
    drawn = drawn_steps(len(mean), most)
    low, high = (mean - floor)[drawn], (mean + floor)[drawn]
    axes.fill_between(drawn + 1, low, high, color=NOISE, linewidth=0)


def _set_steps(axes: Axes, doc: Result) -> None:
    """Scale the horizontal axis: logarithmic over long horizons, where most changes come first."""
    horizon = doc.horizon
    if horizon > LONG_HORIZON:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = [step for step in doc.report_steps if step <= horizon]
    axes.set_xticks(ticks, [str(step) for step in ticks])
    axes.set_xlim(1, max(horizon, 2))


def _legend(doc: Result, game: str, metrics: Sequence[str]) -> list[Line2D | Patch]:
    """Return the legend: arms, the real frames where drawn, baselines, and what the bands are."""
    shown = [
        (arm, look)
        for arm, look in looks(doc, game)
        if any(np.isfinite(floats(arm.curve(metric, "mean"))).any() for metric in metrics)
    ]
    lines = {
        kind: [
            Line2D(
                [],
                [],
                color=look.colour,
                linestyle=look.dash,
                linewidth=look.width,
                marker=look.marker,
                markersize=5.5,
                label=plain(arm.name),
            )
            for arm, look in shown
            if arm.kind == kind
        ]
        for kind in ("arm", "baseline")
    }
    real = [Line2D([], [], color=INK, linestyle=":", linewidth=1.6, label="real frames")]
    has_real = any(len(real_curve(doc, game, metric)) for metric in metrics)
    noise = (row for metric in metrics if (row := doc.floor(game, metric)))
    floors = [
        Patch(facecolor=NOISE, edgecolor="none", label=f"noise floor of {plain(row.arm)}")
        for row in noise
    ]
    return [
        *lines["arm"],
        *(real if has_real else []),
        *lines["baseline"],
        *_band_legend([arm for arm, _ in shown if arm.kind == "arm"], metrics),
        *floors[:1],
    ]


def _band_legend(arms: Sequence[Arm], metrics: Sequence[str]) -> list[Patch]:
    """Say what the bands are; the wide one holds at all time steps together."""
    names = {
        "lo": f"{level_text(arms)} interval",
        "band_lo": f"{level_text(arms)} band, all t together",
    }
    if has_bands(arms, metrics):
        names["lo"] += " at each t"
    return [
        Patch(facecolor="#808080", alpha=alpha, edgecolor="none", label=names[lower])
        for lower, _, alpha in reversed(BANDS)
        if any(
            value is not None
            for arm in arms
            for metric in metrics
            for value in arm.curve(metric, lower)
        )
    ]


def has_bands(arms: Sequence[Arm], metrics: Sequence[str]) -> bool:
    """Tell whether any arm has a simultaneous band of one of the metrics."""
    return any(
        value is not None
        for arm in arms
        for metric in metrics
        for value in arm.curve(metric, "band_lo")
    )


def real_curve(doc: Result, game: str, metric: str) -> NDArray[np.float64]:
    """Return the curve of the real frames, empty where the metric has none."""
    curves = (floats(arm.curve(f"{metric}_real", "mean")) for arm in doc.arms_of(game))
    return next((found for found in curves if np.isfinite(found).any()), np.empty(0))
