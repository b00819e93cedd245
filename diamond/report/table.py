"""One record for every table; `terminal`, `markdown`, `latex` and the templates write it."""

from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "strong", "soft", "good", "bad", "open"]


@dataclass(frozen=True)
class Cell:
    """A value as text, with its interval or another detail below it, and how strongly it shows."""

    text: str
    detail: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Row:
    """A line of a table; `kind` (arm, control, baseline, real, ...) says how strongly it shows."""

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with a title; the first column holds the names of the rows.

    Attributes:
        columns: Headings, that of the names first.
        rows: Lines; one may have fewer cells than there are columns.
        caption: How to read it, for forms that have room below.
        words: Headings of the columns that hold words, not numbers.
        details: What stands below a value, for forms that show it.
        ranks: Of each column but that of the names, how long it keeps its place where there is too
            little room; where none are given, the last column goes first.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    words: frozenset[str] = frozenset()
    details: str = ""
    ranks: tuple[int, ...] = ()
