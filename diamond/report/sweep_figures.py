"""Trials of a sweep as figures: the Pareto front of two or more objectives, or the history of one.

What the parameters do is drawn in `sweep_panels`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diamond.report.document import Document
from diamond.report.looks import draw_grid, settings
from diamond.report.sweep_axes import (
    BASELINE,
    BASELINE_COLOUR,
    BEST,
    BEYOND,
    FAILED,
    FEASIBLE,
    FRONT_COLOUR,
    INFEASIBLE,
    ON_FRONT,
    PRUNED,
    UNFINISHED,
    Mark,
    Scale,
    opacity,
    put_numbers,
    scale_of,
    set_count_ticks,
    wrapped,
)
from diamond.report.sweep_document import (
    BETTER,
    Trial,
    baseline_interval,
    interval_of,
    is_single,
    label_of,
    pair_front,
    pruned_value,
    sign,
    trial_of,
    trials_in,
    valued_trials,
)

_FEW_TRIALS = 40
"""Up to so many trials have whiskers; of more only the front and the baseline have them."""
_PANEL_WIDTH, _PANEL_HEIGHT = 4.4, 4.0
_RUG_HEIGHT = 0.03
_DASHED = (0, (5.0, 2.0))


@dataclass(frozen=True)
class Drawn:
    """A figure and what a reader must know of it that it does not show."""

    figure: Figure
    note: str


def front_figure(doc: Document) -> Drawn:
    """Draw every pair of two or more objectives: all trials, the front, the baseline.

    Args:
        doc: The document of a sweep with at least one trial that has values.

    Returns:
        Up to three panels a row. A line joins the trials of the front that are unbeaten in the two
        objectives of its panel.
    """
    pairs = list(combinations(range(len(doc["objectives"])), 2))
    num_columns = min(3, len(pairs))
    num_rows = -(-len(pairs) // num_columns)
    size = (7.6, 5.0) if len(pairs) == 1 else (_PANEL_WIDTH * num_columns,
                                               _PANEL_HEIGHT * num_rows + 0.5)  # fmt: skip
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel().tolist()
        for axes, (y, x) in zip(panels, pairs, strict=False):
            _draw_pair(axes, doc, x, y)
        for axes in panels[len(pairs) :]:
            axes.set_axis_off()
        figure.legend(
            handles=_front_legend(doc), loc="outside lower center", ncols=4, frameon=False
        )
        figure.draw_without_rendering()  # the numbers need the layout, which stays as it is now
        figure.set_layout_engine("none")
        lost = [_number_pair(axes, doc, x, y) for axes, (y, x) in zip(panels, pairs, strict=False)]
    told = [_valueless_note(doc)]
    if any(lost):
        told.append("Trials of the front have their numbers where there is room.")
    return Drawn(figure, " ".join(text for text in told if text))


def _draw_pair(axes: Axes, doc: Document, x: int, y: int) -> None:
    """Draw two objectives; less important marks lie below."""
    scales = {index: objective_scale(doc, index) for index in (x, y)}
    for index, axis in ((x, "x"), (y, "y")):
        scales[index].apply_to(axes, "x" if axis == "x" else "y")
    trials = valued_trials(doc)
    chosen = {*doc["front"], doc["baseline"]["trial"]}
    for trial in trials:
        if len(trials) <= _FEW_TRIALS or trial["number"] in chosen:
            on_front = trial["number"] in doc["front"]
            colour = FRONT_COLOUR if on_front else _mark_of(trial).colour
            for index in (x, y):
                _draw_whisker(axes, trial, (x, y), index, colour)
    front = pair_front(doc, x, y)
    axes.plot(
        [pair[0] for pair in front],
        [pair[1] for pair in front],
        color=FRONT_COLOUR,
        linewidth=1.4,
        drawstyle="steps-post" if sign(doc["objectives"][x]) > 0 else "steps-pre",
    )
    draw_trials(
        axes, [((scales[x], t["values"][x]), (scales[y], t["values"][y]), t) for t in trials]
    )
    ringed = [trial_of(doc, number)["values"] for number in doc["front"]]
    ON_FRONT.draw(axes, [each[x] for each in ringed], [each[y] for each in ringed], 1.0)
    base = doc["baseline"]["values"]
    if base is not None:
        BASELINE.draw(axes, [base[x]], [base[y]], 1.0)
    for index, set_label in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        objective = doc["objectives"][index]
        set_label(f"{wrapped(label_of(objective), 40)}\n({BETTER[objective['direction']]})")
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
        mark = BEYOND if is_beyond else _mark_of(trial)
        by_mark[mark].append((x_scale.place(x), y_scale.place(y)))
    for mark, places in by_mark.items():
        mark.draw(axes, [x for x, _ in places], [y for _, y in places], alpha)


def objective_scale(doc: Document, objective: int, further: Iterable[float] = ()) -> Scale:
    """Return the scale of an objective, with places for the front, the baseline, their intervals.

    Args:
        doc: The document of a sweep.
        objective: Index of one of its objectives.
        further: Other values on the same axis.
    """
    values = [*(trial["values"][objective] for trial in valued_trials(doc)), *further]
    chosen = [trial_of(doc, number) for number in doc["front"]]
    base = doc["baseline"]["values"]
    kept = [trial["values"][objective] for trial in chosen]
    kept += [] if base is None else [base[objective]]
    intervals = [baseline_interval(doc, objective), *(interval_of(t, objective) for t in chosen)]
    least = min([*values, *kept], default=0.0)
    ends = [found[end] for found in intervals if found is not None for end in ("lo", "hi")]
    kept += [end for end in ends if end > 0 or least <= 0]  # an end may forbid no logarithm
    return scale_of(values, sign(doc["objectives"][objective]), kept)


def num_beyond(doc: Document) -> int:
    """Count the trials that stand at an edge because a value of theirs is far worse than most."""
    scales = [objective_scale(doc, index) for index in range(len(doc["objectives"]))]
    return sum(
        any(scale.is_beyond(value) for scale, value in zip(scales, trial["values"], strict=True))
        for trial in valued_trials(doc)
    )


def trial_handles(doc: Document) -> list[Line2D]:
    """Return the legend of trials with values: each mark that occurs."""
    trials = valued_trials(doc)
    marks = [
        (FEASIBLE, any(trial["feasible"] for trial in trials)),
        (INFEASIBLE, any(not trial["feasible"] for trial in trials)),
        (BEYOND, num_beyond(doc) > 0),
    ]
    return [mark.handle() for mark, occurs in marks if occurs]


def _mark_of(trial: Trial) -> Mark:
    return FEASIBLE if trial["feasible"] else INFEASIBLE


def _draw_whisker(axes: Axes, trial: Trial, pair: tuple[int, int], along: int, colour: str) -> None:
    """Draw the interval of one objective of a pair, where the trial has one."""
    interval = interval_of(trial, along)
    if interval is None:
        return
    x, y = (trial["values"][index] for index in pair)
    ends = [interval["lo"], interval["hi"]]
    xs, ys = (ends, [y, y]) if along == pair[0] else ([x, x], ends)
    axes.plot(xs, ys, color=colour, linewidth=1.1, alpha=0.4)


def _number_pair(axes: Axes, doc: Document, x: int, y: int) -> int:
    """Write the numbers of the front; return how many found no room."""
    chosen = [trial_of(doc, number) for number in doc["front"]]
    points = [(t["values"][x], t["values"][y], str(t["number"])) for t in chosen]
    marks = [(t["values"][x], t["values"][y]) for t in valued_trials(doc)]
    better = -sign(doc["objectives"][x]), -sign(doc["objectives"][y])
    return put_numbers(axes, points, marks, better)


def _front_legend(doc: Document) -> list[Line2D]:
    handles = trial_handles(doc)
    if doc["front"]:
        label = f"{ON_FRONT.label} (with its number)"
        handles.append(
            Line2D([], [], color=FRONT_COLOUR, marker="o", markersize=9.5, markerfacecolor="none",
                   markeredgewidth=1.4, linewidth=1.4, label=label)
        )  # fmt: skip
    if doc["baseline"]["values"] is not None:
        handles.append(BASELINE.handle())
    if any(trial["intervals"] for trial in valued_trials(doc)):
        handles.append(Line2D([], [], color=BASELINE_COLOUR, alpha=0.6, label="95% interval"))
    return handles


def _valueless_note(doc: Document) -> str:
    """Say which trials have no place in the figure."""
    counts = {state: len(trials_in(doc, state)) for state in ("pruned", "failed", "running")}
    told = [f"{count} {state}" for state, count in counts.items() if count]
    return f"Not drawn, for want of values: {', '.join(told)}." if told else ""


def history_figure(doc: Document) -> Drawn:
    """Draw the value of one objective by the number of the trial, and the best so far.

    Args:
        doc: The document of a sweep with one objective and at least one value or report.
    """
    objective = doc["objectives"][0]
    reported = [(t, value) for t in trials_in(doc, "pruned")
                if (value := pruned_value(doc, t)) is not None]  # fmt: skip
    trials = valued_trials(doc)
    scale = objective_scale(doc, 0, (value for _, value in reported))
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 4.8), layout="constrained")
        axes = figure.subplots()
        _draw_history(axes, doc, scale)
        PRUNED.draw(
            axes,
            [float(t["number"]) for t, _ in reported],
            [scale.place(value) for _, value in reported],
            opacity(len(doc["trials"])),
        )
        rugs = _draw_rugs(axes, doc, {t["number"] for t, _ in reported})
        axes.set_xlabel("trial")
        axes.set_ylabel(f"{wrapped(label_of(objective), 46)}\n({BETTER[objective['direction']]})")
        numbers = [trial["number"] for trial in doc["trials"]]
        axes.set_xlim(min(numbers) - 0.8, max(numbers) + 0.8)
        set_count_ticks(axes.xaxis, 10)
        draw_grid(axes)
        beyond = any(scale.is_beyond(t["values"][0]) for t in trials)
        figure.legend(
            handles=_history_legend(doc, bool(reported), rugs, beyond),
            loc="outside lower center",
            ncols=4,
            frameon=False,
        )
    return Drawn(figure, "")


def _draw_history(axes: Axes, doc: Document, scale: Scale) -> None:
    """Draw trials with values, the best so far, the best one and the baseline."""
    scale.apply_to(axes, "y")
    trials = valued_trials(doc)
    for trial in trials:
        interval = interval_of(trial, 0)
        if interval is not None and (len(trials) <= _FEW_TRIALS or trial["number"] in doc["front"]):
            number = trial["number"]
            ends = [interval["lo"], interval["hi"]]
            axes.plot([number] * 2, ends, color=_mark_of(trial).colour, linewidth=1.1, alpha=0.55)
    base = doc["baseline"]["values"]
    if base is not None:
        axes.axhline(base[0], color=BASELINE_COLOUR, linestyle=_DASHED, linewidth=1.3)
        interval = baseline_interval(doc, 0)
        if interval is not None:
            axes.axhspan(interval["lo"], interval["hi"], color=BASELINE_COLOUR, alpha=0.12, lw=0)
    steps = best_so_far(doc)
    if steps:
        steps.append((max(trial["number"] for trial in doc["trials"]), steps[-1][1]))
        axes.plot([number for number, _ in steps], [scale.place(value) for _, value in steps],
                  color=FRONT_COLOUR, linewidth=1.6, drawstyle="steps-post")  # fmt: skip
    numbers = scale_of((trial["number"] for trial in doc["trials"]), 0)
    draw_trials(axes, [((numbers, t["number"]), (scale, t["values"][0]), t) for t in trials])
    if doc["best"] is not None:
        best = trial_of(doc, doc["best"])
        BEST.draw(axes, [best["number"]], [best["values"][0]], 1.0)


def best_so_far(doc: Document) -> list[tuple[int, float]]:
    """Return the numbers of the trials that were the best when they ended, with their values."""
    found: list[tuple[int, float]] = []
    factor = sign(doc["objectives"][0])
    for trial in sorted(valued_trials(doc), key=lambda trial: int(trial["number"])):
        value = trial["values"][0]
        if trial["feasible"] and (not found or factor * value < factor * found[-1][1]):
            found.append((trial["number"], value))
    return found


def _draw_rugs(axes: Axes, doc: Document, placed: set[int]) -> list[Mark]:
    """Draw trials without any value as ticks at the lower edge; return the marks that occur."""
    states = {"failed": FAILED, "running": UNFINISHED, "pruned": UNFINISHED}
    marked = [
        (states[trial["state"]], float(trial["number"]))
        for trial in doc["trials"]
        if trial["state"] in states and trial["number"] not in placed
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
    doc: Document, has_reported: bool, rugs: Sequence[Mark], has_beyond: bool
) -> list[Line2D]:
    trials = valued_trials(doc)
    marks = [
        (FEASIBLE, any(trial["feasible"] for trial in trials)),
        (INFEASIBLE, any(not trial["feasible"] for trial in trials)),
        (PRUNED, has_reported),
        (BEYOND, has_beyond),
    ]
    handles = [mark.handle() for mark, occurs in marks if occurs]
    handles += [mark.handle() for mark in rugs]
    if doc["best"] is not None:
        label = f"best so far (ringed: trial {doc['best']})"
        handles.append(Line2D([], [], color=FRONT_COLOUR, linewidth=1.6, label=label))
    if doc["baseline"]["values"] is not None:
        line = Line2D([], [], color=BASELINE_COLOUR, linestyle=_DASHED, label="baseline")
        handles.append(line)
    if any(trial["intervals"] for trial in trials):
        handles.append(Line2D([], [], color=FEASIBLE.colour, alpha=0.6, label="95% interval"))
    return handles


def search_figure(doc: Document) -> Drawn | None:
    """Draw the history of one objective or the front of several; None without any value."""
    if not is_single(doc):
        return front_figure(doc) if valued_trials(doc) else None
    has_value = valued_trials(doc) or any(trial["intermediate"] for trial in doc["trials"])
    return history_figure(doc) if has_value else None
