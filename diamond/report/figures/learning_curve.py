"""Return in the real game against the updates of the policy."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from diamond.config.player_names import UnseeingPlayer
from diamond.report.figures.figure_style import INK, Look, draw_grid, looks, plain, settings
from diamond.report.return_tables import player_text
from diamond.results.arm_model import Arm
from diamond.results.model import Result
from diamond.results.returns_model import LearningPoint, PlayerPoints


def learning_runs(doc: Result, game: str) -> bool:
    """Whether any run of a game has a learning curve."""
    return any(_curve(arm) for arm in doc.arms_of(game, "arm"))


def learning_figure(doc: Result, game: str) -> Figure:
    """Draw the real return of each arm against the updates of its policy.

    A line is the mean over runs; a single run has its intervals, where it has any.

    Args:
        game: One of its games, with learning curves.
    """
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(8.5, 5.2), layout="constrained")
        axes = figure.subplots()
        handles = []
        for arm, look in looks(doc, game):
            curve = _curve(arm)
            if not curve:
                continue
            updates = [point.updates for point in curve]
            bounds = [(p.updates, p.lo, p.hi) for p in curve if p.lo is not None]
            if bounds:
                x, lo, hi = zip(*bounds, strict=True)
                axes.fill_between(x, lo, hi, color=look.colour, alpha=0.14, linewidth=0)
            axes.plot(updates, [point.mean for point in curve], **_style(look))
            handles.append(Line2D([], [], label=plain(arm.name), **_style(look)))
        for dash, found in zip(("--", ":"), _floors(doc, game), strict=False):
            line = axes.axhline(found.mean, color=INK, linestyle=dash, linewidth=1)
            line.set_label(player_text(found))
            handles.append(line)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("updates of the policy")
        axes.set_ylabel("mean return in the real game")
        draw_grid(axes)
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        return figure


def _curve(arm: Arm) -> Sequence[LearningPoint]:
    """The learning curve of an arm: that of its run, or the mean over runs as far as all go."""
    curves = [run.returns.curve for run in arm.runs if run.returns and run.returns.curve]
    if len(curves) < 2:
        return curves[0] if curves else ()
    return [
        LearningPoint(updates=first.updates, mean=sum(p.mean for p in all_) / len(all_), n=first.n)
        for first, *rest in zip(*curves, strict=False)
        for all_ in [(first, *rest)]
    ]


def _floors(doc: Result, game: str) -> Iterator[PlayerPoints]:
    """Random play and the best constant action, which know no policy."""
    names: tuple[UnseeingPlayer, ...] = ("random", "constant")
    for name in names:
        found = [one for arm in doc.arms_of(game, "arm") for one in arm.player_points(name)]
        if len({one.mean for one in found}) == 1:  # where arms play alike
            yield found[0]


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour, "linestyle": look.dash, "linewidth": look.width,
        "marker": look.marker,
    }  # fmt: skip
