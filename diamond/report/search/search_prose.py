"""What a page says of a search in words: the answer, the confirmation, what is missing."""

from collections.abc import Sequence

from diamond.report.numbers import (
    bounds_text,
    counted,
    label_of,
    short_label,
    value_places,
    value_text,
)
from diamond.results.search import Bounds, Confirmation, ConfirmedRow, Search, TrialState

CAVEAT = (
    "A search result is not a finding until it is confirmed: the best of many trials looks better "
    "than it is."
)
SLICES = (
    "Each point is a trial, in which the other parameters changed too; the darker, the later. "
    "Light grey: it breaks a constraint. Dashed: the value of the baseline."
)
_MOST_NAMED = 4
STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running")
_VERDICTS = ("confirmed", "refuted", "undecided", "no interval")


def summarise_search(search: Search) -> str:
    """Say how the search ended: trials, the best or the front, the baseline, the confirmation.

    Args:
        search: The search.

    Returns:
        Two sentences without line breaks.
    """
    if not search.valued():
        return f"There is no result: none of {_counts(search)} has a value."
    if not search.front:
        return f"There is no result: of {_counts(search)}, no complete one keeps the constraints."
    found = _best_sentences(search) if search.is_single else _front_sentences(search)
    return f"{found} {_confirmed(search) or CAVEAT}"


def _counts(search: Search) -> str:
    """Return how many trials there are, and how they ended where not all of them are complete."""
    num_trials = len(search.trials)
    counts = [(state, len(search.in_state(state))) for state in STATES]
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    text = "1 trial" if num_trials == 1 else f"{num_trials} trials"
    return text if num_trials == counts[0][1] else f"{text} ({told})"


def _best_sentences(search: Search) -> str:
    """Say which trial is the best and how far it is from the baseline."""
    objective, places = search.objectives[0], value_places(search, 0)
    best = search.trial(search.front[0])
    value = best.values[0]
    text = f"{label_of(objective)} {_alone(search, 0, value, best.interval(0))}"
    if best.number == search.baseline.trial:
        return f"None of {_counts(search)} beats the baseline, which has {text}."
    told = f"The best of {_counts(search)} is {best.name} with {text}"
    if not search.baseline.values:
        return f"{told}; the baseline has no value."
    base = search.baseline.values[0]
    gain = objective.sign * (base - value)
    if gain == 0:
        return f"{told}, as much as the baseline has."
    than = f"the baseline's {_alone(search, 0, base, search.baseline_interval(0))}"
    way = "better" if gain > 0 else "worse"
    return f"{told}, {value_text(abs(gain), places)} {way} than {than}."


def _front_sentences(search: Search) -> str:
    """Say how long the front is, where it ends and where the baseline is."""
    front = [search.trial(number) for number in search.front]
    labels = _listed([objective.label for objective in search.objectives])
    first = f"{front[0].name} ({_point(search, front[0].values)})"
    if len(front) == 1:
        told = f"Of {_counts(search)}, {first} alone is on the front of {labels}"
    else:
        last = f"{front[-1].name} ({_point(search, front[-1].values)})"
        told = (
            f"Of {_counts(search)}, {len(front)} are on the front of {labels}, "
            f"from {first} to {last}"
        )
    return f"{told}; {_baseline_clause(search)}."


def _baseline_clause(search: Search) -> str:
    """Say whether the front beats the baseline of a sweep with several objectives."""
    base = search.baseline
    if not base.values:
        return "the baseline has no value"
    point = _point(search, base.values)
    if base.trial in search.front:
        return f"the baseline ({point}) is on it"
    beating = []
    for number in search.front:
        num_better, num_worse = search.against_baseline(search.trial(number).values)
        if num_better and not num_worse:
            beating.append(str(number))
    if not beating:
        return f"none beats the baseline ({point}) without a loss in some objective"
    if len(beating) > _MOST_NAMED:
        return f"{len(beating)} of them beat the baseline ({point}) without a loss in any objective"
    who = f"trial {beating[0]} beats" if len(beating) == 1 else f"trials {_listed(beating)} beat"
    return f"{who} the baseline ({point}) without a loss in any objective"


def _confirmed(search: Search) -> str:
    """Say what the confirmation said; empty where there was none."""
    result = search.confirmation
    if result is None or not result.rows:
        return ""
    head = f"Confirmation ({counted(result.num_seeds, 'seed')}, starts {result.starts}): "
    if len(result.rows) == 1:
        return f"{head}{_row_text(search, result.rows[0])}.{_broken(result)}"
    told = []
    several = len({row.game for row in result.rows}) > 1
    for verdict in _VERDICTS:
        rows = [row for row in result.rows if row.verdict == verdict]
        names = [_about(search, row, several) for row in rows]
        if names:
            told.append(f"{verdict}: {', '.join(names)}")
    return f"{head}{'; '.join(told)}.{_broken(result)}"


def _row_text(search: Search, row: ConfirmedRow) -> str:
    """Write a row of the confirmation with its difference."""
    places = value_places(search, row.objective)
    interval = bounds_text(row, places)
    span = f" ({interval})" if interval else ""
    return (
        f"{row.arm} differs from the baseline by {value_text(row.difference, places)}{span} "
        f"in {label_of(search.objectives[row.objective])}: {row.verdict}"
    )


def _about(search: Search, row: ConfirmedRow, several_games: bool) -> str:
    game = f", {row.game}" if several_games else ""
    return f"{row.arm} ({search.objectives[row.objective].label}{game})"


def confirmation_sentence(search: Search) -> str:
    """Say what the table of the confirmation holds, or that there was none."""
    result = search.confirmation
    if result is None:
        return f"Nothing was confirmed yet. {CAVEAT}"
    text = (
        f"The arms were run apart from the search with {counted(result.num_seeds, 'seed')}, on the "
        f"starts {result.starts}. Searched: the value that the search saw."
    )
    if any(row.p_corrected is not None for row in result.rows):
        text += (
            f" A difference counts where its interval leaves out 0 and its p is at most .05 after "
            f"Holm over {len(result.rows)} comparisons."
        )
    return f"{text}{_broken(result)}"


def _broken(result: Confirmation) -> str:
    """Say which constraints are not kept on the fresh runs."""
    kept = "; ".join(result.broken)
    return f" Constraints not kept there: {kept}." if kept else ""


def confirm_command(search: Search) -> str:
    """Return the command that confirms the result; empty where there is nothing to confirm."""
    return "" if search.confirm is None else search.confirm.command


def objectives_sentence(search: Search) -> str:
    """Say what the objectives are, by the names that tables have, and what is good."""
    told = (f"{short_label(each)}: {each.label} ({each.better})" for each in search.objectives)
    return f"{'; '.join(told)}."


def front_sentence(search: Search) -> str:
    """Say what the table of the front or of the best trials is."""
    told = (
        "Below a value: its 95% interval. A dash among the parameters: not asked for in this trial."
    )
    if search.is_single:
        return told
    return (
        "On the front are the trials that no other one beats in an objective without a loss in "
        f"another. {told}"
    )


def why_no_figure(search: Search) -> str:
    """Say why there is nothing to draw."""
    if not search.trials:
        return "no trial was made"
    return "no trial has a value"


def importance_reasons(search: Search) -> list[str]:
    """Say for which objectives nothing is known of the importance, and why."""
    return [
        f"{label_of(search.objectives[entry.objective])}: no importance, {entry.reason}."
        for entry in search.importance
        if entry.reason is not None
    ]


def search_sentence(search: Search) -> str:
    """Say how the search was made."""
    sampler, pruner = search.sampler, search.pruner
    told = f"Sampler {sampler.name}, seed {sampler.seed}; "
    if pruner is None:
        return f"{told}no pruner."
    if not pruner.at:
        return f"{told}pruner {pruner.name}, over {pruner.what}."
    steps = ", ".join(str(step) for step in pruner.at)
    return f"{told}pruner {pruner.name} at {steps} {pruner.what}."


def _alone(search: Search, objective: int, value: float, interval: Bounds | None) -> str:
    places = value_places(search, objective)
    span = f" ({bounds_text(interval, places)})" if interval is not None else ""
    return f"{value_text(value, places)}{span}"


def _point(search: Search, values: Sequence[float]) -> str:
    texts = []
    for index, value in enumerate(values):
        unit = search.objectives[index].unit
        texts.append(
            f"{value_text(value, value_places(search, index))}{f' {unit}' if unit else ''}"
        )
    return "; ".join(texts)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
