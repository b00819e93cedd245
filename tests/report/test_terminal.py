"""Tables of results in a terminal, at every width."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from diamond.report.console import result_table
from diamond.report.table import Cell, Row, Table
from diamond.report.terminal import terminal
from tests.commands import run_script
from tests.result_documents import document, fail, noise_row, result, seeded, three_arms


def rendered(doc: dict[str, Any], width: int = 100) -> str:
    """Return the terminal table of Boxing."""
    return in_terminal(result_table(result(doc), "Boxing"), width)


def in_terminal(table: Table, width: int) -> str:
    """Return a table as a terminal without colours shows it."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    console.print(terminal(table, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_table_fits_and_shows_every_name_and_number() -> None:
    text = rendered(three_arms())
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "…" not in text
    for name in ("steps=1", "steps=3", "steps=10", "copy-last", "median-background"):
        assert re.search(rf"^{name} ", text, re.MULTILINE)
    assert re.search(r"steps=1 .* 0\.570 +0\.679 ", text)
    assert "0.550-0.590" in text
    assert "-4.0 to 0.9" in rendered(three_arms() | {"report_steps": [1]})
    words = " ".join(text.split())
    assert "random play -1.20, best constant action (FIRE) -0.500." in words
    assert "with its actions: steps=1 +0.4 (-1.9 to 2.7), steps=3" in words


@pytest.mark.parametrize("width", range(60, 141, 5))
def test_a_terminal_of_any_width_shows_every_name_and_what_matters_most(width: int) -> None:
    doc = result(seeded())
    table = result_table(doc, "Boxing")
    text = rendered(seeded(), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    names = [row.name for row in table.rows]
    starts = [line[: max(map(len, names))].strip() for line in lines]
    assert [start for start in starts if start in names] == names
    for head in ("core ratio", "difference", "return"):
        assert head in text
    assert re.search(r"^steps=3 .* 0\.660 .* \+0\.090\* .* -1\.6", text, re.MULTILINE)
    # A column is there, or the caption names it.
    told = " ".join(text.split()).partition("Not shown at this width: ")[2].rstrip(".").split(", ")
    missing = [head for head in told if head]
    heads = [" ".join(head.split()) for head in table.columns]
    assert set(missing) <= set(heads)
    kept = [word for head in heads if head not in missing for word in head.split()]
    last = next(at for at, line in enumerate(lines) if line.startswith("arm "))
    assert sorted(" ".join(lines[last - 1 : last + 1]).split()) == sorted(kept)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_columns_go_by_rank_and_second_lines_before_them(width: int) -> None:
    rows = (Row("one", "arm", tuple(Cell("1.00", "0.90 to 1.10") for _ in range(8))),)
    heads = tuple(f"c{place}" for place in range(8))
    table = Table("", ("arm", *heads), rows, details="Below.", ranks=(7, 0, 6, 1, 5, 2, 4, 3))
    text = in_terminal(table, width)
    shown = [head for head in heads if head in text.splitlines()[0]]
    left_out = {60: ["c1", "c3", "c5"]}.get(width, [])
    assert [head for head in heads if head not in shown] == left_out
    assert text.count("0.90 to 1.10") == {60: 4, 80: 4, 100: 7, 140: 8}[width]
    assert (f"Not shown at this width: {', '.join(left_out)}." in text) == bool(left_out)
    assert "Below." in text


@pytest.mark.parametrize("width", range(60, 141, 20))
def test_long_names_and_words_go_on_in_the_next_line(width: int) -> None:
    name, words = "x" * 70, "words that are many and go on and on and on and on for a while"
    cells = (Cell("1.234"), Cell(words))
    table = Table("", ("arm", "n", "note"), (Row(name, "arm", cells),), words=frozenset({"note"}))
    text = in_terminal(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("x") == len(name)
    assert "1.234" in text
    assert all(word in text for word in set(words.split()))


def test_the_terminal_table_marks_the_difference_to_the_baseline_arm() -> None:
    text = rendered(seeded())
    assert max(len(line) for line in text.splitlines()) <= 100
    assert re.search(r"^steps=1 .* base ", text, re.MULTILINE)
    assert re.search(r"^steps=3 .* \+0\.090\* ", text, re.MULTILINE)
    assert re.search(r"^steps=10 .* \+0\.030~ ", text, re.MULTILINE)
    assert "0.050-0.130" in text
    words = " ".join(text.split())
    assert "Difference to base: Core ratio, mean, minus that of steps=1." in words
    assert "* shown by a t test, Holm over 2. ~ within the noise floor." in words
    one = rendered(three_arms() | {"noise_floor": [noise_row(None)]})
    assert "Noise floor: not defined: needs two seeds." in one
    assert "Holm" not in one


def test_long_arm_names_cost_intervals_and_not_letters() -> None:
    names = ("denoiser.optimizer.learning_rate=0.0001", "denoiser.optimizer.learning_rate=0.0003")
    text = rendered(document({names[0]: 0.57, names[1]: 0.66}, []))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(name in text for name in names)
    assert "0.550-0.590" in text  # the primary metric keeps its interval


def test_a_failed_arm_says_so_in_the_terminal_table() -> None:
    doc = three_arms()
    fail(doc, "steps=10", "disk full")
    assert re.search(r"^steps=10 +failed", rendered(doc), re.MULTILINE)


def test_a_table_without_results_has_the_names() -> None:
    doc = three_arms() | {"comparisons": []}
    for name in ("steps=1", "steps=3", "steps=10", "copy-last", "median-background"):
        fail(doc, name, "disk full")
    assert re.search(r"^steps=3 +failed", rendered(doc), re.MULTILINE)


def test_the_terminal_table_and_the_summary_load_no_matplotlib() -> None:
    script = (
        "import sys, diamond.report.console, diamond.report.answer.answers\n"
        "assert not {'matplotlib', 'torch', 'numpy'} & set(sys.modules)\n"
    )
    run_script(script)
