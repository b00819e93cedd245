"""The result of a study in one table for a terminal; it loads no matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from diamond.config.metric_table import RETURN, is_set
from diamond.config.player_names import UnseeingPlayer
from diamond.report.machines import machines_sentence
from diamond.report.prose import seen_sentences
from diamond.report.return_tables import player_text
from diamond.report.table import Cell, Row, Table
from diamond.report.terminal import LASTING
from diamond.results.arm_model import Arm, level_text
from diamond.results.comparison_model import Comparison
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, number, signed, with_bounds, written

_STEPS = ("5", "10")
_AT_STEPS = ("psnr", "foreground_iou")
_OVER_HORIZON = ("core_ratio", "ssim", "l1")
_OF_EVENTS = ("event_recall", "reward_rate_ratio")
_AT_STEP, _OTHER, _COST = range(3)
_RETURN, _REAL, _PRIMARY, _DIFFERENCE = range(LASTING, LASTING + 4)
"""Ranks of columns: the lowest go first where there is no room."""
_STAR, _WITHIN, _BASE = "*", "~", "base"
_SHORT_LABELS = {
    "foreground_iou": "IoU",
    "core_ratio": "core ratio",
    "l1": "L1",
    "cell_accuracy": "cells",
    "cell_accuracy_changed": "changed",
    "cell_accuracy_events": "at events",
    "event_recall": "events",
    "reward_rate_ratio": "rewards",
}


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its two lines of head, and a value and an interval for each arm."""

    head: tuple[str, str]
    values: tuple[str, ...]
    intervals: tuple[str, ...]
    rank: int


def result_table(doc: Result, game: str) -> Table:
    """Lay out arms x selected metrics of one game.

    Where there is little room, the primary metric, differences and returns stay the longest.

    Returns:
        A table whose arms without a result say so.
    """
    arms = doc.arms_of(game)
    columns = _columns(doc, game, arms)
    ranks = [column.rank for column in columns] or [0]
    rows = []
    for index, arm in enumerate(arms):
        cells = [Cell(column.values[index], column.intervals[index]) for column in columns]
        lost = _lost(arm)
        if lost:
            cells = [Cell("") for _ in ranks]
            cells[ranks.index(max(ranks))] = Cell(lost, tone="soft" if lost == "pending" else "bad")
        rows.append(Row(arm.name, arm.kind, tuple(cells)))
    heads = ["\n".join(column.head) for column in columns] or [""]
    return Table(
        f"{game}: imagined frames against the real ones, {doc.horizon} time steps",
        ("arm", *heads),
        tuple(rows),
        _caption(doc, game),
        details=_details(doc, game),
        ranks=tuple(ranks),
    )


def _columns(doc: Result, game: str, arms: Sequence[Arm]) -> list[_Column]:
    """Return the columns that have values, in reading order."""
    primary = doc.primary_metric
    steps = [step for step in _STEPS if int(step) in doc.report_steps]
    wanted = [(metric, step) for step in steps for metric in _at_steps(doc)]
    wanted += [(metric, "mean") for metric in _over_horizon(doc)]
    if primary not in {RETURN.name, *(metric for metric, _ in wanted)}:
        wanted.insert(0, (primary, "mean"))
    columns = []
    for metric, at in wanted:
        columns.append(_metric_column(doc, arms, metric, at))
        real = doc.real(game, metric, at)
        if real and metric not in _OF_EVENTS:
            text = written(real.mean, real.lo, real.hi).text
            rank = _REAL if metric == primary else _OTHER
            columns.append(_Column(("real", "mean"), (text,) * len(arms), ("",) * len(arms), rank))
    columns += [_difference_column(doc, game, arms)]
    columns += [_return_column(arms), _hns_column(arms), _time_column(arms)]
    return [column for column in columns if any(value != ABSENT for value in column.values)]


def brief_metrics(doc: Result) -> set[str]:
    """The names of the metrics that a terminal shows."""
    return {doc.primary_metric, *_at_steps(doc), *_over_horizon(doc)}


def _at_steps(doc: Result) -> tuple[str, ...]:
    """Metrics of single time steps; none of a game of cells, of which pixels say little."""
    return () if _shows_cells(doc) else _AT_STEPS


def _over_horizon(doc: Result) -> tuple[str, ...]:
    """Metrics over the horizon: of pixels or cells, of packages, of events."""
    shown = (info for info in doc.scored if info.group in ("cells", "packages"))
    named = [info.name for info in shown if info.kind == "frame"]
    return (*(() if _shows_cells(doc) else _OVER_HORIZON), *named, *_OF_EVENTS)


def _shows_cells(doc: Result) -> bool:
    return any(info.group == "cells" for info in doc.scored)


def _metric_column(doc: Result, arms: Sequence[Arm], metric: str, at: str) -> _Column:
    """Return a column of estimates."""
    labels = {info.name: info.label for info in doc.scored} | _SHORT_LABELS
    found = [arm.estimate(metric, at) for arm in arms]
    texts = [written(one.mean, one.lo, one.hi) if one else written(None) for one in found]
    rank = _PRIMARY if metric == doc.primary_metric else _OTHER if at == "mean" else _AT_STEP
    return _Column(
        (labels.get(metric, metric), _at_text(metric, at)),
        tuple(one.text for one in texts),
        tuple(_narrow(one.bounds) for one in texts),
        rank,
    )


def _at_text(metric: str, at: str) -> str:
    """Say what a value is of: a time step, their mean, or all frames at once."""
    if at != "mean":
        return f"t={at}"
    return "all frames" if is_set(metric) else "mean"


def _difference_column(doc: Result, game: str, arms: Sequence[Arm]) -> _Column:
    """Return the differences to the baseline arm; `_difference_caption` says what marks mean."""
    rows = _differences(doc, game)
    values, intervals = [], []
    for arm in arms:
        row = rows.get(arm.name)
        if row is None:
            values.append(_BASE if rows and arm.name == _base(rows) else ABSENT)
            intervals.append("")
            continue
        text, bounds = signed(row.difference, row.lo, row.hi)
        marks = (_STAR if row.is_shown else "") + (_WITHIN if row.within_noise else "")
        values.append(text + marks)
        intervals.append(_narrow(bounds))
    return _Column(("difference", "to base"), tuple(values), tuple(intervals), _DIFFERENCE)


def _differences(doc: Result, game: str) -> dict[str, Comparison]:
    """Return the comparisons with the baseline arm on the primary metric by the arm's name."""
    return {
        row.a: row for row in doc.compared(game, doc.primary_metric) if row.family != "reference"
    }


def _base(rows: Mapping[str, Comparison]) -> str:
    return next(iter(rows.values())).b


def _return_column(arms: Sequence[Arm]) -> _Column:
    """Return the mean return of each arm, with the interval of the run where there is only one."""
    found = [arm.written_return() for arm in arms]
    means, bounds = (tuple(texts) for texts in zip(*found, strict=True)) if found else ((), ())
    return _Column(("return", "mean"), means, tuple(map(_narrow, bounds)), _RETURN)


def _hns_column(arms: Sequence[Arm]) -> _Column:
    means = tuple(written(arm.mean_return("hns")).text for arm in arms)
    return _Column(("HNS", "mean"), means, ("",) * len(arms), _COST)


def _time_column(arms: Sequence[Arm]) -> _Column:
    means = tuple(number(arm.mean_cost("ms_per_frame"), 1) for arm in arms)
    return _Column(("ms per", "frame"), means, ("",) * len(arms), _COST)


def _narrow(bounds: str) -> str:
    """Write an interval narrowly: 0.57-0.66, with `to` in place of the dash beside a minus sign."""
    return bounds if "-" in bounds else bounds.replace(" to ", "-")


def _lost(arm: Arm) -> str:
    """Return the state of an arm without any number, empty for any other."""
    states = [run.state for run in arm.runs]
    return "" if arm.metrics or not states or "done" in states else states[0]


def _details(doc: Result, game: str) -> str:
    """Say what the second lines are."""
    arms = [arm for arm in doc.arms_of(game, "arm") if arm.interval]
    return f"Below a value: its {level_text(arms)} interval ({_method(arms[0])})." if arms else ""


def _caption(doc: Result, game: str) -> str:
    """Say what the differences are, and what the returns are worth."""
    told = _difference_caption(doc, game)
    told += seen_sentences(doc, game)
    told += _returns_caption(doc, game)
    told += filter(None, [machines_sentence(doc, game)])
    return "\n".join(told)


def _returns_caption(doc: Result, game: str) -> list[str]:
    """Say what players earned that look at no frame, and what each policy did beyond blind play."""
    arms = doc.arms_of(game, "arm")
    shared: dict[UnseeingPlayer, dict[str, None]] = {}
    played = [run.returns.players for arm in arms for run in arm.runs if run.returns]
    for found in chain.from_iterable(played):
        if found.player != "blind":
            text = f"{player_text(found)} {written(found.mean, found.lo, found.hi).text}"
            shared.setdefault(found.player, {})[text] = None
    if not shared:
        return []
    alike = [text for texts in shared.values() for text in texts if len(texts) == 1]
    told = [f"Return: {'; '.join([*doc.return_labels(), ', '.join(alike)])}."]
    over = [f"{arm.name} {text}" for arm in arms if (text := _over_blind(arm))]
    return (
        [*told, f"Policy minus blind play with its actions: {', '.join(over)}."] if over else told
    )


def _over_blind(arm: Arm) -> str:
    """What a policy earns more than blind play with its actions; empty where that is unknown."""
    found = arm.beside.get("blind")
    return with_bounds(signed(found.mean, found.lo, found.hi)) if found else ""


def _method(arm: Arm) -> str:
    return "" if arm.interval is None else arm.interval.method


def _difference_caption(doc: Result, game: str) -> list[str]:
    """Say what the column of differences is and what its marks mean."""
    rows = _differences(doc, game)
    if not rows:
        return []
    label = doc.primary.label
    told = f"Difference to base: {label}, mean, minus that of {_base(rows)}."
    size = next((row.family_size for row in rows.values() if row.family_size), None)
    if any(row.is_shown for row in rows.values()):
        across = "" if size is None else f" by a t test, Holm over {size}"
        told += f" {_STAR} shown{across}."
    if any(row.within_noise for row in rows.values()):
        told += f" {_WITHIN} within the noise floor."
    undefined = [
        f"Noise floor: {row.reason}."
        for row in doc.noise_floor
        if row.game == game and row.metric == doc.primary_metric and row.reason
    ]
    return [told, *undefined]
