"""How wide texts are: as COLUMNS says, or the terminal, or one width for a file or a pipe."""

import os
import sys
from collections.abc import Iterator, Sequence
from textwrap import TextWrapper
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 100
MIN_WIDTH = 20
"""Columns of the narrowest text; in a narrower terminal its lines are cut."""
GAP = "  "
"""Between the columns of a table."""


def console(stderr: bool = False) -> "Console":
    """The console of standard output or of standard error.

    Texts are data: brackets, colons and numbers of names mean nothing to it.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A terminal is asked again and again: its window may change while a command runs.
    width = None if stream.isatty() else text_width(stream)
    # A notebook is no terminal: text goes to the stream, as it does everywhere else.
    return Console(
        stderr=stderr,
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        force_jupyter=False,
    )


def text_width(stream: TextIO) -> int:
    """Columns of a text that is written without a console, which takes long to import."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    if not stream.isatty():
        return PLAIN_WIDTH
    # Of this stream: the other one may go to a file. A terminal that was told no size says 0.
    return os.get_terminal_size(stream.fileno()).columns or PLAIN_WIDTH


def wrapper(width: int) -> TextWrapper:
    """Breaks texts between words, never inside the name of an option."""
    return TextWrapper(max(width, MIN_WIDTH), break_on_hyphens=False)


def table_lines(
    rows: Sequence[Sequence[str]], width: int, folded: int, figures: int = 0
) -> Iterator[str]:
    """Columns as wide as what they hold, but for one that is broken where it has no room.

    Args:
        rows: The head, then rows of as many cells.
        width: Columns of the whole.
        folded: The column that is broken.
        figures: So many of the last columns stand at their right edge.
    """
    head, *_ = rows
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    others = sum(widths) - widths[folded] + (len(head) - 1) * len(GAP)
    cell = wrapper(width - others)
    widths[folded] = min(widths[folded], cell.width)
    indent = sum(size + len(GAP) for size in widths[:folded])
    for row in rows:
        first, *more = cell.wrap(row[folded]) or [""]
        texts = [*row[:folded], first, *row[folded + 1 :]]
        aligned = [
            text.rjust(size) if column >= len(head) - figures else text.ljust(size)
            for column, (text, size) in enumerate(zip(texts, widths, strict=True))
        ]
        line = GAP.join(aligned).rstrip()
        yield typer.style(line, bold=True) if row is head else line
        for part in more:
            yield f"{'':{indent}}{part}"
