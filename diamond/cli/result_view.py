"""The result of a study as a person reads it: tables, the finding, where the report is."""

from dataclasses import replace

from rich.console import Console

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
    """Print the tables of a result, its summary, its warning, its paths and what to do next.

    Args:
        doc: Of an ablation or of a search.
        out: Where; None for standard output.
    """
    out = console() if out is None else out
    for table in _tables(doc):
        out.print(terminal(table))
    out.print(doc.summary)
    if doc.warning:
        out.print(doc.warning)
    if doc.claims:
        out.print(terminal(replace(claims_table(doc), title="")))
    paths, search = doc.paths, doc.search
    lines = [
        ("report:", paths.report_html),
        ("", paths.report_md),
        ("search:", paths.dashboard_command),
        ("compare:", paths.mlflow_command),
        ("confirm:", "" if search is None else confirm_command(search)),
    ]
    for head, text in lines:
        if text:
            out.print(f"{head:<9}{text}", soft_wrap=True)


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
