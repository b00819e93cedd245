"""What the parameters of a sweep do, as panels: importance, slices, reports to the pruner."""

from collections.abc import Sequence
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from diamond.report.figure_style import OKABE_ITO, draw_grid, plain, settings
from diamond.report.numbers import label_of, parameter_text
from diamond.report.sweep_axes import (
    BASELINE_COLOUR,
    FRONT_COLOUR,
    ON_FRONT,
    PRUNED,
    Scale,
    cut,
    name_tail,
    opacity,
    scale_of,
    set_count_ticks,
    set_log_ticks,
    wrapped,
)
from diamond.report.sweep_figures import draw_trials, objective_scale, trial_handles
from diamond.results.search import Importance, Parameter, Search, Trial

SLICES_PER_ROW = 4
_WIDEST = 14.0
_DOTTED: Literal[":"] = ":"
_CHOICE_LENGTH = 12
_NAME_LENGTH = 26
_COLUMN_MARGIN, _MARGIN = 0.5, 0.06


def importance_figure(search: Search) -> Figure:
    """Draw the shares of the parameters with their intervals, one panel for each objective.

    Args:
        search: A search, at least one of whose objectives has shares.
    """
    entries = search.importance
    names = [row.name for entry in entries for row in entry.rows]
    longest = min(_NAME_LENGTH, max(len(name) for name in names))
    width = 3.0 + 0.09 * longest
    num_columns = min(3 if 3 * width < _WIDEST else 2, len(entries))
    num_rows = -(-len(entries) // num_columns)
    height = 1.2 + 0.3 * max(len(entry.rows) for entry in entries)
    with matplotlib.rc_context(settings()):
        size = (max(6.5, width * num_columns), height * num_rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel().tolist()
        for axes, entry in zip(panels, entries, strict=False):
            _draw_importance(axes, search, entry)
        for axes in panels[len(entries) :]:
            axes.set_axis_off()
        return figure


def _draw_importance(axes: Axes, search: Search, entry: Importance) -> None:
    axes.set_title(wrapped(label_of(search.objectives[entry.objective]), 40), fontsize=10)
    if not entry.rows:
        axes.text(0.5, 0.5, wrapped(f"none: {entry.reason}", 34), ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip
        axes.set_axis_off()
        return
    for place, row in enumerate(entry.rows):
        axes.barh(place, row.value, height=0.62, color=OKABE_ITO[0], alpha=0.45)
        if row.lo is not None and row.hi is not None:
            axes.plot([row.lo, row.hi], [place, place], color=OKABE_ITO[0], linewidth=1.8,
                      marker="|", markersize=6)  # fmt: skip
    names = [name_tail(row.name, _NAME_LENGTH) for row in entry.rows]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    ends = [end for row in entry.rows for end in (row.value, row.hi) if end is not None]
    axes.set_xlim(0.0, 1.05 * max(ends, default=1.0) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("share explained")
    draw_grid(axes, "x")


def slice_rows(search: Search) -> list[list[Parameter]]:
    """Return the parameters that any trial with values has, in rows of `SLICES_PER_ROW`.

    The most important ones for the first objective come first, where that is known.
    """
    asked = {name for trial in search.valued() for name in trial.params}
    ranked = [row.name for row in search.importance[0].rows] if search.importance else []
    found = [parameter for parameter in search.space if parameter.name in asked]
    found.sort(key=lambda each: ranked.index(each.name) if each.name in ranked else len(ranked))
    return [found[i : i + SLICES_PER_ROW] for i in range(0, len(found), SLICES_PER_ROW)]


def slices_figure(search: Search, parameters: Sequence[Parameter]) -> Figure:
    """Draw every objective against some parameters: a column each, one row for each objective.

    Args:
        search: A search with at least one trial that has values.
        parameters: One of `slice_rows`.
    """
    num_rows = len(search.objectives)
    with matplotlib.rc_context(settings()):
        size = (2.6 * len(parameters) + 0.8, 2.4 * num_rows + 1.1)
        figure = Figure(figsize=(max(size[0], 6.0), size[1]), layout="constrained")
        panels = figure.subplots(num_rows, len(parameters), squeeze=False, sharey="row")
        for row, objective in enumerate(search.objectives):
            scale = objective_scale(search, row)
            for column, parameter in enumerate(parameters):
                axes = panels[row, column]
                _draw_slice(axes, search, row, parameter, scale)
                if row + 1 < num_rows:
                    axes.tick_params(labelbottom=False)
                else:
                    axes.set_xlabel(_parameter_label(parameter), fontsize=9)
            label = f"{wrapped(label_of(objective), 24)}\n({objective.better})"
            panels[row, 0].set_ylabel(label, fontsize=9)
        handles = trial_handles(search)
        if search.front:
            ring = "best" if search.is_single else ON_FRONT.label
            handles.append(_ring(ring))
        has_place = any(_baseline_place(parameter) is not None for parameter in parameters)
        if has_place or search.baseline.values:
            line = Line2D([], [], color=BASELINE_COLOUR, linestyle=_DOTTED, label="baseline")
            handles.append(line)
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
        return figure


def _ring(label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="o", markersize=7.5, markerfacecolor="none",
                  markeredgecolor=FRONT_COLOUR, markeredgewidth=1.4, label=label)  # fmt: skip


def _draw_slice(
    axes: Axes, search: Search, objective: int, parameter: Parameter, scale: Scale
) -> None:
    """Draw one objective against one parameter, over the trials that were asked for it."""
    name = parameter.name
    trials = [trial for trial in search.valued() if name in trial.params]
    across = _parameter_scale(parameter, trials)
    scale.apply_to(axes, "y")
    across.apply_to(axes, "x")
    _set_ticks(axes, parameter, across)
    base = search.baseline.values
    if base:
        axes.axhline(base[objective], color=BASELINE_COLOUR, linestyle=_DOTTED, linewidth=1.3)
    place = _baseline_place(parameter)
    if place is not None:
        axes.axvline(place, color=BASELINE_COLOUR, linestyle=_DOTTED, linewidth=1.3)
    draw_trials(
        axes,
        [
            ((across, _place(parameter, trial)), (scale, trial.values[objective]), trial)
            for trial in trials
        ],
    )
    chosen = [t for t in (search.trial(n) for n in search.front) if name in t.params]
    axes.plot(
        [_place(parameter, trial) for trial in chosen],
        [trial.values[objective] for trial in chosen],
        linestyle="",
        marker="o",
        markersize=7.5,
        markerfacecolor="none",
        markeredgecolor=FRONT_COLOUR,
        markeredgewidth=1.4,
        alpha=opacity(len(chosen)),
    )
    draw_grid(axes)


def _parameter_scale(parameter: Parameter, trials: Sequence[Trial]) -> Scale:
    """Return the scale of a parameter: the whole range, and what trials had beyond it."""
    if parameter.kind == "categorical":
        last = len(parameter.choices or ()) - 1
        return Scale("linear", -_COLUMN_MARGIN, last + _COLUMN_MARGIN, 0.0, float(last))
    values = [float(trial.params[parameter.name]) for trial in trials]
    values += [float(end) for end in (parameter.low, parameter.high) if end is not None]
    least, most = min(values), max(values)
    if parameter.log and least > 0:
        factor = (most / least) ** _MARGIN if most > least else 1.5
        return Scale("log", least / factor, most * factor, least, most)
    margin = _MARGIN * (most - least) or _COLUMN_MARGIN
    return Scale("linear", least - margin, most + margin, least, most)


def _place(parameter: Parameter, trial: Trial) -> float:
    """Return where the value of a trial is on the axis of a parameter."""
    value = trial.params[parameter.name]
    return float(parameter.choices.index(str(value)) if parameter.choices else value)


def _baseline_place(parameter: Parameter) -> float | None:
    """Return where the baseline's value is, None where it lies outside of the space."""
    if not parameter.in_range:
        return None
    if parameter.choices:
        found = parameter.baseline or ""
        return float(parameter.choices.index(found)) if found in parameter.choices else None
    return parameter.baseline_number


def _set_ticks(axes: Axes, parameter: Parameter, scale: Scale) -> None:
    if parameter.choices:
        labels = [cut(choice, _CHOICE_LENGTH) for choice in parameter.choices]
        turned = sum(len(label) for label in labels) > 2 * _CHOICE_LENGTH
        axes.set_xticks(range(len(labels)), labels, fontsize=8, rotation=40 if turned else 0,
                        ha="right" if turned else "center")  # fmt: skip
    elif scale.kind == "log":
        set_log_ticks(axes.xaxis, scale.lo, scale.hi)
    elif parameter.kind == "int":
        set_count_ticks(axes.xaxis, 5)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8)


def _parameter_label(parameter: Parameter) -> str:
    """Return the name of a parameter, on what it depends, and a baseline that is not drawn."""
    lines = [parameter.condition]
    if not parameter.in_range:
        lines.append(f"baseline {parameter_text(parameter.baseline)} lies outside")
    told = [wrapped(line, 30) for line in lines if line]
    return "\n".join([name_tail(parameter.name, _NAME_LENGTH), *told])


def has_reports(search: Search) -> bool:
    """Tell whether any trial reported anything to the pruner."""
    return any(trial.intermediate for trial in search.trials)


def reports_figure(search: Search) -> Figure:
    """Draw what trials reported to the pruner, those that it stopped apart, and the best one.

    Args:
        search: A search in which some trial reported.
    """
    lines = [(trial, search.reports(trial)) for trial in search.trials if trial.intermediate]
    values = [value for _, points in lines for _, value in points]
    objective = search.objectives[0]
    best = search.best
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 4.6), layout="constrained")
        axes = figure.subplots()
        kept = [v for trial, points in lines if trial.number == best for _, v in points]
        scale = scale_of(values, objective.sign, kept)
        scale.apply_to(axes, "y")
        alpha = max(0.12, min(0.7, 12 / len(lines)))
        for trial, points in lines:
            _draw_reports(axes, trial, [(x, scale.place(y)) for x, y in points], alpha, best)
        steps = sorted({step for _, points in lines for step, _ in points})
        if len(steps) <= 8:
            axes.set_xticks(steps)
        else:
            set_count_ticks(axes.xaxis, 8)
        axes.margins(x=0.08)
        axes.set_xlabel(plain(search.reports_label))
        axes.set_ylabel(f"{wrapped(label_of(objective), 46)}\n({objective.better})")
        draw_grid(axes)
        handles = _reports_legend(search)
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        return figure


def _draw_reports(
    axes: Axes, trial: Trial, points: Sequence[tuple[int, float]], alpha: float, best: int | None
) -> None:
    """Draw the line of a trial; where it was stopped, a mark ends it."""
    is_best = trial.number == best
    is_pruned = trial.state == "pruned"
    colour = FRONT_COLOUR if is_best else PRUNED.colour if is_pruned else OKABE_ITO[0]
    axes.plot(
        [step for step, _ in points],
        [value for _, value in points],
        color=colour,
        alpha=1.0 if is_best else alpha,
        linewidth=2.2 if is_best else 1.2,
        marker="o" if len(points) == 1 or is_best else "",
        markersize=4,
        zorder=3 if is_best else 2,
    )
    if is_pruned:
        step, value = points[-1]
        PRUNED.draw(axes, [float(step)], [value], max(alpha, 0.5))


def _reports_legend(search: Search) -> list[Line2D]:
    reporting = [trial for trial in search.trials if trial.intermediate]
    handles = []
    if any(trial.state != "pruned" for trial in reporting):
        handles.append(Line2D([], [], color=OKABE_ITO[0], alpha=0.7, label="ran to its end"))
    if any(trial.state == "pruned" for trial in reporting):
        handles.append(Line2D([], [], color=PRUNED.colour, marker="v", markerfacecolor="none",
                              label="pruned"))  # fmt: skip
    if any(trial.number == search.best for trial in reporting):
        label = f"best (trial {search.best})"
        handles.append(Line2D([], [], color=FRONT_COLOUR, linewidth=2.2, marker="o", label=label))
    return handles
