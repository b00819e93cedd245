"""How wide texts are: as the terminal, or one width where they go to a file or a pipe."""

import shutil
import sys
from textwrap import TextWrapper
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 100
MIN_WIDTH = 20
"""Columns of the narrowest text; in a narrower terminal its lines are cut."""


def console(stderr: bool = False) -> "Console":
    """The console of standard output or of standard error."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH)


def text_width(stream: TextIO) -> int:
    """Columns of a text that is written without a console, which takes long to import."""
    return shutil.get_terminal_size().columns if stream.isatty() else PLAIN_WIDTH


def wrapper(width: int) -> TextWrapper:
    """Breaks texts between words, never inside the name of an option."""
    return TextWrapper(max(width, MIN_WIDTH), break_on_hyphens=False)
