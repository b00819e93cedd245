"""Trials of a sweep by two or more objectives with their Pareto front, and what figures share.

One objective has a history instead, in `sweep_history`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diamond.report.figure_style import draw_grid, settings
from diamond.report.numbers import label_of
from diamond.report.sweep_axes import (
    BASELINE,
    BASELINE_COLOUR,
    BEYOND,
    FEASIBLE,
    FRONT_COLOUR,
    INFEASIBLE,
    ON_FRONT,
    Mark,
    Scale,
    opacity,
    put_numbers,
    scale_of,
    wrapped,
)
from diamond.results.search import Search, Trial, TrialState

FEW_TRIALS = 40
"""Up to so many trials have whiskers; of more only the front and the baseline have them."""
_PANEL_WIDTH, _PANEL_HEIGHT = 4.4, 4.0
_RUG_HEIGHT = 0.03
_DASHED = (0, (5.0, 2.0))


@dataclass(frozen=True)
class Drawn:
    """A figure and what a reader must know of it that it does not show."""

    figure: Figure
    note: str


def front_figure(search: Search) -> Drawn:
    """Draw every pair of two or more objectives: all trials, the front, the baseline.

    Args:
        search: A search with at least one trial that has values.

    Returns:
        Up to three panels a row. A line joins the trials of the front that are unbeaten in the two
        objectives of its panel.
    """
    pairs = list(combinations(range(len(search.objectives)), 2))
    num_columns = min(3, len(pairs))
    num_rows = -(-len(pairs) // num_columns)
    size = (7.6, 5.0) if len(pairs) == 1 else (_PANEL_WIDTH * num_columns,
                                               _PANEL_HEIGHT * num_rows + 0.5)  # fmt: skip
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel().tolist()
        for axes, (y, x) in zip(panels, pairs, strict=False):
            _draw_pair(axes, search, x, y)
        for axes in panels[len(pairs) :]:
            axes.set_axis_off()
        figure.legend(
            handles=_front_legend(search), loc="outside lower center", ncols=4, frameon=False
        )
        figure.draw_without_rendering()  # the numbers need the layout, which stays as it is now
        figure.set_layout_engine("none")
        lost = [
            _number_pair(axes, search, x, y) for axes, (y, x) in zip(panels, pairs, strict=False)
        ]
    told = [_valueless_note(search), beyond_note(num_beyond(search))]
    if any(lost):
        told.append("Trials of the front have their numbers where there is room.")
    return Drawn(figure, " ".join(text for text in told if text))


def _draw_pair(axes: Axes, search: Search, x: int, y: int) -> None:
    """Draw two objectives; less important marks lie below."""
    scales = {index: objective_scale(search, index) for index in (x, y)}
    for index, axis in ((x, "x"), (y, "y")):
        scales[index].apply_to(axes, "x" if axis == "x" else "y")
    trials = search.valued()
    chosen = {*search.front, search.baseline.trial}
    for trial in trials:
        if len(trials) <= FEW_TRIALS or trial.number in chosen:
            on_front = trial.number in search.front
            colour = FRONT_COLOUR if on_front else mark_of(trial).colour
            for index in (x, y):
                _draw_whisker(axes, trial, (x, y), index, colour)
    front = search.pair_front(x, y)
    axes.plot(
        [pair[0] for pair in front],
        [pair[1] for pair in front],
        color=FRONT_COLOUR,
        linewidth=1.4,
        drawstyle="steps-post" if search.objectives[x].sign > 0 else "steps-pre",
    )
    draw_trials(axes, [((scales[x], t.values[x]), (scales[y], t.values[y]), t) for t in trials])
    ringed = [search.trial(number).values for number in search.front]
    ON_FRONT.draw(axes, [each[x] for each in ringed], [each[y] for each in ringed], 1.0)
    base = search.baseline.values
    if base:
        BASELINE.draw(axes, [base[x]], [base[y]], 1.0)
    for index, set_label in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        objective = search.objectives[index]
        set_label(f"{wrapped(label_of(objective), 40)}\n({objective.better})")
    draw_grid(axes)


def draw_trials(
    axes: Axes, points: Iterable[tuple[tuple[Scale, float], tuple[Scale, float], Trial]]
) -> None:
    """Draw trials by whether they keep the constraints, and those beyond an edge apart.

    Args:
        axes: Where to draw.
        points: For each trial the scale and the value of x, those of y, and the trial.
    """
    found = list(points)
    alpha = opacity(len(found))
    by_mark: dict[Mark, list[tuple[float, float]]] = {INFEASIBLE: [], FEASIBLE: [], BEYOND: []}
    for (x_scale, x), (y_scale, y), trial in found:
        is_beyond = x_scale.is_beyond(x) or y_scale.is_beyond(y)
        mark = BEYOND if is_beyond else mark_of(trial)
        by_mark[mark].append((x_scale.place(x), y_scale.place(y)))
    for mark, places in by_mark.items():
        mark.draw(axes, [x for x, _ in places], [y for _, y in places], alpha)


def objective_scale(search: Search, objective: int, further: Iterable[float] = ()) -> Scale:
    """Return the scale of an objective, with places for the front, the baseline, their intervals.

    Args:
        search: A search.
        objective: Index of one of its objectives.
        further: Other values on the same axis.
    """
    values = [*(trial.values[objective] for trial in search.valued()), *further]
    chosen = [search.trial(number) for number in search.front]
    base = search.baseline.values
    kept = [trial.values[objective] for trial in chosen]
    kept += [base[objective]] if base else []
    intervals = [search.baseline_interval(objective), *(t.interval(objective) for t in chosen)]
    least = min([*values, *kept], default=0.0)
    ends = [end for found in intervals if found is not None for end in (found.lo, found.hi)]
    kept += [end for end in ends if end > 0 or least <= 0]  # an end may forbid no logarithm
    return scale_of(values, search.objectives[objective].sign, kept)


def num_beyond(search: Search) -> int:
    """Count the trials that stand at an edge because a value of theirs is far worse than most."""
    scales = [objective_scale(search, index) for index in range(len(search.objectives))]
    return sum(
        any(scale.is_beyond(value) for scale, value in zip(scales, trial.values, strict=True))
        for trial in search.valued()
    )


def beyond_note(count: int) -> str:
    """Say how many trials stand at an edge; empty where none does."""
    if not count:
        return ""
    who = "1 trial is" if count == 1 else f"{count} trials are"
    return f"{who} far worse than most: shown at the edge."


def trial_handles(search: Search) -> list[Line2D]:
    """Return the legend of trials with values: each mark that occurs."""
    trials = search.valued()
    marks = [
        (FEASIBLE, any(trial.feasible for trial in trials)),
        (INFEASIBLE, any(not trial.feasible for trial in trials)),
        (BEYOND, num_beyond(search) > 0),
    ]
    return [mark.handle() for mark, occurs in marks if occurs]


def mark_of(trial: Trial) -> Mark:
    """Return how a trial with values is drawn."""
    return FEASIBLE if trial.feasible else INFEASIBLE


def _draw_whisker(axes: Axes, trial: Trial, pair: tuple[int, int], along: int, colour: str) -> None:
    """Draw the interval of one objective of a pair, where the trial has one."""
    interval = trial.interval(along)
    if interval is None:
        return
    x, y = (trial.values[index] for index in pair)
    ends = [interval.lo, interval.hi]
    xs, ys = (ends, [y, y]) if along == pair[0] else ([x, x], ends)
    axes.plot(xs, ys, color=colour, linewidth=1.1, alpha=0.4)


def _number_pair(axes: Axes, search: Search, x: int, y: int) -> int:
    """Write the numbers of the front; return how many found no room."""
    chosen = [search.trial(number) for number in search.front]
    points = [(t.values[x], t.values[y], str(t.number)) for t in chosen]
    marks = [(t.values[x], t.values[y]) for t in search.valued()]
    better = -search.objectives[x].sign, -search.objectives[y].sign
    return put_numbers(axes, points, marks, better)


def _front_legend(search: Search) -> list[Line2D]:
    handles = trial_handles(search)
    if search.front:
        label = f"{ON_FRONT.label} (with its number)"
        handles.append(
            Line2D([], [], color=FRONT_COLOUR, marker="o", markersize=9.5, markerfacecolor="none",
                   markeredgewidth=1.4, linewidth=1.4, label=label)
        )  # fmt: skip
    if search.baseline.values:
        handles.append(BASELINE.handle())
    if any(trial.intervals for trial in search.valued()):
        handles.append(Line2D([], [], color=BASELINE_COLOUR, alpha=0.6, label="95% interval"))
    return handles


def _valueless_note(search: Search) -> str:
    """Say which trials have no place in the figure."""
    valueless: tuple[TrialState, ...] = ("pruned", "failed", "running")
    counts = {state: len(search.in_state(state)) for state in valueless}
    told = [f"{count} {state}" for state, count in counts.items() if count]
    return f"Not drawn, for want of values: {', '.join(told)}." if told else ""
