"""The tables of the report of a sweep, the same for HTML, Markdown and LaTeX; trials as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from diamond.report.document import ABSENT, Document, number
from diamond.report.sweep_document import (
    Parameter,
    Trial,
    baseline_interval,
    condition_text,
    interval_of,
    interval_text,
    is_single,
    label_of,
    leading_trials,
    parameter_text,
    places_of,
    short_label,
    trials_in,
    value_places,
    value_text,
    valued_trials,
)
from diamond.report.tables import Cell, Row, Table


def leading_table(doc: Document) -> Table:
    """Return the front, or the best trials of one objective, above the baseline."""
    rows = [_leading_row(doc, trial) for trial in leading_trials(doc)]
    if doc["baseline"]["trial"] not in [trial["number"] for trial in leading_trials(doc)]:
        rows.append(_baseline_row(doc))
    what = "The best trials" if is_single(doc) else "The front"
    columns = ("trial", *_heads(doc["objectives"]), *(each["name"] for each in doc["space"]))
    return Table(f"{what} and the baseline", columns, tuple(rows))


def _leading_row(doc: Document, trial: Trial) -> Row:
    marks = []
    if trial["number"] == doc["best"]:
        marks.append("best")
    if trial["number"] == doc["baseline"]["trial"]:
        marks.append("baseline")
    name = trial["name"] + (f" ({', '.join(marks)})" if marks else "")
    cells = (*_value_cells(doc, trial), *_parameter_cells(doc, trial))
    return Row(name, "baseline" if marks == ["baseline"] else "arm", cells)


def _baseline_row(doc: Document) -> Row:
    """Return the row of the preset's values, whether a trial had them or not."""
    base = doc["baseline"]
    cells = []
    for index in range(len(doc["objectives"])):
        places = value_places(doc, index)
        value = None if base["values"] is None else base["values"][index]
        interval = interval_text(baseline_interval(doc, index), places)
        cells.append(Cell(value_text(value, places), interval))
    settings = (Cell(parameter_text(each["baseline"])) for each in doc["space"])
    name = "baseline" if base["trial"] is None else f"baseline (trial {base['trial']})"
    return Row(name, "baseline", (*cells, *settings))


def _heads(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    return [short_label(each) for each in measured]


def _value_cells(doc: Document, trial: Trial) -> list[Cell]:
    cells = []
    for index in range(len(doc["objectives"])):
        places = value_places(doc, index)
        value = None if trial["values"] is None else trial["values"][index]
        interval = None if value is None else interval_of(trial, index)
        cells.append(Cell(value_text(value, places), interval_text(interval, places)))
    return cells


def _parameter_cells(doc: Document, trial: Trial) -> list[Cell]:
    return [Cell(parameter_text(trial["params"].get(each["name"]))) for each in doc["space"]]


def confirmation_table(doc: Document) -> Table:
    """Return what the confirmation found; without rows where there was none."""
    result = (doc["confirm"] or {}).get("result")
    found = result["rows"] if result else []
    several = len({row["game"] for row in found}) > 1
    rows = [_confirmation_row(doc, row, several) for row in found]
    columns = ("arm", "objective", *(["game"] if several else []), "searched", "confirmed anew",
               "baseline", "difference", "verdict")  # fmt: skip
    return Table("Confirmation", columns, tuple(rows))


def _confirmation_row(doc: Document, row: Mapping[str, Any], several_games: bool) -> Row:
    places = value_places(doc, row["objective"])
    bounds = None if row["lo"] is None or row["hi"] is None else {"lo": row["lo"], "hi": row["hi"]}
    cells = (
        Cell(label_of(doc["objectives"][row["objective"]])),
        *([Cell(row["game"])] if several_games else []),
        *(Cell(value_text(row[n], places)) for n in ("searched_value", "arm_value",
                                                    "baseline_value")),
        Cell(value_text(row["difference"], places), interval_text(bounds, places)),
        Cell(row["verdict"]),
    )  # fmt: skip
    return Row(row["arm"], "arm", cells)


def importance_table(doc: Document) -> Table:
    """Return the share of each parameter in each objective, with intervals."""
    entries = [entry for entry in doc["importance"] if entry["rows"]]
    shares = [{row["name"]: row for row in entry["rows"]} for entry in entries]
    names = list(dict.fromkeys(name for found in shares for name in found))
    rows = []
    for name in names:
        cells = [
            Cell(number(row["value"], 2), _share_interval(row)) if row else Cell(ABSENT)
            for row in (found.get(name) for found in shares)
        ]
        rows.append(Row(name, "arm", tuple(cells)))
    labels = (label_of(doc["objectives"][entry["objective"]]) for entry in entries)
    return Table("Share of what the parameters explain", ("parameter", *labels), tuple(rows))


def _share_interval(row: Mapping[str, Any]) -> str:
    if row["lo"] is None or row["hi"] is None:
        return ""
    return f"{number(row['lo'], 2)} to {number(row['hi'], 2)}"


def constraints_table(doc: Document) -> Table:
    """Return each constraint with its limits and how many trials keep it."""
    rows = []
    for index, each in enumerate(doc["constraints"]):
        limits = [
            f"{words} {each[name]:g}"
            for name, words in (("at_most", "at most"), ("at_least", "at least"))
            if each[name] is not None
        ]
        found = [t["constraints"][index] for t in valued_trials(doc) if t["constraints"]]
        kept = sum(excess <= 0 for excess in found)
        rows.append(
            Row(
                label_of(each), "arm", (Cell(" and ".join(limits)), Cell(f"{kept} of {len(found)}"))
            )
        )
    return Table("Constraints", ("constraint", "limit", "kept by complete trials"), tuple(rows))


def trials_table(doc: Document) -> Table:
    """Return every trial: how it ended, its values, its parameters, what it took."""
    excess = [_excess_places(doc, index) for index in range(len(doc["constraints"]))]
    rows = [_trial_row(doc, trial, excess) for trial in doc["trials"]]
    columns = (
        "trial",
        "state",
        *_heads(doc["objectives"]),
        *(f"{head} beyond its limit" for head in _heads(doc["constraints"])),
        *(each["name"] for each in doc["space"]),
        "seconds",
        "source",
    )
    return Table("All trials", columns, tuple(rows))


def _trial_row(doc: Document, trial: Trial, excess_places: list[int]) -> Row:
    is_baseline = trial["number"] == doc["baseline"]["trial"]
    state = trial["state"] if trial["feasible"] else f"{trial['state']}, breaks a constraint"
    beyond = trial["constraints"] or [None] * len(excess_places)
    cells = (
        Cell(state),
        *_value_cells(doc, trial),
        *(Cell(value_text(v, p)) for v, p in zip(beyond, excess_places, strict=True)),
        *_parameter_cells(doc, trial),
        Cell(number(trial["seconds"], 1)),
        Cell(trial["source"]),
    )
    kept = trial["state"] == "complete" and trial["feasible"]
    return Row(trial["name"], "baseline" if is_baseline else "arm" if kept else "control", cells)


def _excess_places(doc: Document, constraint: int) -> int:
    found = [t["constraints"][constraint] for t in doc["trials"] if t["constraints"]]
    return places_of(found)


def space_table(doc: Document) -> Table:
    """Return the declared parameters: ranges, conditions, the baseline, what they mean."""
    rows = [
        Row(
            each["name"],
            "arm",
            (
                Cell(each["kind"]),
                Cell(_range_text(each), condition_text(each)),
                Cell(
                    parameter_text(each["baseline"]),
                    "" if each["in_range"] else "outside of the range",
                ),
                Cell(each["first_stage"] or ABSENT),
                Cell(each["meaning"]),
            ),
        )
        for each in doc["space"]
    ]
    columns = ("parameter", "kind", "range", "baseline", "first stage changed", "meaning")
    return Table("Space", columns, tuple(rows))


def _range_text(parameter: Parameter) -> str:
    """Write a range as ``1 to 10``, with its step and its scale, or the choices."""
    if parameter["choices"]:
        return ", ".join(parameter["choices"])
    text = f"{parameter_text(parameter['low'])} to {parameter_text(parameter['high'])}"
    if parameter["step"] not in (None, 1):
        text += f" by {parameter_text(parameter['step'])}"
    return f"{text}, logarithmic" if parameter["log"] else text


def budget_table(doc: Document) -> Table:
    """Return what the search was allowed and what it spent."""
    names = {"trials": "trials", "hours": "hours", "denoiser_calls": "denoiser calls"}
    rows = [
        Row(label, "arm", (Cell(_amount(doc["budget"][name], "no limit")),
                           Cell(_amount(doc["spent"][name], ABSENT))))
        for name, label in names.items()
    ]  # fmt: skip
    return Table("Budget", ("", "allowed", "spent"), tuple(rows))


def _amount(value: float | None, absent: str) -> str:
    if value is None:
        return absent
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def failed_trials(doc: Document) -> list[Trial]:
    """Return the trials that failed, in the order of the document."""
    return trials_in(doc, "failed")


def trials_csv(doc: Document) -> str:
    """Return every trial as a line of CSV with all digits; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    objectives = [_csv_name(each) for each in doc["objectives"]]
    writer.writerow([
        "number", "name", "state", "source", "feasible",
        *(each["name"] for each in doc["space"]),
        *(f"{name}{end}" for name in objectives for end in ("", "_lo", "_hi")),
        *(f"beyond_{_csv_name(each)}" for each in doc["constraints"]),
        "seconds", "attempts", "mlflow_run", "error",
    ])  # fmt: skip
    writer.writerows(_csv_line(doc, trial) for trial in doc["trials"])
    return text.getvalue()


def _csv_name(measured: Mapping[str, Any]) -> str:
    """Return the name of a column: that of the metric, with its time step where it has one."""
    at = str(measured["at"])
    return f"{measured['name']}_t{at}" if at.isdigit() else str(measured["name"])


def _csv_line(doc: Document, trial: Trial) -> list[Any]:
    measured: list[float | None] = []
    for index in range(len(doc["objectives"])):
        interval = None if trial["values"] is None else interval_of(trial, index)
        measured.append(None if trial["values"] is None else trial["values"][index])
        measured += [None if interval is None else interval[end] for end in ("lo", "hi")]
    return [
        *(trial[name] for name in ("number", "name", "state", "source", "feasible")),
        *(trial["params"].get(each["name"]) for each in doc["space"]),
        *measured,
        *(trial["constraints"] or [None] * len(doc["constraints"])),
        *(trial[name] for name in ("seconds", "attempts", "mlflow_run", "error")),
    ]
