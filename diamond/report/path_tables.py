"""A path as rows of text: the change per factor in each direction, its range, and the sum."""

from collections.abc import Mapping, Sequence
from typing import Any

from diamond.report.document import (
    ABSENT,
    Document,
    decimals,
    metric_info,
    number,
    span,
    visible_decimals,
)
from diamond.report.tables import Cell, Row, Table


def path_of(doc: Document, game: str) -> Mapping[str, Any] | None:
    """The path of a game; None where the study walks none."""
    found: Mapping[str, Any] | None = (doc.get("path") or {}).get(game)
    return found


def path_table(doc: Document, game: str, metric: str) -> Table:
    """Return a line for each factor that both walks tell apart, then the sums and the total.

    Args:
        doc: A result document with a path for the game.
        game: One of its games.
        metric: One of its metrics.
    """
    path = doc["path"][game]
    found = path["metrics"][metric]
    changes = [row[way] for row in found["ranges"] for way in ("forward", "backward")]
    places = visible_decimals((c["change"] for c in changes), decimals(metric))
    texts = {factor["name"]: _values(factor) for factor in path["factors"]}
    rows = [
        Row(
            " + ".join(row["factors"]),
            "arm",
            (
                Cell("; ".join(texts[name] for name in row["factors"])),
                *(_change(row[way], places) for way in ("forward", "backward")),
                Cell(span(row["min"], row["max"], places) or ABSENT),
            ),
        )
        for row in found["ranges"]
    ]
    sums = (Cell(_signed(found["sums"][way], places)) for way in ("forward", "backward"))
    rows.append(Row("sum of the changes", "baseline", (Cell(""), *sums, Cell(""))))
    total = _change(found["total"], places)
    ends = Cell(f"{path['from']} -> {path['to']}")
    rows.append(Row("end minus start", "baseline", (ends, total, total, Cell(""))))
    title = f"{game}: change of {metric_info(doc, metric).label} per factor"
    columns = ("factor", "from -> to", "forward", "backward", "range")
    return Table(title, columns, tuple(rows))


def path_sentences(doc: Document, game: str) -> list[str]:
    """Say how to read a path, over what it is measured, and what was left out."""
    path = doc["path"][game]
    found = path["metrics"][doc["primary_metric"]]
    told = [
        "Each factor is flipped once on each walk from the start to the end: forward in the order "
        "of the table, backward in the reverse order. What a flip changes depends on what was "
        "flipped before it, so the range is part of the answer. Order is all that the two walks "
        "vary: other orders may lie outside the range."
    ]
    share = found["cells_share"]
    if share is not None and share < 1:
        told.append(
            f"Compared where every arm of the path has a value: {share:.0%} of the starts and time "
            "steps where any has one."
        )
    methods = dict.fromkeys(row["method"] for row in found["walks"]["forward"] if row["method"])
    told += [f"Intervals made by: {method}." for method in methods]
    told += [
        f"Left out (met first on the walk {left['direction']}): {' + '.join(left['factors'])} "
        f"flipped is no valid model ({left['reason']}). Its last flip is put off until it leads to "
        "one, alone or jointly with others."
        for left in path["left_out"]
    ]
    return told


def _values(factor: Mapping[str, Any]) -> str:
    return f"{_shown(factor['from'])} -> {_shown(factor['to'])}"


def _shown(values: Mapping[str, Any]) -> str:
    parts: Sequence[Any] = list(values.values())
    if len(parts) == 1:
        return str(parts[0])
    return " ".join(f"{field.split('.')[-1]}={value}" for field, value in values.items())


def _change(found: Mapping[str, Any], places: int) -> Cell:
    return Cell(_signed(found["change"], places), span(found["lo"], found["hi"], places))


def _signed(value: float | None, places: int) -> str:
    text = number(value, places)
    return f"+{text}" if value is not None and value > 0 else text
