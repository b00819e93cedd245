"""Fidelity against what an imagined frame costs, with the arms that none beats in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from diamond.report.figures.figure_style import INK, draw_grid, looks, plain, settings
from diamond.report.figures.horizon_figures import is_logarithmic
from diamond.results.arm_model import CostName
from diamond.results.metric_model import Estimate
from diamond.results.model import Result
from diamond.stats.pareto import pareto

COSTS: Mapping[CostName, str] = {
    "denoiser_calls_per_frame": "denoiser calls per frame",
    "ms_per_frame": "ms per imagined frame",
}


@dataclass(frozen=True)
class Point:
    """An arm by its cost and its fidelity; `loss` is how bad it is, less is better."""

    arm: str
    cost: float
    value: Estimate
    loss: float


def points(doc: Result, game: str, cost: CostName) -> list[Point]:
    """Return the arms that have a cost above 0 and a value of the primary metric.

    Args:
        cost: A name of `COSTS`.
    """
    metric = doc.primary
    real = doc.real(game, metric.name, "mean")
    found = []
    for arm in doc.arms_of(game, "arm"):
        paid, value = arm.mean_cost(cost), arm.estimate(metric.name, "mean")
        if not paid or value is None:
            continue
        match metric.direction:
            case "higher":
                loss = -value.mean
            case "lower":
                loss = value.mean
            case "real" if real is not None:
                loss = abs(value.mean - real.mean)
            case _:
                continue
        found.append(Point(arm.name, paid, value, loss))
    return found


def tradeoff_figure(doc: Result, game: str) -> Figure:
    """Draw the primary metric against denoiser calls and against milliseconds per frame.

    Args:
        game: One of its games, with at least one point.
    """
    metric = doc.primary
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(9.5, 3.9), layout="constrained")
        panels = figure.subplots(1, len(COSTS), sharey=True)
        for axes, (cost, label) in zip(panels, COSTS.items(), strict=True):
            _draw(axes, doc, game, points(doc, game, cost))
            axes.set_xlabel(label)
        unit = f" [{metric.unit}]" if metric.unit else ""
        panels[0].set_ylabel(f"{metric.label}{unit}, mean over t\n({metric.better})")
        names = {point.arm for cost in COSTS for point in points(doc, game, cost)}
        handles = [
            Line2D(
                [],
                [],
                color=look.colour,
                marker=look.marker,
                linestyle="",
                markersize=7,
                label=plain(arm.name),
            )
            for arm, look in looks(doc, game)
            if arm.name in names
        ]
        front = Line2D(
            [],
            [],
            color="#808080",
            linestyle=":",
            marker="o",
            markersize=12,
            markerfacecolor="none",
            label="Pareto front",
        )
        figure.legend(handles=[*handles, front], loc="outside lower center", ncols=4, frameon=False)
        return figure


def _draw(axes: Axes, doc: Result, game: str, found: Sequence[Point]) -> None:
    of_arm = {arm.name: look for arm, look in looks(doc, game)}
    front = [found[index] for index in pareto([(one.cost, one.loss) for one in found])]
    axes.plot(
        [point.cost for point in front],
        [point.value.mean for point in front],
        color="#808080",
        linestyle=":",
        marker="o",
        markersize=13,
        markerfacecolor="none",
    )
    for point in found:
        look, value = of_arm[point.arm], point.value
        if value.lo is not None and value.hi is not None:
            axes.plot([point.cost] * 2, [value.lo, value.hi], color=look.colour, linewidth=1.6)
        axes.plot([point.cost], [value.mean], marker=look.marker, markersize=7, color=look.colour)
    real = doc.real(game, doc.primary_metric, "mean")
    if real is not None:
        axes.axhline(real.mean, color=INK, linestyle=":", linewidth=1.4)
    axes.set_xscale("log")
    costs = sorted({point.cost for point in found})
    if all(cost == round(cost) for cost in costs):
        axes.set_xticks(costs)
    else:
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    if is_logarithmic(doc, game, doc.primary_metric):
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(point.value.mean for point in found) / 2)
    axes.margins(x=0.12)
    draw_grid(axes)
