"""The counts of a campaign, as text and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    "kind",
    "wanted",
    "counted",
    "with a checkpoint",
    "missed",
    "cases",
    "equal",
    "published twice",
    "RUNNING left",
    "failures",
)


def counts(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, int]) -> list[list[str]]:
    """A line of the table for every kind."""
    lines = []
    for kind, number in wanted.items():
        own = [row for row in rows if row["kind"] == kind]
        asked = [row for row in own if row["equal"] is not None]
        equal = f"{sum(row['equal'] for row in asked)} of {len(asked)}" if asked else "-"
        values = (
            number,
            sum(row["counted"] for row in own),
            sum(row["checkpoint"] for row in own),
            sum(row["missed"] for row in own),
            len(own),
            equal,
            sum(len(row["twice"]) for row in own),
            sum(row["running"] for row in own),
            sum(bool(row["faults"]) for row in own),
        )
        lines.append([kind, *map(str, values)])
    return lines


def as_text(lines: Sequence[Sequence[str]]) -> str:
    """Columns for a terminal."""
    table = [HEAD, *lines]
    widths = [max(len(line[place]) for line in table) for place in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table of docs/reliability.md."""
    rule = ["---", *["---:"] * (len(HEAD) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEAD, rule, *lines))
