"""Text as Markdown: all of it is escaped unless it is marked as Markdown; no templates here."""

from diamond.report.table import Cell, Row, Table
from diamond.tracking import literal_markdown as plain


class Verbatim(str):
    """Text that is Markdown already and is not escaped again."""

    __slots__ = ()


def escape(value: object) -> str:
    """Escape what GitHub's Markdown would read as markup; it has formulas too."""
    return value if isinstance(value, Verbatim) else plain.escape(str(value)).replace("$", r"\$")


def table(content: Table) -> Verbatim:
    """Write a table in the GitHub dialect; the detail of a cell follows its text in brackets."""
    head = "| " + " | ".join(escape(column) for column in content.columns) + " |"
    rule = "|---" * len(content.columns) + "|"
    return Verbatim("\n".join([head, rule, *(_line(row) for row in content.rows)]))


def _line(row: Row) -> str:
    name = escape(row.name) if row.kind == "arm" else f"*{escape(row.name)}*"
    return "| " + " | ".join([name, *(_cell(cell) for cell in row.cells)]) + " |"


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.tone == "strong" else escape(cell.text)
    return f"{text} {escape(f'({cell.detail})')}" if cell.detail else text


def fenced(text: str, language: str) -> Verbatim:
    """Write text as a code block, whatever back quotes it holds."""
    fence = "`" * max(3, plain.longest_fence(text) + 1)
    return Verbatim(f"{fence}{language}\n{text}\n{fence}")
