"""The result of a study as a person reads it: tables, the finding, where the report is."""

from diamond.cli.terminal import console
from diamond.report.claims import claims_view
from diamond.report.console import hns_over_games, result_table
from diamond.results.model import Result


def show_result(doc: Result) -> None:
    """Print the tables of a result, its summary and its paths."""
    out = console()
    for game in doc.games:
        out.print(result_table(doc, game))
    over_games = hns_over_games(doc)
    if over_games is not None:
        out.print(over_games)
    out.print(doc.summary)
    if doc.claims:
        out.print(claims_view(doc))
    paths = doc.paths
    lines = [f"report:  {paths.report_html}", f"         {paths.report_md}"]
    if paths.mlflow_command is not None:
        lines.append(f"compare: {paths.mlflow_command}")
    for line in lines:
        out.print(line, soft_wrap=True)
