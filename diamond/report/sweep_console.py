"""The result of a sweep on a terminal; it loads no matplotlib."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diamond.report.document import ABSENT, Document
from diamond.report.sweep_document import (
    BETTER,
    Trial,
    baseline_interval,
    interval_of,
    interval_text,
    is_single,
    label_of,
    leading_trials,
    parameter_text,
    value_places,
    value_text,
)
from diamond.report.sweep_prose import confirm_command, sweep_summary

MOST_ROWS = 12
"""Trials of a long front that the terminal shows."""
_HEAD_WIDTH = 18


def show_sweep(doc: Document, console: Console) -> None:
    """Print the front or the best trials with the baseline, the answer, paths and commands."""
    console.print(sweep_table(doc))
    console.print(doc["summary"] or sweep_summary(doc))
    paths = doc["paths"]
    lines = [("report:", paths["report_html"]), ("", paths["report_md"]),
             ("search:", paths["dashboard_command"]), ("compare:", paths["mlflow_command"]),
             ("confirm:", confirm_command(doc))]  # fmt: skip
    for head, text in lines:
        if text:
            console.print(f"{head:<9}{text}", soft_wrap=True)


def sweep_table(doc: Document) -> Table:
    """Lay out the trials to show first above the baseline, for a terminal of 100 columns.

    Parameters stand in one column and go on in the next line, however many there are.
    """
    trials = leading_trials(doc)
    table = Table(
        title=f"{doc['study']}: {'the best trials' if is_single(doc) else 'the front'}",
        caption=_caption(doc, len(trials)),
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("trial", overflow="fold", vertical="top")
    for objective in doc["objectives"]:
        head = Text(f"{label_of(objective)} ({BETTER[objective['direction']]})")
        table.add_column(head, justify="right", max_width=_HEAD_WIDTH)
    table.add_column("parameters", overflow="fold")
    shown = _spread(trials)
    for trial in shown:
        _add_trial(table, doc, trial)
    if doc["baseline"]["trial"] not in [trial["number"] for trial in shown]:
        _add_baseline(table, doc)
    return table


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    """Return at most `MOST_ROWS` trials, evenly spaced, first and last among them."""
    if len(trials) <= MOST_ROWS:
        return list(trials)
    gap = (len(trials) - 1) / (MOST_ROWS - 1)
    return [trials[round(index * gap)] for index in range(MOST_ROWS)]


def _add_trial(table: Table, doc: Document, trial: Trial) -> None:
    is_baseline = trial["number"] == doc["baseline"]["trial"]
    cells = [
        _cell(
            value_text(value, value_places(doc, index)),
            interval_text(interval_of(trial, index), value_places(doc, index)),
        )
        for index, value in enumerate(trial["values"])
    ]
    asked = [each["name"] for each in doc["space"] if each["name"] in trial["params"]]
    settings = "  ".join(f"{name}={parameter_text(trial['params'][name])}" for name in asked)
    name = Text(f"{trial['name']} (baseline)" if is_baseline else trial["name"])
    name.stylize("bold" if trial["number"] == doc["best"] or not is_single(doc) else "")
    table.add_row(name, *cells, Text(settings), style="dim" if is_baseline else "")


def _add_baseline(table: Table, doc: Document) -> None:
    """Add the preset's values, whether a trial had them or not."""
    values = doc["baseline"]["values"]
    cells = []
    for index in range(len(doc["objectives"])):
        places = value_places(doc, index)
        text = ABSENT if values is None else value_text(values[index], places)
        cells.append(_cell(text, interval_text(baseline_interval(doc, index), places)))
    settings = "  ".join(
        f"{each['name']}={parameter_text(each['baseline'])}" for each in doc["space"]
    )
    table.add_row(Text("baseline"), *cells, Text(settings), style="dim")


def _cell(value: str, interval: str) -> Text:
    text = Text(value)
    if interval:
        text.append(f"\n{interval}", style="dim")
    return text


def _caption(doc: Document, num_trials: int) -> str:
    """Say what the second lines are, where there are any, and what is left out."""
    told = []
    if any(trial["intervals"] for trial in leading_trials(doc)):
        told.append("Below a value: its 95% interval.")
    if num_trials > MOST_ROWS:
        told.append(f"{MOST_ROWS} of the {num_trials} on the front; the report has all.")
    return " ".join(told)
