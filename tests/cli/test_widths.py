"""Tables and texts of commands that take no console."""

import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from diamond.cli.widths import PLAIN_WIDTH, table_lines, text_width, wrapper

ROWS = [("name", "what", "n"), ("a", "one two three four five six", "10"), ("bcd", "", "7")]


def lines_of(width: int, figures: int = 0) -> list[str]:
    head, *rest = table_lines(ROWS, width, folded=1, figures=figures)
    assert head.startswith("\x1b[1m")
    assert head.endswith("\x1b[0m")
    return [head.removeprefix("\x1b[1m").removesuffix("\x1b[0m"), *rest]


def test_a_table_is_as_wide_as_what_it_holds() -> None:
    assert lines_of(80, figures=1) == [
        "name  what                          n",
        "a     one two three four five six  10",
        "bcd                                 7",
    ]


def test_one_column_is_broken_where_it_has_no_room() -> None:
    assert lines_of(30) == [
        "name  what                  n",
        "a     one two three four    10",
        "      five six",
        "bcd                         7",
    ]


def test_a_narrow_terminal_cuts_lines_but_loses_no_word() -> None:
    assert lines_of(5) == lines_of(25)
    text = " ".join(line[6:26].strip() for line in lines_of(5)[1:3])
    assert text == "one two three four five six"


def test_options_are_never_broken() -> None:
    assert wrapper(20).wrap("give it with --tracking-uri sqlite") == [
        "give it with",
        "--tracking-uri",
        "sqlite",
    ]


@pytest.mark.parametrize(("columns", "width"), [(70, 70), (0, PLAIN_WIDTH)])
def test_the_width_is_that_of_the_terminal_that_is_written_to(columns: int, width: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(ours), os.fdopen(theirs, "w") as stream:
        assert text_width(stream) == width
    assert text_width(io.StringIO()) == PLAIN_WIDTH
