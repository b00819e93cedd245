"""Survival of fidelity: the share of starts still below a threshold of drift, as steps."""

from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diamond.report.figures.figure_style import (
    LONG_HORIZON,
    draw_grid,
    floats,
    looks,
    plain,
    settings,
)
from diamond.report.numbers import counted
from diamond.report.table import Cell, Row, Table
from diamond.results.comparison_model import SurvivalCurve
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, written


def survival_rows(doc: Result, game: str) -> dict[str, SurvivalCurve]:
    """Return the survival curves of a game that are defined by arm, in the order of its arms."""
    rows = {row.arm: row.curve for row in doc.survival if row.game == game and row.curve.steps}
    return {arm.name: rows[arm.name] for arm in doc.arms_of(game) if arm.name in rows}


def survival_figure(doc: Result, game: str) -> Figure:
    """Draw the survival of each arm and baseline against the time step, bands for the arms.

    Args:
        game: One of its games, with survival curves.
    """
    by_arm = survival_rows(doc, game)
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 5.2), layout="constrained")
        axes = figure.subplots()
        handles: dict[str, list[Line2D]] = {"arm": [], "baseline": []}
        for arm, look in looks(doc, game):
            row = by_arm.get(arm.name)
            if row is None:
                continue
            steps = floats(row.steps)
            if arm.kind == "arm":
                lo, hi = floats(row.lo), floats(row.hi)
                axes.fill_between(
                    steps, lo, hi, step="post", color=look.colour, alpha=0.14, linewidth=0
                )
            style: dict[str, Any] = {
                "color": look.colour, "linestyle": look.dash, "linewidth": look.width,
            }  # fmt: skip
            axes.step(steps, floats(row.survival), where="post", **style)
            handles[arm.kind].append(Line2D([], [], label=plain(arm.name), **style))
        axes.set_ylim(0, 1.02)
        if doc.horizon > LONG_HORIZON:
            axes.set_xscale("log")
        ticks = [step for step in doc.report_steps if step <= doc.horizon]
        axes.set_xticks(ticks, [str(step) for step in ticks])
        axes.minorticks_off()
        axes.set_xlim(1, max(doc.horizon, 2))
        axes.set_xlabel("time step t after the start (env steps)")
        axes.set_ylabel("share of starts not yet diverged")
        draw_grid(axes)
        figure.legend(
            handles=[*handles["arm"], *handles["baseline"]],
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
        return figure


def survival_table(doc: Result, game: str) -> Table:
    """Return how long fidelity lasts in each arm: median time step, share left at the horizon."""
    kinds = {arm.name: arm.kind for arm in doc.arms_of(game)}
    rows = []
    for arm, row in survival_rows(doc, game).items():
        cells = (
            Cell(ABSENT if row.median is None else f"{row.median:g}"),
            Cell(*written(row.survival[-1], row.lo[-1], row.hi[-1])),
            Cell(str(row.at_risk[-1])),
            Cell(counted(row.n, row.unit or "")),
        )
        rows.append(Row(arm, kinds[arm], cells))
    columns = ("arm", "median time step", f"left at t={doc.horizon}", "still followed there",
               "replicates")  # fmt: skip
    return Table(f"{game}: how long fidelity lasts", columns, tuple(rows))


def survival_sentence(doc: Result, game: str) -> str:
    """Say what counts as diverged and what an absent median means."""
    found = dict.fromkeys(row.threshold for row in survival_rows(doc, game).values())
    thresholds = ", ".join(f"{threshold:.2g}" for threshold in found)
    return (
        f"A start has diverged at the first time step where L1 drift is above {thresholds}, the "
        "mean drift of the last frame repeated: from there on, a still picture was as near. Starts "
        "whose real episode ends before, or that last to the horizon, are censored there "
        "(Kaplan and Meier). A dash for the median: fewer than half of the starts diverged."
    )
