"""The result of a sweep on a terminal; it loads no matplotlib."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diamond.report.numbers import (
    ABSENT,
    bounds_text,
    label_of,
    parameter_text,
    value_places,
    value_text,
)
from diamond.report.sweep_prose import confirm_command, sweep_summary
from diamond.results.model import Result, Search, Trial

MOST_ROWS = 12
"""Trials of a long front that the terminal shows."""
_HEAD_WIDTH = 18


def show_sweep(result: Result, console: Console) -> None:
    """Print the front or the best trials with the baseline, the answer, paths and commands."""
    search = result.search
    assert search is not None, "a sweep has trials"
    console.print(sweep_table(result.study, search))
    console.print(result.summary or sweep_summary(result))
    paths = result.paths
    lines = [("report:", paths.report_html), ("", paths.report_md),
             ("search:", paths.dashboard_command), ("compare:", paths.mlflow_command),
             ("confirm:", confirm_command(search))]  # fmt: skip
    for head, text in lines:
        if text:
            console.print(f"{head:<9}{text}", soft_wrap=True)


def sweep_table(study: str, search: Search) -> Table:
    """Lay out the trials to show first above the baseline, for a terminal of 100 columns.

    Parameters stand in one column and go on in the next line, however many there are.
    """
    trials = search.leading()
    table = Table(
        title=f"{study}: {'the best trials' if search.is_single else 'the front'}",
        caption=_caption(search, len(trials)),
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("trial", overflow="fold", vertical="top")
    for objective in search.objectives:
        head = Text(f"{label_of(objective)} ({objective.better})")
        table.add_column(head, justify="right", max_width=_HEAD_WIDTH)
    table.add_column("parameters", overflow="fold")
    shown = _spread(trials)
    for trial in shown:
        _add_trial(table, search, trial)
    if search.baseline.trial not in [trial.number for trial in shown]:
        _add_baseline(table, search)
    return table


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    """Return at most `MOST_ROWS` trials, evenly spaced, first and last among them."""
    if len(trials) <= MOST_ROWS:
        return list(trials)
    gap = (len(trials) - 1) / (MOST_ROWS - 1)
    return [trials[round(index * gap)] for index in range(MOST_ROWS)]


def _add_trial(table: Table, search: Search, trial: Trial) -> None:
    is_baseline = trial.number == search.baseline.trial
    cells = [
        _cell(
            value_text(value, value_places(search, index)),
            bounds_text(trial.interval(index), value_places(search, index)),
        )
        for index, value in enumerate(trial.values)
    ]
    asked = [each.name for each in search.space if each.name in trial.params]
    settings = "  ".join(f"{name}={parameter_text(trial.params[name])}" for name in asked)
    name = Text(f"{trial.name} (baseline)" if is_baseline else trial.name)
    name.stylize("bold" if trial.number == search.best or not search.is_single else "")
    table.add_row(name, *cells, Text(settings), style="dim" if is_baseline else "")


def _add_baseline(table: Table, search: Search) -> None:
    """Add the preset's values, whether a trial had them or not."""
    values = search.baseline.values
    cells = []
    for index in range(len(search.objectives)):
        places = value_places(search, index)
        text = value_text(values[index], places) if values else ABSENT
        cells.append(_cell(text, bounds_text(search.baseline_interval(index), places)))
    settings = "  ".join(f"{each.name}={parameter_text(each.baseline)}" for each in search.space)
    table.add_row(Text("baseline"), *cells, Text(settings), style="dim")


def _cell(value: str, interval: str) -> Text:
    text = Text(value)
    if interval:
        text.append(f"\n{interval}", style="dim")
    return text


def _caption(search: Search, num_trials: int) -> str:
    """Say what the second lines are, where there are any, and what is left out."""
    told = []
    if any(trial.intervals for trial in search.leading()):
        told.append("Below a value: its 95% interval.")
    if num_trials > MOST_ROWS:
        told.append(f"{MOST_ROWS} of the {num_trials} on the front; the report has all.")
    return " ".join(told)
