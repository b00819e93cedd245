"""Positive controls in tables and sentences: which metrics tell known defects."""

from collections.abc import Collection

from diamond.report.table import Cell, Row, Table
from diamond.results.comparison_model import Sensitivity
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, signed

MEANINGS = {
    "actions_shuffled": "imagined under the actions of another start",
    "lagged": "every frame one env step late",
    "blurred": "every frame under a Gaussian blur",
}


def control_table(doc: Result, game: str, metrics: Collection[str] | None = None) -> Table:
    """Metrics x defects of a game: whether the metric tells it, and as what.

    Args:
        metrics: Names of those shown; None for all.
    """
    rows = [
        row
        for row in doc.sensitivity
        if row.game == game and (metrics is None or row.metric in metrics)
    ]
    defects = list(dict.fromkeys(row.defect for row in rows))
    found = {(row.metric, row.defect): row for row in rows}
    lines = []
    for name in dict.fromkeys(row.metric for row in rows):
        line = [found.get((name, defect)) for defect in defects]
        if any(row is not None and row.tells is not None for row in line):
            lines.append(Row(doc.metric(name).title, "arm", tuple(map(_cell, line))))
    columns = ("metric", *(defect.replace("_", " ") for defect in defects))
    title = f"Known defects that metrics tell: {game}"
    return Table(title, columns, tuple(lines), words=frozenset(columns[1:]))


def control_sentences(doc: Result, game: str) -> list[str]:
    """Say what the defects are, what the words mean, and which metrics tell none of them."""
    rows = [row for row in doc.sensitivity if row.game == game]
    if not rows:
        return []
    defects = dict.fromkeys(row.defect for row in rows)
    meanings = "; ".join(f"{defect.replace('_', ' ')}: {MEANINGS[defect]}" for defect in defects)
    told = [
        f"The world model of the baseline arm with known defects ({meanings}). A metric tells one "
        "where the 95% interval of the difference over paired starts leaves out 0, and takes it "
        "for worse or better frames; not corrected for the number of metrics. In brackets: the "
        "difference, in units of the largest difference of an arm where there is one."
    ]
    blind = blind_metrics(doc, game)
    if blind:
        told.append(f"No defect is told by {', '.join(blind)}.")
    return told


def blind_metrics(doc: Result, game: str) -> list[str]:
    """Labels of the metrics with intervals that tell no defect in a game."""
    tells: dict[str, bool] = {}
    for row in doc.sensitivity:
        if row.game == game and row.tells is not None:
            tells[row.metric] = tells.get(row.metric, False) or row.tells
    return [doc.metric(name).label for name, any_told in tells.items() if not any_told]


def _cell(row: Sensitivity | None) -> Cell:
    if row is None or row.tells is None or row.difference is None:
        return Cell(ABSENT)
    if row.arms:
        ratio = abs(row.difference) / row.arms
        detail = f"{ratio:.2g} x" if ratio < 10 else f"{ratio:.0f} x"
    else:
        detail = signed(row.difference, row.lo, row.hi).text
    said = row.seen or "yes" if row.tells else "no"
    return Cell(f"{said} ({detail})", tone="" if row.tells else "soft")
