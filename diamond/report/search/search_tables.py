"""The tables of a search, the same for HTML, Markdown and LaTeX; trials as CSV."""

import csv
import io
from collections.abc import Sequence

from diamond.report.numbers import label_of, parameter_text, short_label, valued
from diamond.report.table import Cell, Row, Table
from diamond.results.number_text import ABSENT, number, signed, written
from diamond.results.search import ConfirmedRow, Constraint, Objective, Parameter, Search, Trial


def leading_table(search: Search) -> Table:
    """Return the front, or the best trials of one objective, above the baseline."""
    rows = [_leading_row(search, trial) for trial in search.leading()]
    if search.baseline.trial not in [trial.number for trial in search.leading()]:
        rows.append(_baseline_row(search))
    what = "The best trials" if search.is_single else "The front"
    columns = ("trial", *_heads(search.objectives), *(each.name for each in search.space))
    return Table(f"{what} and the baseline", columns, tuple(rows))


def _leading_row(search: Search, trial: Trial) -> Row:
    marks = []
    if trial.number == search.best:
        marks.append("best")
    if trial.number == search.baseline.trial:
        marks.append("baseline")
    name = trial.name + (f" ({', '.join(marks)})" if marks else "")
    cells = (*_value_cells(search, trial), *_parameter_cells(search, trial))
    return Row(name, "baseline" if marks == ["baseline"] else "arm", cells)


def _baseline_row(search: Search) -> Row:
    """Return the row of the preset's values, whether a trial had them or not."""
    base = search.baseline
    cells = []
    for index in range(len(search.objectives)):
        value = base.values[index] if base.values else None
        cells.append(Cell(*valued(value, search.baseline_interval(index))))
    settings = (Cell(parameter_text(each.baseline)) for each in search.space)
    name = "baseline" if base.trial is None else f"baseline (trial {base.trial})"
    return Row(name, "baseline", (*cells, *settings))


def _heads(measured: Sequence[Objective | Constraint]) -> list[str]:
    return [short_label(each) for each in measured]


def _value_cells(search: Search, trial: Trial) -> list[Cell]:
    cells = []
    for index in range(len(search.objectives)):
        value = trial.values[index] if trial.values else None
        cells.append(Cell(*valued(value, trial.interval(index))))
    return cells


def _parameter_cells(search: Search, trial: Trial) -> list[Cell]:
    return [Cell(parameter_text(trial.params.get(each.name))) for each in search.space]


def confirmation_table(search: Search) -> Table:
    """Return what the confirmation found; without rows where there was none."""
    result = search.confirmation
    found = () if result is None else result.rows
    several = len({row.game for row in found}) > 1
    rows = [_confirmation_row(search, row, several) for row in found]
    columns = ("arm", "objective", *(["game"] if several else []), "searched", "confirmed anew",
               "baseline", "difference", "verdict")  # fmt: skip
    return Table("Confirmation", columns, tuple(rows))


def _confirmation_row(search: Search, row: ConfirmedRow, several_games: bool) -> Row:
    cells = (
        Cell(label_of(search.objectives[row.objective])),
        *([Cell(row.game)] if several_games else []),
        Cell(written(row.searched_value).text),
        Cell(written(row.arm_value).text),
        Cell(written(row.baseline_value).text),
        Cell(*signed(row.difference, row.lo, row.hi)),
        Cell(row.verdict),
    )  # fmt: skip
    return Row(row.arm, "arm", cells)


def importance_table(search: Search) -> Table:
    """Return the share of each parameter in each objective, with intervals."""
    entries = [entry for entry in search.importance if entry.rows]
    shares = [{row.name: row for row in entry.rows} for entry in entries]
    names = list(dict.fromkeys(name for found in shares for name in found))
    rows = []
    for name in names:
        cells = [
            Cell(*written(row.value, row.lo, row.hi)) if row else Cell(ABSENT)
            for row in (found.get(name) for found in shares)
        ]
        rows.append(Row(name, "arm", tuple(cells)))
    labels = (label_of(search.objectives[entry.objective]) for entry in entries)
    return Table("Share of what the parameters explain", ("parameter", *labels), tuple(rows))


def constraints_table(search: Search) -> Table:
    """Return each constraint with its limits and how many trials keep it."""
    rows = []
    for index, each in enumerate(search.constraints):
        limits = [
            f"{words} {limit:g}"
            for limit, words in ((each.at_most, "at most"), (each.at_least, "at least"))
            if limit is not None
        ]
        found = [t.constraints[index] for t in search.valued() if t.constraints]
        kept = sum(excess <= 0 for excess in found)
        rows.append(
            Row(
                label_of(each), "arm", (Cell(" and ".join(limits)), Cell(f"{kept} of {len(found)}"))
            )
        )
    return Table("Constraints", ("constraint", "limit", "kept by complete trials"), tuple(rows))


def trials_table(search: Search) -> Table:
    """Return every trial: how it ended, its values, its parameters, what it took."""
    rows = [_trial_row(search, trial) for trial in search.trials]
    columns = (
        "trial",
        "state",
        *_heads(search.objectives),
        *(f"{head} beyond its limit" for head in _heads(search.constraints)),
        *(each.name for each in search.space),
        "seconds",
        "source",
    )
    return Table("All trials", columns, tuple(rows))


def _trial_row(search: Search, trial: Trial) -> Row:
    is_baseline = trial.number == search.baseline.trial
    state = trial.state if trial.feasible else f"{trial.state}, breaks a constraint"
    beyond = trial.constraints or [None] * len(search.constraints)
    cells = (
        Cell(state),
        *_value_cells(search, trial),
        *(Cell(written(value).text) for value in beyond),
        *_parameter_cells(search, trial),
        Cell(number(trial.seconds, 1)),
        Cell(trial.source),
    )
    kept = trial.state == "complete" and trial.feasible
    return Row(trial.name, "baseline" if is_baseline else "arm" if kept else "control", cells)


def space_table(search: Search) -> Table:
    """Return the declared parameters: ranges, conditions, the baseline, what they mean."""
    rows = [
        Row(
            each.name,
            "arm",
            (
                Cell(each.kind),
                Cell(_range_text(each), each.condition),
                Cell(
                    parameter_text(each.baseline),
                    "" if each.in_range else "outside of the range",
                ),
                Cell(each.first_stage or ABSENT),
                Cell(each.meaning),
            ),
        )
        for each in search.space
    ]
    columns = ("parameter", "kind", "range", "baseline", "first stage changed", "meaning")
    return Table("Space", columns, tuple(rows))


def _range_text(parameter: Parameter) -> str:
    """Write a range as ``1 to 10``, with its step and its scale, or the choices."""
    if parameter.choices:
        return ", ".join(parameter.choices)
    text = f"{parameter_text(parameter.low)} to {parameter_text(parameter.high)}"
    if parameter.step not in (None, 1):
        text += f" by {parameter_text(parameter.step)}"
    return f"{text}, logarithmic" if parameter.log else text


def budget_table(search: Search) -> Table:
    """Return what the search was allowed and what it spent."""
    allowed, spent = search.budget, search.spent
    amounts = (
        ("trials", allowed.trials, spent.trials),
        ("hours", allowed.hours, spent.hours),
        ("denoiser calls", allowed.denoiser_calls, spent.denoiser_calls),
    )
    rows = [
        Row(label, "arm", (Cell(_amount(most, "no limit")), Cell(_amount(used, ABSENT))))
        for label, most, used in amounts
    ]
    return Table("Budget", ("", "allowed", "spent"), tuple(rows))


def _amount(value: float | None, absent: str) -> str:
    if value is None:
        return absent
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def trials_csv(search: Search) -> str:
    """Return every trial as a line of CSV with all digits; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    objectives = [_csv_name(each) for each in search.objectives]
    writer.writerow([
        "number", "name", "state", "source", "feasible",
        *(each.name for each in search.space),
        *(f"{name}{end}" for name in objectives for end in ("", "_lo", "_hi")),
        *(f"beyond_{_csv_name(each)}" for each in search.constraints),
        "seconds", "attempts", "mlflow_run", "error",
    ])  # fmt: skip
    writer.writerows(_csv_line(search, trial) for trial in search.trials)
    return text.getvalue()


def _csv_name(measured: Objective | Constraint) -> str:
    """Return the name of a column: that of the metric, with its time step where it has one."""
    at = str(measured.at)
    return f"{measured.name}_t{at}" if at.isdigit() else str(measured.name)


def _csv_line(search: Search, trial: Trial) -> list[object]:
    measured: list[float | None] = []
    for index in range(len(search.objectives)):
        interval = trial.interval(index)
        measured.append(trial.values[index] if trial.values else None)
        measured += [None, None] if interval is None else [interval.lo, interval.hi]
    return [
        trial.number, trial.name, trial.state, trial.source, trial.feasible,
        *(trial.params.get(each.name) for each in search.space),
        *measured,
        *(trial.constraints or [None] * len(search.constraints)),
        trial.seconds, trial.attempts, trial.mlflow_run, trial.error,
    ]  # fmt: skip
