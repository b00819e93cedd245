"""Tables for a terminal of 100 columns."""

from collections.abc import Mapping
from textwrap import fill

import rich.table
from rich.text import Text

from diamond.report.table import Cell, Table, Tone

WIDTH = 100
HEAD_WIDTH = 18
"""Characters after which the heading of a column of numbers goes on in the next line."""
_TONES: Mapping[Tone, str] = {
    "": "",
    "strong": "bold",
    "soft": "dim",
    "good": "bold green",
    "bad": "bold red",
    "open": "bold yellow",
}
_DIM = frozenset({"baseline", "real"})
_BOLD = frozenset({"arm", "head"})


def terminal(table: Table) -> rich.table.Table:
    """Lay out a table; names and words go on in the next line where they do not fit, numbers never.

    Arms and heads are bold, baselines and real frames dim.
    """
    view = rich.table.Table(
        title=Text(table.title) if table.title else None,
        caption=Text(table.caption) if table.caption else None,
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    view.add_column(Text(table.columns[0]), overflow="fold")
    for column in table.columns[1:]:
        if column in table.words:
            view.add_column(Text(column), overflow="fold")
        else:
            view.add_column(Text(_head(column)), justify="right", no_wrap=True)
    for row in table.rows:
        name = Text(row.name, "bold" if row.kind in _BOLD else "")
        cells = (_cell(cell) for cell in row.cells)
        view.add_row(name, *cells, style="dim" if row.kind in _DIM else "")
    return view


def _head(column: str) -> str:
    return "\n".join(fill(line, HEAD_WIDTH) for line in column.splitlines())


def _cell(cell: Cell) -> Text:
    text = Text(cell.text, _TONES[cell.tone])
    if cell.detail:
        text.append(f"\n{cell.detail}", style="dim")
    return text
