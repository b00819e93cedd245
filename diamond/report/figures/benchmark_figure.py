"""Scores of a benchmark as a figure: aggregates with intervals, and performance profiles."""

from collections.abc import Sequence
from textwrap import fill
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diamond.report.benchmark_tables import games_title, level_name
from diamond.report.figures.figure_style import LINE_COLOURS, plain, settings
from diamond.report.tables import HNS_LABELS as LABELS
from diamond.results.benchmark_model import Benchmark, ScoredFile
from diamond.stats.aggregates import AGGREGATES

_Dash = Literal["-", "--", ":"]
_DASHES: tuple[_Dash, ...] = ("-", "--", ":")
_REFERENCE_AGENT = "DIAMOND"
_REFERENCE_COLOUR = "#6b6b6b"
_LABEL_WIDTH = 22


def benchmark_figure(doc: Benchmark) -> Figure:
    """Draw the aggregates of every file in a row of panels, and below them the profiles.

    Returns:
        A figure 9 inches wide, not bound to any window. The published mean and median of DIAMOND
        are a dashed line where all files have the same games.
    """
    files = doc.files
    with matplotlib.rc_context(settings()):
        top = 0.9 + 0.34 * len(files)
        bottom = max(3.0, 0.9 + 0.34 * len(files))
        figure = Figure(figsize=(9.0, top + bottom), layout="constrained")
        grid = figure.add_gridspec(2, len(AGGREGATES), height_ratios=(top, bottom))
        for column, name in enumerate(AGGREGATES):
            _aggregate_panel(figure.add_subplot(grid[0, column]), doc, name, column == 0)
        profiles = figure.add_subplot(grid[1, :])
        _profile_panel(profiles, doc)
        figure.legend(
            handles=_legend(doc), loc="outside lower center", ncols=3, frameon=False, fontsize=9
        )
        return figure


def _aggregate_panel(axes: Axes, doc: Benchmark, name: str, is_first: bool) -> None:
    files = doc.files
    for row, file in enumerate(files):
        found = file.aggregates[name]
        colour = _colour(row)
        if found.lo is not None and found.hi is not None:
            axes.plot([found.lo, found.hi], [row, row], color=colour, linewidth=4, alpha=0.45)
        axes.plot([found.mean], [row], color=colour, marker="o", markersize=5)
    reference = _reference(doc, name)
    if reference is not None:
        axes.axvline(reference, color=_REFERENCE_COLOUR, linestyle=(0, (5.0, 2.0)), linewidth=1.2)
    better = "lower" if name == "optimality_gap" else "higher"
    axes.set_title(f"{LABELS[name]}\n({better} is better)", fontsize=10)
    labels = [_label(file.label) for file in files] if is_first else [""] * len(files)
    axes.set_yticks(range(len(files)), labels)
    axes.set_ylim(len(files) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(visible=True, axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _profile_panel(axes: Axes, doc: Benchmark) -> None:
    last = 1.0
    for row, file in enumerate(doc.files):
        profile = file.profile
        taus, fraction = np.array(profile.tau), np.array(profile.fraction)
        if profile.lo[0] is not None:
            lo, hi = np.array(profile.lo, np.float64), np.array(profile.hi, np.float64)
            axes.fill_between(taus, lo, hi, color=_colour(row), alpha=0.18, linewidth=0)
        axes.plot(taus, fraction, color=_colour(row), linestyle=_dash(row), linewidth=1.8)
        above = taus[fraction > 0]
        last = max(last, float(above[-1]) if above.size else 0.0)
    axes.axvline(1.0, color="black", linestyle=":", linewidth=1.0)
    axes.set_xlim(0.0, min(last * 1.03, float(taus[-1])))
    axes.set_ylim(0.0, 1.02)
    axes.set_title(f"Performance profile, {_games(doc.files)}", fontsize=10)
    axes.set_xlabel("human-normalised score τ (dotted: human)")
    axes.set_ylabel("share of runs above τ")
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(doc: Benchmark) -> list[Line2D]:
    lines = [
        Line2D(
            [], [], color=_colour(row), linestyle=_dash(row), marker="o", markersize=5,
            label=_label(file.label),
        )
        for row, file in enumerate(doc.files)
    ]  # fmt: skip
    if any(file.num_runs > 1 for file in doc.files):
        label = f"{level_name(doc)} interval"
        lines.append(Line2D([], [], color="#bbbbbb", linewidth=7, alpha=0.6, label=label))
    if any(_reference(doc, name) is not None for name in AGGREGATES):
        dashes = (0, (5.0, 2.0))
        label = f"{_REFERENCE_AGENT}, published, same games"
        lines.append(Line2D([], [], color=_REFERENCE_COLOUR, linestyle=dashes, label=label))
    return lines


def _reference(doc: Benchmark, name: str) -> float | None:
    """Return a value of the published DIAMOND over the games that all files have."""
    if len(doc.published) != 1:
        return None
    agents = {agent.agent: agent for agent in doc.published[0].agents}
    value, _ = agents[_REFERENCE_AGENT].aggregate(name)
    return value


def _games(files: Sequence[ScoredFile]) -> str:
    sets = {file.games for file in files}
    return games_title(sets.pop()) if len(sets) == 1 else "each file over its own games"


def _colour(row: int) -> str:
    return LINE_COLOURS[row % len(LINE_COLOURS)]


def _dash(row: int) -> _Dash:
    return _DASHES[row // len(LINE_COLOURS) % len(_DASHES)]


def _label(text: str) -> str:
    return plain(fill(text, _LABEL_WIDTH))
