"""Text as Markdown: all of it is escaped unless it is marked as Markdown; no templates here."""

import re

from diamond.report.tables import Cell, Row, Table


class Verbatim(str):
    """Text that is Markdown already and is not escaped again."""

    __slots__ = ()


def escape(value: object) -> str:
    """Escape what Markdown or the HTML inside it would read as markup, line breaks included."""
    if isinstance(value, Verbatim):
        return value
    text = re.sub(r"\s*\n\s*", " ", str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~!$])", r"\\\1", text)


def table(content: Table) -> Verbatim:
    """Write a table in the GitHub dialect; the detail of a cell follows its text in brackets."""
    head = "| " + " | ".join(escape(column) for column in content.columns) + " |"
    rule = "|---" * len(content.columns) + "|"
    return Verbatim("\n".join([head, rule, *(_line(row) for row in content.rows)]))


def _line(row: Row) -> str:
    name = escape(row.name) if row.kind == "arm" else f"*{escape(row.name)}*"
    return "| " + " | ".join([name, *(_cell(cell) for cell in row.cells)]) + " |"


def _cell(cell: Cell) -> str:
    return escape(f"{cell.text} ({cell.detail})" if cell.detail else cell.text)


def fenced(text: str, language: str) -> Verbatim:
    """Write text as a code block, whatever back quotes it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Verbatim(f"{fence}{language}\n{text}\n{fence}")
