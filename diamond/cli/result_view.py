"""The result of a study as a person reads it: tables, the finding, where the report is."""

from collections.abc import Mapping
from typing import Any

from diamond.cli.terminal import console
from diamond.report.claims import claims_view
from diamond.report.console import hns_over_games, result_table


def show_result(document: Mapping[str, Any]) -> None:
    """Print the tables of a result document, its summary and its paths."""
    out = console()
    for game in document["games"]:
        out.print(result_table(document, game))
    over_games = hns_over_games(document)
    if over_games is not None:
        out.print(over_games)
    out.print(document["summary"])
    if document["claims"]:
        out.print(claims_view(document))
    paths = document["paths"]
    lines = [f"report:  {paths['report_html']}", f"         {paths['report_md']}"]
    if paths["mlflow_command"] is not None:
        lines.append(f"compare: {paths['mlflow_command']}")
    for line in lines:
        out.print(line, soft_wrap=True)
