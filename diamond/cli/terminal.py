"""Consoles: as wide as the terminal, or of one width where the text goes to a file or a pipe."""

import sys

from rich.console import Console

PLAIN_WIDTH = 100


def console(stderr: bool = False) -> Console:
    """The console of standard output or of standard error."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH)
