"""Scores on the starts of a better player, in tables and sentences."""

from collections.abc import Collection, Iterable

from diamond.report.table import Cell, Row, Table
from diamond.report.tables import difference_cell
from diamond.results.arm_model import Arm
from diamond.results.metric_model import Metric
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, written
from diamond.results.values import MEAN


def off_data_table(doc: Result, game: str, metrics: Collection[str] | None = None) -> Table:
    """Metrics x arms of a game: the mean over the horizon off the data, below it on the others.

    Args:
        metrics: Names of those shown; None for all.
    """
    arms = [arm for arm in doc.arms_of(game) if arm.off_data]
    rows = []
    shown = [info for info in doc.scored if metrics is None or info.name in metrics]
    for info in sorted(shown, key=lambda info: info.name != doc.primary_metric):
        cells = _cells(info, arms)
        if any(cell.text != ABSENT for cell in cells):
            rows.append(Row(info.title, "arm", cells))
    columns = ("metric", *(arm.name for arm in arms))
    return Table(f"Starts off the data: {game}", columns, tuple(rows))


def off_data_differences(doc: Result, game: str) -> Table:
    """Metrics x arms of a game: differences to the baseline arm off the data, exploratory."""
    pairs = [row for row in doc.off_data_comparisons if row.game == game]
    found = {(row.metric, row.a): row for row in pairs}
    names = dict.fromkeys(row.a for row in pairs)
    rows = [
        Row(
            info.title,
            "arm",
            tuple(difference_cell(found.get((info.name, name))) for name in names),
        )
        for info in doc.scored
        if any((info.name, name) in found for name in names)
    ]
    title = f"Starts off the data: differences, exploratory: {game}"
    return Table(title, ("metric", *names), tuple(rows))


def off_data_sentences(doc: Result, game: str) -> list[str]:
    """Say who played these starts, and how far off the data they are."""
    told = [
        f"{found.num_starts} further held-out starts of a better player ({found.player}), scored "
        "by the same metrics. Nothing else of this report reads them. Below each mean: that of "
        "the other starts."
        for found in doc.off_data
        if found.game == game
    ]
    runs = [run for arm in doc.arms_of(game, "arm") for run in arm.runs]
    known = _mean(run.known_frames for run in runs)
    off_data = _mean(run.known_frames_off_data for run in runs)
    if told and known is not None and off_data is not None:
        told.append(
            f"Of the real frames that follow these starts {off_data:.1%} occur in the training "
            f"frames, pixel by pixel; of those that follow the others {known:.1%}."
        )
    return told


def _cells(info: Metric, arms: list[Arm]) -> tuple[Cell, ...]:
    pairs = [(arm.off_data.get(info.name, {}).get(MEAN), arm) for arm in arms]
    cells = []
    for found, arm in pairs:
        other = arm.estimate(info.name, MEAN)
        detail = "" if other is None else written(other.mean, other.lo, other.hi).text
        own = written(found.mean, found.lo, found.hi).text if found else ABSENT
        cells.append(Cell(own, detail if found else ""))
    return tuple(cells)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
