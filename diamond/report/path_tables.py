"""A path as rows of text: the change per factor in each direction, its range, and the sum."""

from collections.abc import Mapping, Sequence
from typing import Any

from diamond.report.table import Cell, Row, Table
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, signed, written
from diamond.results.path_model import Change, Factor


def path_table(doc: Result, game: str, metric: str) -> Table:
    """Return a line for each factor that both walks tell apart, then the sums and the total.

    Args:
        doc: A result document with a path for the game.
    """
    path = doc.path[game]
    found = path.metrics[metric]
    texts = {factor.name: _values(factor) for factor in path.factors}
    rows = [
        Row(
            " + ".join(row.factors),
            "arm",
            (
                Cell("; ".join(texts[name] for name in row.factors)),
                _change(row.forward),
                _change(row.backward),
                Cell(written(row.min, row.min, row.max).bounds or ABSENT),
            ),
        )
        for row in found.ranges
    ]
    bounds = found.total.lo, found.total.hi
    sums = (Cell(signed(found.sums[way], *bounds).text) for way in ("forward", "backward"))
    rows.append(Row("sum of the changes", "baseline", (Cell(""), *sums, Cell(""))))
    total = _change(found.total)
    ends = Cell(f"{path.start} -> {path.end}")
    rows.append(Row("end minus start", "baseline", (ends, total, total, Cell(""))))
    title = f"{game}: change of {doc.metric(metric).label} per factor"
    columns = ("factor", "from -> to", "forward", "backward", "range")
    return Table(title, columns, tuple(rows))


def path_sentences(doc: Result, game: str) -> list[str]:
    """Say how to read a path, over what it is measured, and what was left out."""
    path = doc.path[game]
    found = path.metrics[doc.primary_metric]
    told = [
        "Each factor is flipped once on each walk from the start to the end: forward in the order "
        "of the table, backward in the reverse order. What a flip changes depends on what was "
        "flipped before it, so the range is part of the answer. Order is all that the two walks "
        "vary: other orders may lie outside the range."
    ]
    share = found.cells_share
    if share is not None and share < 1:
        told.append(
            f"Compared where every arm of the path has a value: {share:.0%} of the starts and time "
            "steps where any has one."
        )
    changes = [flip.change for flip in found.walks["forward"]]
    methods = dict.fromkeys(change.method for change in changes if change.method)
    told += [f"Intervals made by: {method}." for method in methods]
    told += [
        f"Left out (met first on the walk {left.direction}): {' + '.join(left.factors)} "
        f"flipped is no valid model ({left.reason}). Its last flip is put off until it leads to "
        "one, alone or jointly with others."
        for left in path.left_out
    ]
    return told


def _values(factor: Factor) -> str:
    return f"{_shown(factor.old)} -> {_shown(factor.new)}"


def _shown(values: Mapping[str, Any]) -> str:
    parts: Sequence[Any] = list(values.values())
    if len(parts) == 1:
        return str(parts[0])
    return " ".join(f"{field.split('.')[-1]}={value}" for field, value in values.items())


def _change(found: Change) -> Cell:
    return Cell(*signed(found.change, found.lo, found.hi))
