"""The trials of a search in one table that fits a terminal; it loads no matplotlib."""

from collections.abc import Sequence

from diamond.report.numbers import label_of, parameter_text, valued
from diamond.report.table import Cell, Row, Table
from diamond.report.terminal import LASTING
from diamond.results.search import Search, Trial

MOST_ROWS = 12
"""Trials of a long front that the terminal shows."""
PARAMETERS = "parameters"


def search_table(study: str, search: Search) -> Table:
    """Lay out the trials to show first above the baseline.

    Parameters stand in one column and go on in the next line, however many there are.
    """
    trials = search.leading()
    shown = _spread(trials)
    rows = [_trial_row(search, trial) for trial in shown]
    if search.baseline.trial not in [trial.number for trial in shown]:
        rows.append(_baseline_row(search))
    heads = (f"{label_of(objective)} ({objective.better})" for objective in search.objectives)
    what = "the best trials" if search.is_single else "the front"
    return Table(
        f"{study}: {what}",
        ("trial", *heads, PARAMETERS),
        tuple(rows),
        _caption(len(trials)),
        frozenset({PARAMETERS}),
        details="Below a value: its 95% interval.",
        ranks=(*(LASTING for _ in search.objectives), LASTING + 1),
    )


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    """Return at most `MOST_ROWS` trials, evenly spaced, first and last among them."""
    if len(trials) <= MOST_ROWS:
        return list(trials)
    gap = (len(trials) - 1) / (MOST_ROWS - 1)
    return [trials[round(index * gap)] for index in range(MOST_ROWS)]


def _trial_row(search: Search, trial: Trial) -> Row:
    is_baseline = trial.number == search.baseline.trial
    cells = [
        Cell(*valued(value, trial.interval(index))) for index, value in enumerate(trial.values)
    ]
    asked = [each.name for each in search.space if each.name in trial.params]
    settings = "  ".join(f"{name}={parameter_text(trial.params[name])}" for name in asked)
    name = f"{trial.name} (baseline)" if is_baseline else trial.name
    leads = trial.number == search.best or not search.is_single
    kind = "baseline" if is_baseline else "arm" if leads else "trial"
    return Row(name, kind, (*cells, Cell(settings)))


def _baseline_row(search: Search) -> Row:
    """The preset's values, whether a trial had them or not."""
    values = search.baseline.values or (None,) * len(search.objectives)
    cells = [
        Cell(*valued(value, search.baseline_interval(index))) for index, value in enumerate(values)
    ]
    settings = "  ".join(f"{each.name}={parameter_text(each.baseline)}" for each in search.space)
    return Row("baseline", "baseline", (*cells, Cell(settings)))


def _caption(num_trials: int) -> str:
    """Say which trials are left out."""
    if num_trials <= MOST_ROWS:
        return ""
    return f"{MOST_ROWS} of the {num_trials} on the front; the report has all."
