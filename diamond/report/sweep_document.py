"""Reading of the document of a sweep: trials, objectives, parameters, numbers as text.

The search itself is not here: everything comes from the document.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diamond.report.document import ABSENT, Document, number

Trial = Mapping[str, Any]
Objective = Mapping[str, Any]
Parameter = Mapping[str, Any]
Value = float | int | str

STATES = ("complete", "pruned", "failed", "running")
BETTER = {"maximize": "higher is better", "minimize": "lower is better"}
NUM_LEADING = 5
"""Trials that are shown beside the baseline where there is one objective."""
_SIGNIFICANT = 3
_MOST_PLACES = 6
_LARGE = 1e7


def trials_in(doc: Document, state: str) -> list[Trial]:
    """Return the trials of one state of `STATES`, in the order of the document."""
    return [trial for trial in doc["trials"] if trial["state"] == state]


def trial_of(doc: Document, number: int) -> Trial:
    """Return a trial by its number.

    Raises:
        KeyError: The document has no such trial.
    """
    found: Trial
    for found in doc["trials"]:
        if found["number"] == number:
            return found
    raise KeyError(f"the document has no trial {number}")


def valued_trials(doc: Document) -> list[Trial]:
    """Return the trials that have a value of every objective."""
    return [trial for trial in trials_in(doc, "complete") if trial["values"] is not None]


def is_single(doc: Document) -> bool:
    """Tell whether there is one objective, so that one trial is the best."""
    return len(doc["objectives"]) == 1


def sign(objective: Objective) -> int:
    """Return the factor that makes a value a loss, of which less is better: 1 or -1."""
    return -1 if objective["direction"] == "maximize" else 1


def leading_trials(doc: Document) -> list[Trial]:
    """Return the trials to show first: the front, or the best `NUM_LEADING` feasible ones."""
    if not is_single(doc):
        return [trial_of(doc, number) for number in doc["front"]]
    factor = sign(doc["objectives"][0])
    found = [trial for trial in valued_trials(doc) if trial["feasible"]]
    found.sort(key=lambda trial: (factor * trial["values"][0], trial["number"]))
    return found[:NUM_LEADING]


def baseline_interval(doc: Document, objective: int) -> Mapping[str, float] | None:
    """Return the interval of the baseline's value of an objective, where a trial has one."""
    if doc["baseline"]["trial"] is None:
        return None
    return interval_of(trial_of(doc, doc["baseline"]["trial"]), objective)


def interval_of(trial: Trial, objective: int) -> Mapping[str, float] | None:
    """Return the interval of a trial's value of an objective, None where there is none."""
    found: Sequence[Mapping[str, float] | None] | None = trial["intervals"]
    return None if found is None else found[objective]


def compared(doc: Document, values: Sequence[float]) -> tuple[int, int]:
    """Count in how many objectives some values are better and worse than the baseline's.

    Args:
        doc: The document of a sweep whose baseline has values.
        values: One value for each objective.
    """
    losses = [
        sign(objective) * (ours - theirs)
        for objective, ours, theirs in zip(
            doc["objectives"], values, doc["baseline"]["values"], strict=True
        )
    ]
    return sum(loss < 0 for loss in losses), sum(loss > 0 for loss in losses)


def pair_front(doc: Document, x: int, y: int) -> list[tuple[float, float]]:
    """Return the values of two objectives that no trial of the front beats in these two.

    Args:
        doc: The document of a sweep.
        x: Index of one objective.
        y: Index of the other.

    Returns:
        Pairs (value of x, value of y), by rising value of x.
    """
    signs = sign(doc["objectives"][x]), sign(doc["objectives"][y])
    values = [trial_of(doc, number)["values"] for number in doc["front"]]
    pairs = [(each[x], each[y]) for each in values]
    pairs.sort(key=lambda pair: (signs[0] * pair[0], signs[1] * pair[1]))
    kept: list[tuple[float, float]] = []
    for pair in pairs:
        if not kept or signs[1] * pair[1] < signs[1] * kept[-1][1]:
            kept.append(pair)
    return sorted(kept)


def label_of(measured: Mapping[str, Any]) -> str:
    """Return how an objective or a constraint is called, with its time step and its unit."""
    at = str(measured["at"])
    when = f", t={at}" if at.isdigit() else ""
    unit = f" [{measured['unit']}]" if measured["unit"] else ""
    return f"{measured['label']}{when}{unit}"


def short_label(measured: Mapping[str, Any]) -> str:
    """Return the name of an objective or a constraint for a heading, as studies are written."""
    at = str(measured["at"])
    unit = f" [{measured['unit']}]" if measured["unit"] else ""
    return f"{measured['name']}{f' t={at}' if at.isdigit() else ''}{unit}"


def value_places(doc: Document, objective: int) -> int:
    """Return the decimals of the values of an objective: about three digits of a typical one."""
    values = [trial["values"][objective] for trial in valued_trials(doc)]
    values += [] if doc["baseline"]["values"] is None else [doc["baseline"]["values"][objective]]
    return places_of(values)


def places_of(values: Iterable[float | None]) -> int:
    """Return the decimals that show three digits of the median of some values, 0 to 6."""
    sizes = sorted(abs(value) for value in values if value)
    if not sizes:
        return _SIGNIFICANT
    digits = _SIGNIFICANT - 1 - math.floor(math.log10(sizes[len(sizes) // 2]))
    return max(0, min(_MOST_PLACES, digits))


def value_text(value: float | None, places: int) -> str:
    """Write a value with `places` decimals; very large ones and ones that would read 0 in powers.

    An absent one is a dash.
    """
    if value is not None and value and not 0.5 * 10.0**-places <= abs(value) < _LARGE:
        return f"{value:.3g}"
    return number(value, places)


def interval_text(interval: Mapping[str, float] | None, places: int) -> str:
    """Write an interval as ``0.57 to 0.66``; empty where there is none."""
    if interval is None:
        return ""
    return f"{value_text(interval['lo'], places)} to {value_text(interval['hi'], places)}"


def parameter_text(value: Value | None) -> str:
    """Write the value of a parameter, a float with four digits; an absent one is a dash."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def baseline_number(parameter: Parameter) -> float | None:
    """Return the baseline's value of a parameter as a number, None where it is none."""
    try:
        found = float(parameter["baseline"])
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def condition_text(parameter: Parameter) -> str:
    """Say where a conditional parameter is asked for; empty for any other."""
    when = parameter["when"]
    return "" if when is None else f"only with {when['name']} = {' or '.join(when['values'])}"


def pruned_value(doc: Document, trial: Trial) -> float | None:
    """Return what is known of a trial that was cut short: None where nothing was reported.

    Its last report, or where the pruner compares instances the mean over those that were made.
    """
    points = reports(doc, trial)
    return points[-1][1] if points else None


def reports(doc: Document, trial: Trial) -> list[tuple[int, float]]:
    """Return what a trial reported to the pruner, by rising checkpoint or number of instances.

    Where the pruner compares instances, whose values differ much, each point is the mean over the
    instances up to it.
    """
    found = sorted((int(step), value) for step, value in trial["intermediate"].items())
    if not _by_instances(doc):
        return found
    total = 0.0
    means = []
    for count, (_, value) in enumerate(found, start=1):
        total += value
        means.append((count, total / count))
    return means


def reports_label(doc: Document) -> str:
    """Return what the reports to the pruner are counted in."""
    if _by_instances(doc):
        return "instances (mean over them)"
    return "checkpoint" if doc["pruner"] is None else str(doc["pruner"]["what"])


def _by_instances(doc: Document) -> bool:
    pruner = doc["pruner"]
    return pruner is not None and pruner["what"] == "instances"
