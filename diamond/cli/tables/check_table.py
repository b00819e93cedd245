"""What the check of a recording found, as a person reads it."""

from collections.abc import Iterator

from diamond.config.recorded import Alignment, ContinuousActions, DiscreteActions
from diamond.recordings.check import CheckReport
from diamond.report.table import Cell, Row, Table

SHOWN = 8
"""Actions that are listed."""
NOT_THERE = "not there"


def check_table(report: CheckReport, alignment: Alignment | None, title: str) -> Table:
    """A line for each thing that was looked at."""
    rows = (Row(name, "", (Cell(text),)) for name, text in _lines(report, alignment))
    return Table(title, ("", "found"), tuple(rows), words=frozenset({"found"}))


def _lines(report: CheckReport, alignment: Alignment | None) -> Iterator[tuple[str, str]]:
    lengths, repeats = report.episodes, report.repeats
    yield (
        "episodes",
        f"{report.num_episodes}, of {lengths.min} to {lengths.max} frames, median "
        f"{lengths.median:g}",
    )
    rate = "frame rate not there"
    if report.frame_rate is not None:
        rate = f"{report.frame_rate:g} a second"
    yield (
        "frames",
        f"{report.num_frames:,} of {report.height} x {report.width} pixels, levels "
        f"{report.levels[0]} to {report.levels[1]}, {rate}",
    )
    yield "actions", _actions(report.actions)
    rewards, ends = report.rewards, report.num_ends
    yield (
        "rewards",
        NOT_THERE
        if rewards is None
        else f"{rewards.negative:,} below 0, {rewards.zero:,} of 0, {rewards.positive:,} above 0, "
        f"sum {rewards.sum:g}",
    )
    yield "ends", NOT_THERE if ends is None else f"{ends:,} actions ended the game"
    run = f", at most {repeats.longest_run} in a row ({repeats.where})" if repeats.num else ""
    yield "repeated frames", f"{repeats.num:,}{run}"
    yield "black frames", f"{report.num_black:,}"
    yield "held out", f"{report.split}: {report.held_out_frames:,} frames"
    yield "alignment", _alignment(alignment)


def _actions(actions: DiscreteActions | ContinuousActions) -> str:
    if isinstance(actions, DiscreteActions):
        pairs = zip(actions.names, actions.counts, strict=True)
        told = [f"{name} {count:,}" for name, count in pairs]
        kind = f"{len(told)} discrete"
    else:
        ranges = zip(actions.names, actions.low, actions.high, strict=True)
        told = [f"{name} {low:g} to {high:g}" for name, low, high in ranges]
        kind = f"{len(told)} number{'' if len(told) == 1 else 's'} a step"
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f"{kind}: {', '.join(told[:SHOWN])}{more}"


def _alignment(alignment: Alignment | None) -> str:
    if alignment is None:
        return "too few changes of action to tell"
    pairs = zip(alignment.lags, alignment.scores, strict=True)
    scores = ", ".join(f"{lag:+d} {score:.2f}" for lag, score in pairs)
    told = f"lag {alignment.lag}" if alignment.told else "cannot be told"
    return f"{told}; what frames show of the action, by lag: {scores}"
