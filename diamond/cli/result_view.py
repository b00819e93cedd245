"""The result of a study as a person reads it: tables, the finding, where the report is."""

from dataclasses import replace

from diamond.cli.widths import console
from diamond.report.claims import claims_table
from diamond.report.console import brief_metrics, result_table
from diamond.report.controls import control_table
from diamond.report.off_data import off_data_table
from diamond.report.tables import hns_table
from diamond.report.terminal import terminal
from diamond.results.model import Result


def show_result(doc: Result) -> None:
    """Print the tables of a result, its summary, its warning and its paths."""
    out = console()
    for game in doc.games:
        out.print(terminal(result_table(doc, game)))
        brief = brief_metrics(doc)
        for table in (off_data_table(doc, game, brief), control_table(doc, game, brief)):
            if table.rows:
                out.print(terminal(table))
    over_games = hns_table(doc)
    if over_games.rows:
        out.print(terminal(over_games))
    out.print(doc.summary)
    if doc.warning:
        out.print(doc.warning)
    if doc.claims:
        out.print(terminal(replace(claims_table(doc), title="")))
    paths = doc.paths
    lines = [f"report:  {paths.report_html}", f"         {paths.report_md}"]
    if paths.mlflow_command is not None:
        lines.append(f"compare: {paths.mlflow_command}")
    for line in lines:
        out.print(line, soft_wrap=True)
