"""The result of a study as a person reads it: tables, the answer, what to do now, the report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

from diamond.cli.widths import console
from diamond.report.claim_tables import claims_table
from diamond.report.console import brief_metrics, result_table
from diamond.report.controls import control_table
from diamond.report.off_data import off_data_table
from diamond.report.search.search_console import search_table
from diamond.report.search.search_prose import confirm_command
from diamond.report.table import Table
from diamond.report.tables import hns_table
from diamond.report.terminal import terminal
from diamond.results.model import Result


def show_result(doc: Result, out: Console | None = None) -> None:
    """Print the tables of a result, its answer, its warning, its claims, and what to do next.

    Args:
        doc: Of an ablation or of a search.
        out: Where; None for standard output.
    """
    out = console() if out is None else out
    for table in _tables(doc):
        out.print(terminal(table, out.width))
        out.print()
    for paragraph in _answer(doc):
        out.print(paragraph)
        out.print()
    if doc.claims:
        out.print(terminal(replace(claims_table(doc), title=""), out.width))
        out.print()
    for line in _next_lines(doc):
        out.print(line, soft_wrap=True)


def _next_lines(doc: Result) -> Iterator[Text]:
    """The commands that make sense now, where the report is, and what shows the runs."""
    paths = doc.paths
    views = {"search:": paths.dashboard_command, "compare:": paths.mlflow_command}
    confirm = () if doc.search is None else (confirm_command(doc.search),)
    asked = dict.fromkeys((*doc.next, *confirm))
    commands = [command for command in asked if command and command not in views.values()]
    for place, command in enumerate(commands):
        yield Text(f"{'' if place else 'next:':<9}{command}")
    if paths.report_html:
        yield Text("report:  ").append_text(_link(paths.report_html))
    for head, text in (("", paths.report_md), *views.items()):
        if text:
            yield Text(f"{head:<9}{text}")


def _answer(doc: Result) -> Iterator[Text]:
    """The paragraphs of the answer, and the warning."""
    for answer in doc.answers:
        if len(doc.answers) > 1:
            yield Text(answer.game, "bold underline")
        for part in (answer.found, answer.against, answer.sure):
            if part.head or part.text:
                yield Text.assemble((part.head, "bold"), " " * bool(part.text), part.text)
    if not doc.answers:
        yield Text(doc.summary, "bold")
    if doc.warning:
        yield Text(doc.warning, "yellow")


def _link(path: str) -> Text:
    """A path as an address that a terminal opens."""
    address = Path(path).absolute().as_uri()
    return Text(address, Style(link=address))


def _tables(doc: Result) -> list[Table]:
    """The tables that say most: of a search its trials, else arms by game and over games."""
    if doc.search is not None:
        return [search_table(doc.study, doc.search)]
    brief, found = brief_metrics(doc), []
    for game in doc.games:
        found.append(result_table(doc, game))
        more = (off_data_table(doc, game, brief), control_table(doc, game, brief))
        found += [table for table in more if table.rows]
    over_games = hns_table(doc)
    return [*found, over_games] if over_games.rows else found
