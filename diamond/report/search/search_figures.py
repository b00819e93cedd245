"""Figures of a search, which Optuna draws from its trials; here they get the style of the others.

Intervals are in the tables: Optuna's figures show values alone.
"""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from optuna.visualization import matplotlib as drawn_by_optuna

from diamond.report.figures.figure_style import INK, LINE_COLOURS, plain
from diamond.report.numbers import parameter_text
from diamond.report.search.search_study import (
    Recorded,
    objective_label,
    optuna_drawing,
    study_of,
    taken,
)
from diamond.results.search import Importance, Parameter, Search

SLICES_PER_ROW = 4
MANY_SIZES = 30.0
"""Positive values of which less is better are on a logarithmic scale beyond this factor.

Where more is better values near 0 are bad ones and deserve no room.
"""
_FEWEST_TO_CUT = 8
_USUAL_SHARE = 0.75
_FAR, _SHOWN, _MARGIN = 6.0, 3.0, 0.25
_NAME_LENGTH, _CHOICES_LENGTH = 26, 24
_NUM_SUBDIVIDED_DECADES = 2.5
_MOST_STEPS = 8
_GREY = "#a0a0a0"
_BEST_COLOUR = LINE_COLOURS[4]


def history_figure(search: Search) -> tuple[Figure, int]:
    """Draw the value of the one objective by the number of the trial, and the best so far.

    Args:
        search: A search with one objective and at least one value.

    Returns:
        The figure, and how many trials lie beyond its edge.
    """
    with optuna_drawing(8.5, 4.8):
        axes = drawn_by_optuna.plot_optimization_history(study_of(search, [0]))
        figure = taken(axes)
        feasible, *others = axes.collections
        feasible.set(color=LINE_COLOURS[0], label="trial")
        for found in others:
            found.set(color=_GREY, label="breaks a constraint")
        for line in axes.lines:
            line.set(color=_BEST_COLOUR, alpha=1.0, drawstyle="steps-post", label="best so far")
        num_far = _fit(axes, "y", search, 0)
        axes.set(xlabel="trial", ylabel=objective_label(search.objectives[0], 46))
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
        _draw_baseline(axes, search, None, 0)
        _put_legend(axes)
    return figure, num_far


def front_figure(search: Search, x: int, y: int) -> tuple[Figure, int]:
    """Draw all trials by two objectives; those on the front of all objectives stand out.

    Args:
        search: A search with several objectives and at least one value.
        x: Index of the objective that lies across.
        y: Index of the one that goes up.

    Returns:
        The figure, and how many trials lie beyond its edges.
    """
    looks = {
        "Best Trial": ("on the front", _BEST_COLOUR),
        "Infeasible Trial": ("breaks a constraint", _GREY),
    }
    with optuna_drawing(7.6, 5.0):
        axes = drawn_by_optuna.plot_pareto_front(
            study_of(search, range(len(search.objectives))),
            targets=lambda trial: (trial.values[x], trial.values[y]),
            target_names=[objective_label(search.objectives[index], 46) for index in (x, y)],
        )
        figure = taken(axes)
        for found in axes.collections:
            label, colour = looks.get(str(found.get_label()), ("trial", LINE_COLOURS[0]))
            found.set(label=label, color=colour)
        num_far = _fit(axes, "x", search, x) + _fit(axes, "y", search, y)
        _draw_baseline(axes, search, x, y)
        _put_legend(axes)
    return figure, num_far


def importance_figure(search: Search, entry: Importance) -> Figure:
    """Draw the shares of the parameters in one objective, as the result has them."""
    shares = {plain(_tail(row.name)): row.value for row in entry.rows}
    with optuna_drawing(7.6, 1.2 + 0.32 * len(shares)):
        axes = drawn_by_optuna.plot_param_importances(
            study_of(search, [entry.objective]), evaluator=Recorded(shares)
        )
        figure = taken(axes)
        for bar in axes.patches:
            bar.set_color(LINE_COLOURS[0])
        axes.set(xlabel="share explained", ylabel="")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
    return figure


def slice_rows(search: Search) -> list[list[Parameter]]:
    """Return the parameters that any trial with values has, in rows of `SLICES_PER_ROW`.

    The most important ones for the first objective come first, where that is known.
    """
    asked = {name for trial in search.valued() for name in trial.params}
    ranked = [row.name for row in search.importance[0].rows] if search.importance else []
    found = [parameter for parameter in search.space if parameter.name in asked]
    found.sort(key=lambda each: ranked.index(each.name) if each.name in ranked else len(ranked))
    return [found[i : i + SLICES_PER_ROW] for i in range(0, len(found), SLICES_PER_ROW)]


def slices_figure(
    search: Search, objective: int, parameters: Sequence[Parameter]
) -> tuple[Figure, int]:
    """Draw one objective against some parameters, over the trials that were asked for them.

    Args:
        search: A search with at least one trial that has values.
        objective: Its index.
        parameters: One of `slice_rows`.

    Returns:
        The figure, and how many trials lie beyond its edge.
    """
    # Optuna sorts its panels by name.
    shown = sorted(parameters, key=lambda each: each.name)
    size = (max(6.0, 2.6 * len(shown) + 1.4), 3.6)
    with optuna_drawing(*size):
        found = drawn_by_optuna.plot_slice(
            study_of(search, [objective]),
            params=[each.name for each in shown],
            target_name=objective_label(search.objectives[objective], 26),
        )
        panels: list[Axes] = np.ravel(np.asarray(found)).tolist()
        figure = taken(panels[0])
        figure.set_size_inches(size)
        figure.axes[-1].set_ylabel("trial")
        figure.axes[-1].yaxis.set_major_locator(MaxNLocator(6, integer=True))
        num_far = _fit(panels[0], "y", search, objective)
        for axes, parameter in zip(panels, shown, strict=True):
            _dress_slice(axes, search, parameter)
            _draw_baseline(axes, search, None, objective)
        panels[0].set_ylabel(objective_label(search.objectives[objective], 26))
    return figure, num_far


def _dress_slice(axes: Axes, search: Search, parameter: Parameter) -> None:
    """Name a panel and set its ticks; the choices of a parameter stand apart."""
    lines = [parameter.condition]
    if not parameter.in_range:
        lines.append(f"baseline {parameter_text(parameter.baseline)} lies outside")
    told = [plain(fill(line, 26)) for line in lines if line]
    axes.set_xlabel("\n".join([plain(_tail(parameter.name)), *told]))
    axes.tick_params(labelsize=8)
    if parameter.choices:
        found = {t.params[parameter.name] for t in search.valued() if parameter.name in t.params}
        axes.set_xlim(-0.5, len(found) - 0.5)
        if sum(map(len, parameter.choices)) > _CHOICES_LENGTH:
            for label in axes.get_xticklabels():
                label.set(rotation=40, ha="right", rotation_mode="anchor")
    elif axes.get_xscale() == "log":
        _set_log_ticks(axes, "x")
    else:
        lo, hi = axes.get_xlim()
        if parameter.kind == "int" and hi - lo < 1:
            axes.set_xlim(lo - 1, hi + 1)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=parameter.kind == "int"))


def reports_figure(search: Search) -> Figure:
    """Draw what trials reported to the pruner, those that it stopped apart, and the best one.

    Args:
        search: A search in which some trial reported.
    """
    with optuna_drawing(8.5, 4.6):
        axes = drawn_by_optuna.plot_intermediate_values(study_of(search, [0]))
        figure = taken(axes)
        told = {}
        for line in axes.lines:
            trial = search.trial(int(str(line.get_label()).removeprefix("Trial")))
            if trial.number == search.best:
                look: dict[str, Any] = {"color": _BEST_COLOUR, "linewidth": 2.2, "zorder": 3}
                look["label"] = f"best (trial {trial.number})"
            elif trial.state == "pruned":
                look = {"color": _GREY, "label": "pruned"}
            else:
                look = {"color": LINE_COLOURS[0], "label": "ran to its end"}
            line.set(**look)
            told[str(look["label"])] = line
        _fit(axes, "y", search, 0, [v for t in search.trials for _, v in search.reports(t)])
        axes.set_xlabel(plain(search.reports_label))
        axes.set_ylabel(objective_label(search.objectives[0], 46))
        steps = sorted({step for t in search.trials for step, _ in search.reports(t)})
        if len(steps) <= _MOST_STEPS:
            axes.set_xticks(steps)
        axes.margins(x=0.08)
        _put_legend(axes, list(told.values()))
    return figure


def _put_legend(axes: Axes, lines: Sequence[Line2D] = ()) -> None:
    """Put a legend below a figure, where it covers nothing."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    handles = list(lines) or axes.get_legend_handles_labels()[0]
    shown = [handle for handle in handles if np.isfinite(_points(handle)).all(axis=-1).any()]
    figure.legend(handles=shown, loc="outside lower center", ncols=4, frameon=False)


def _points(handle: Any) -> np.ndarray[Any, Any]:
    """Return the points of a line or of marks; Optuna makes marks without any."""
    found = handle.get_xydata() if isinstance(handle, Line2D) else handle.get_offsets()
    return np.asarray(found)


def _draw_baseline(axes: Axes, search: Search, x: int | None, y: int) -> None:
    """Draw the baseline: a line at its value, or its point where there are two objectives."""
    base = search.baseline.values
    if base and x is None:
        axes.axhline(base[y], color=_GREY, linestyle="--", linewidth=1.3, label="baseline")
    elif base and x is not None:
        axes.plot(base[x], base[y], "*", color=INK, markersize=12, label="baseline")


def _fit(
    axes: Axes,
    axis: Literal["x", "y"],
    search: Search,
    objective: int,
    values: Sequence[float] | None = None,
) -> int:
    """Set the scale of an objective so that far worse trials do not press the others together.

    Args:
        axes: The axes.
        axis: That of the objective.
        search: The search; its front and its baseline keep their places.
        objective: Its index.
        values: What is drawn; None for the values of the trials.

    Returns:
        How many values lie beyond the edge.
    """
    sign = search.objectives[objective].sign
    drawn = [t.values[objective] for t in search.valued()] if values is None else values
    if sign > 0 and min(drawn) > 0 and max(drawn) / min(drawn) > MANY_SIZES:
        axes.set(**{f"{axis}scale": "log"})
        _set_log_ticks(axes, axis)
        return 0
    losses = sorted(sign * value for value in drawn)
    usual = losses[math.ceil(_USUAL_SHARE * len(losses)) - 1]
    spread = usual - losses[0]
    if len(losses) < _FEWEST_TO_CUT or losses[-1] - losses[0] <= _FAR * spread or not spread:
        return 0
    kept = [search.trial(number).values for number in search.front] + [search.baseline.values]
    worst = max([losses[0] + _SHOWN * spread, *(sign * v[objective] for v in kept if v)])
    ends = sorted((sign * (losses[0] - _MARGIN * spread), sign * (worst + _MARGIN * spread)))
    axes.set(**{f"{axis}lim": ends})
    return sum(loss > worst for loss in losses)


def _set_log_ticks(axes: Axes, which: Literal["x", "y"]) -> None:
    """Set ticks at powers of 10, over few decades at 1, 2 and 5 times these, as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    lo, hi = axes.get_xlim() if which == "x" else axes.get_ylim()
    few = math.log10(hi / lo) < _NUM_SUBDIVIDED_DECADES
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _tail(name: str) -> str:
    """Return the end of a dotted name, which tells more than its beginning."""
    return name if len(name) <= _NAME_LENGTH else f"…{name[1 - _NAME_LENGTH :]}"
