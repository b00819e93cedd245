"""Tables as LaTeX that needs the package booktabs, one file a table."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from diamond.report.table import Cell, Row, Table
from diamond.results.number_text import ABSENT

LATEX_ABSENT = "--"
_MOST_BLOCKS = 3
"""Real frames, arms, baselines; rows that alternate, as claims and their parts do, are one."""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # After the end of a row, these would belong to it.
    "*": "{*}",
    ABSENT: LATEX_ABSENT,
    "\N{DAGGER}": r"\textdagger{}",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{BLACK DIAMOND}": r"$\diamond$",
}
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def escape(text: str) -> str:
    """Write a text so that LaTeX prints it as it is."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def table_latex(table: Table, name: str, notes: Mapping[str, str]) -> str:
    """Write a table of the report as a file of its own.

    Lines part arms from baselines and real frames, where arms stand together.

    Args:
        table: The table, with at least one row.
        name: Its label.
        notes: What made it, as (what, text), for comments at the top.
    """
    blocks = [
        list(rows) for _, rows in groupby(table.rows, lambda row: row.kind in ("arm", "control"))
    ]
    if len(blocks) > _MOST_BLOCKS:
        blocks = [list(table.rows)]
    words, caption = {table.columns[0], *table.words}, " ".join(table.caption.split())
    lines = [
        r"% needs \usepackage{booktabs}",
        *(f"% {what}: {' '.join(text.split())}" for what, text in notes.items()),
        _tabular(
            [escape(column) for column in table.columns],
            [[_line(row) for row in block] for block in blocks],
            "".join("l" if column in words else "r" for column in table.columns),
            escape(f"{table.title}. {caption}" if caption else table.title),
            name,
        ),
    ]
    return "\n".join(lines) + "\n"


def _tabular(
    head: Sequence[str],
    blocks: Sequence[Sequence[Sequence[str]]],
    spec: str,
    caption: str,
    label: str,
) -> str:
    body = "\n\\midrule\n".join(
        "\n".join(" & ".join(row) + r" \\" for row in block) for block in blocks
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _line(row: Row) -> list[str]:
    return [escape(row.name), *(_cell(cell) for cell in row.cells)]


def _cell(cell: Cell) -> str:
    text = _MINUS.sub("$-$", escape(cell.text))
    text = rf"\textbf{{{text}}}" if cell.tone == "strong" else text
    return f"{text} [{_MINUS.sub('$-$', escape(cell.detail))}]" if cell.detail else text
