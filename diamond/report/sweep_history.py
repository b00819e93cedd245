"""Trials of a sweep with one objective by their numbers: values, and the best so far."""

from collections.abc import Sequence
from itertools import groupby

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diamond.report.figure_style import draw_grid, settings
from diamond.report.numbers import label_of
from diamond.report.sweep_axes import (
    BASELINE_COLOUR,
    BEST,
    BEYOND,
    FAILED,
    FEASIBLE,
    FRONT_COLOUR,
    INFEASIBLE,
    PRUNED,
    UNFINISHED,
    Mark,
    Scale,
    opacity,
    scale_of,
    set_count_ticks,
    wrapped,
)
from diamond.report.sweep_figures import (
    FEW_TRIALS,
    Drawn,
    beyond_note,
    draw_trials,
    mark_of,
    objective_scale,
)
from diamond.results.search import Search

_RUG_HEIGHT = 0.03
_DASHED = (0, (5.0, 2.0))


def history_figure(search: Search) -> Drawn:
    """Draw the value of one objective by the number of the trial, and the best so far.

    Args:
        search: A search with one objective and at least one value or report.
    """
    objective = search.objectives[0]
    reported = [(t, value) for t in search.in_state("pruned")
                if (value := search.last_report(t)) is not None]  # fmt: skip
    trials = search.valued()
    scale = objective_scale(search, 0, (value for _, value in reported))
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 4.8), layout="constrained")
        axes = figure.subplots()
        _draw_history(axes, search, scale)
        PRUNED.draw(
            axes,
            [float(t.number) for t, _ in reported],
            [scale.place(value) for _, value in reported],
            opacity(len(search.trials)),
        )
        rugs = _draw_rugs(axes, search, {t.number for t, _ in reported})
        axes.set_xlabel("trial")
        axes.set_ylabel(f"{wrapped(label_of(objective), 46)}\n({objective.better})")
        numbers = [trial.number for trial in search.trials]
        axes.set_xlim(min(numbers) - 0.8, max(numbers) + 0.8)
        set_count_ticks(axes.xaxis, 10)
        draw_grid(axes)
        values = [*(t.values[0] for t in trials), *(value for _, value in reported)]
        num_far = sum(scale.is_beyond(value) for value in values)
        figure.legend(
            handles=_history_legend(search, bool(reported), rugs, num_far > 0),
            loc="outside lower center",
            ncols=4,
            frameon=False,
        )
    return Drawn(figure, beyond_note(num_far))


def _draw_history(axes: Axes, search: Search, scale: Scale) -> None:
    """Draw trials with values, the best so far, the best one and the baseline."""
    scale.apply_to(axes, "y")
    trials = search.valued()
    for trial in trials:
        interval = trial.interval(0)
        if interval is not None and (len(trials) <= FEW_TRIALS or trial.number in search.front):
            number = trial.number
            ends = [interval.lo, interval.hi]
            axes.plot([number] * 2, ends, color=mark_of(trial).colour, linewidth=1.1, alpha=0.55)
    base = search.baseline.values
    if base:
        axes.axhline(base[0], color=BASELINE_COLOUR, linestyle=_DASHED, linewidth=1.3)
        interval = search.baseline_interval(0)
        if interval is not None:
            axes.axhspan(interval.lo, interval.hi, color=BASELINE_COLOUR, alpha=0.12, lw=0)
    steps = best_so_far(search)
    if steps:
        steps.append((max(trial.number for trial in search.trials), steps[-1][1]))
        axes.plot([number for number, _ in steps], [scale.place(value) for _, value in steps],
                  color=FRONT_COLOUR, linewidth=1.6, drawstyle="steps-post")  # fmt: skip
    numbers = scale_of((trial.number for trial in search.trials), 0)
    draw_trials(axes, [((numbers, t.number), (scale, t.values[0]), t) for t in trials])
    if search.best is not None:
        best = search.trial(search.best)
        BEST.draw(axes, [best.number], [best.values[0]], 1.0)


def best_so_far(search: Search) -> list[tuple[int, float]]:
    """Return the numbers of the trials that were the best when they ended, with their values."""
    found: list[tuple[int, float]] = []
    factor = search.objectives[0].sign
    for trial in sorted(search.valued(), key=lambda trial: int(trial.number)):
        value = trial.values[0]
        if trial.feasible and (not found or factor * value < factor * found[-1][1]):
            found.append((trial.number, value))
    return found


def _draw_rugs(axes: Axes, search: Search, placed: set[int]) -> list[Mark]:
    """Draw trials without any value as ticks at the lower edge; return the marks that occur."""
    states = {"failed": FAILED, "running": UNFINISHED, "pruned": UNFINISHED}
    marked = [
        (states[trial.state], float(trial.number))
        for trial in search.trials
        if trial.state in states and trial.number not in placed
    ]
    marked.sort(key=lambda pair: pair[0].label)
    occurring = []
    for mark, group in groupby(marked, key=lambda pair: pair[0]):
        numbers = [number for _, number in group]
        axes.plot(
            numbers,
            [_RUG_HEIGHT] * len(numbers),
            linestyle="",
            marker=mark.marker,
            markersize=mark.size,
            markeredgewidth=1.6,
            color=mark.colour,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
        occurring.append(mark)
    return occurring


def _history_legend(
    search: Search, has_reported: bool, rugs: Sequence[Mark], has_beyond: bool
) -> list[Line2D]:
    trials = search.valued()
    marks = [
        (FEASIBLE, any(trial.feasible for trial in trials)),
        (INFEASIBLE, any(not trial.feasible for trial in trials)),
        (PRUNED, has_reported),
        (BEYOND, has_beyond),
    ]
    handles = [mark.handle() for mark, occurs in marks if occurs]
    handles += [mark.handle() for mark in rugs]
    if search.best is not None:
        label = f"best so far (ringed: trial {search.best})"
        handles.append(Line2D([], [], color=FRONT_COLOUR, linewidth=1.6, label=label))
    if search.baseline.values:
        line = Line2D([], [], color=BASELINE_COLOUR, linestyle=_DASHED, label="baseline")
        handles.append(line)
    if any(trial.intervals for trial in trials):
        handles.append(Line2D([], [], color=FEASIBLE.colour, alpha=0.6, label="95% interval"))
    return handles
