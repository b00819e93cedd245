"""Tables for a terminal, as wide as it is: what has no room is left out by rank, and that is said.

Names and words go on in the next line where they do not fit, numbers never.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import rich.table
from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from diamond.report.table import Cell, Row, Table, Tone

HEAD_WIDTH = 18
"""Characters after which the heading of a column goes on in the next line."""
GAP = 1
"""Columns between two of a table."""
LASTING = 4
"""Rank from which on a column keeps its second lines while others lose their place."""
_NAMES, _WORDS = (18, 32), (9, 30)
"""Columns that names, and cells of words, have before any column is left out: at least as many, and
as many more as their longest word needs, up to the second number. Names beside numbers alone are
whole up to it."""
_LEAST = 9
"""Columns that a name has at least."""
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


def terminal(table: Table, width: int) -> Group:
    """Lay out a table with its title and its caption; the caption says which columns have no room.

    Arms and heads are bold, baselines and real frames dim.

    Args:
        width: Columns of the terminal.
    """
    fit = _fitted(table, width)
    told = [table.caption] if table.caption else []
    if table.details and any(fit.details(table, row) for row in table.rows):
        told.insert(0, table.details)
    left_out = [
        " ".join(head.split()) for place, head in enumerate(table.columns) if place not in fit.kept
    ]
    if left_out:
        told.append(f"Not shown at this width: {', '.join(left_out)}.")
    parts: list[Text | rich.table.Table] = [Text(table.title, "bold")] if table.title else []
    parts.append(_view(table, fit))
    return Group(*parts, *(Text(text, "dim") for text in told))


@dataclass(frozen=True)
class _Fit:
    """What of a table is shown: columns by their places, those without second lines, widths."""

    kept: tuple[int, ...]
    bare: frozenset[int]
    widths: tuple[int, ...]

    def details(self, table: Table, row: Row) -> list[str]:
        """The second lines of a row that are shown."""
        places = [place for place in self.kept if 0 < place <= len(row.cells)]
        return [
            row.cells[p - 1].detail
            for p in places
            if p not in self.bare and row.cells[p - 1].detail
        ]


def _view(table: Table, fit: _Fit) -> rich.table.Table:
    view = rich.table.Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for place, width in zip(fit.kept, fit.widths, strict=True):
        head = table.columns[place]
        if not place or head in table.words:
            view.add_column(Text(_head(head)), overflow="fold", width=width)
        else:
            view.add_column(Text(_head(head)), justify="right", no_wrap=True, width=width)
    for row in table.rows:
        cells = [
            _cell(row.cells[place - 1], place in fit.bare)
            for place in fit.kept
            if 0 < place <= len(row.cells)
        ]
        name = Text(row.name, "bold" if row.kind in _BOLD else "")
        view.add_row(name, *cells, style="dim" if row.kind in _DIM else "")
    return view


def _fitted(table: Table, width: int) -> _Fit:
    """As much of a table as fits."""
    for kept, bare, name in _choices(table):
        widths = _widths(table, kept, bare, name, width)
        if widths is not None:
            return _Fit(kept, bare, widths)
    return _Fit((0,), frozenset(), (width,))


def _choices(table: Table) -> Iterator[tuple[tuple[int, ...], frozenset[int], int]]:
    """Columns that are kept, those without second lines, and the room that names have at least.

    Given up are, in this order: second lines of the columns of low rank; long names in one line;
    columns of low rank; other names in one line; then second lines and columns of high rank.
    """
    places = tuple(range(len(table.columns)))
    ranks = (0, *(table.ranks or reversed(range(len(places) - 1))))
    order = sorted(places[1:], key=lambda place: (ranks[place], -place))
    kept, bare = places, frozenset[int]()
    rooms = {True: (_natural(table, 0, bare=False), _floor(table, 0, _NAMES)), False: (_LEAST,) * 2}
    for is_low, (at_first, later) in rooms.items():
        given_up = [place for place in order if (ranks[place] < LASTING) == is_low]
        yield kept, bare, at_first
        for place in given_up:
            bare |= {place}
            yield kept, bare, at_first
        yield kept, bare, later
        for place in given_up:
            kept = tuple(one for one in kept if one != place)
            yield kept, bare, later


def _widths(
    table: Table, kept: Sequence[int], bare: Collection[int], name: int, room: int
) -> tuple[int, ...] | None:
    """The width of each column where the table fits; words are broken, the widest first."""
    widths = {place: _natural(table, place, place in bare) for place in kept}
    least = {
        place: min(_floor(table, place, _WORDS), widths[place])
        for place, head in enumerate(table.columns)
        if place in widths and head in table.words
    } | {0: min(name, widths[0])}
    for _ in range(sum(widths.values()) + GAP * (len(kept) - 1) - room):
        loose = [place for place in least if widths[place] > least[place]]
        if not loose:
            return None
        widths[max(loose, key=lambda place: widths[place])] -= 1
    return tuple(widths.values())


def _floor(table: Table, place: int, bounds: tuple[int, int]) -> int:
    """How far a column may be narrowed: its words stay whole, but for very long ones."""
    lines = _lines(table, place, bare=False)
    words = [word for line in lines for word in line.split()] if table.words else lines
    return max(bounds[0], min(bounds[1], _longest(words)))


def _natural(table: Table, place: int, bare: bool) -> int:
    """Widest line of a column."""
    return _longest(_lines(table, place, bare))


def _lines(table: Table, place: int, bare: bool) -> list[str]:
    """The lines of a column, head and second lines included."""
    lines = _head(table.columns[place]).splitlines()
    if not place:
        return [*lines, *(row.name for row in table.rows)]
    for row in table.rows:
        if len(row.cells) >= place:
            cell = row.cells[place - 1]
            lines += [*cell.text.splitlines(), *([] if bare else cell.detail.splitlines())]
    return lines


def _longest(lines: Sequence[str]) -> int:
    return max(map(cell_len, lines), default=1)


def _head(column: str) -> str:
    return "\n".join(fill(line, HEAD_WIDTH) for line in column.splitlines())


def _cell(cell: Cell, bare: bool) -> Text:
    text = Text(cell.text, _TONES[cell.tone])
    if cell.detail and not bare:
        text.append(f"\n{cell.detail}", style="dim")
    return text
