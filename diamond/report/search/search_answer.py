"""The answer of a search: the settings that it found, against the baseline, and how sure it is."""

from collections.abc import Sequence

from diamond.report.answer.arm_words import listed
from diamond.report.numbers import counted, label_of, parameter_text, valued
from diamond.report.search.search_prose import CAVEAT, STATES, broken, confirm_command
from diamond.results.answer_model import Answer, Part
from diamond.results.number_text import with_bounds, written
from diamond.results.search import Bounds, ConfirmedRow, Search, Trial

_MOST_NAMED = 4
_MOST_SETTINGS = 3
"""Trials of a front whose settings the answer tells."""
_VERDICTS = ("confirmed", "refuted", "undecided", "no interval")


def answer_search(search: Search, games: Sequence[str]) -> Answer:
    """Say which settings the search found, how far they are from the baseline, how sure that is."""
    best = None if search.best is None else search.trial(search.best).name
    game, sure = ", ".join(games), _sure(search)
    if not search.front:
        why = "no complete one keeps the constraints" if search.valued() else "none has a value"
        none = Part(head=f"There is no result: of {_counts(search)}, {why}.")
        return Answer(game=game, found=none, against=_against(search), sure=sure)
    text = _best_sentences(search) if search.is_single else _front_sentences(search)
    found = Part(head=_settings_sentence(search), text=text)
    return Answer(game=game, best=best, found=found, against=_against(search), sure=sure)


def _settings_sentence(search: Search) -> str:
    """Say the settings, in the words of the search space."""
    front = [search.trial(number) for number in search.front]
    if search.is_single:
        best = front[0]
        if best.number == search.baseline.trial:
            return f"No settings beat those of the preset: {_settings(search, best)}."
        return f"The best settings found: {_settings(search, best)}."
    ends = front if len(front) <= _MOST_SETTINGS else [front[0], front[-1]]
    told = "; ".join(_settings(search, trial) for trial in ends)
    where = "" if len(ends) == len(front) else f"; {len(front) - len(ends)} more lie between"
    labels = listed([objective.label for objective in search.objectives])
    return f"The best settings found for {labels}: {told}{where}."


def _settings(search: Search, trial: Trial) -> str:
    asked = [each.name for each in search.space if each.name in trial.params]
    return " ".join(f"{name}={parameter_text(trial.params[name])}" for name in asked)


def _against(search: Search) -> Part:
    """Say what the best of many is worth, and which settings mattered."""
    head = CAVEAT if search.confirmation is None else "The confirmation used fresh runs."
    told = []
    for entry in search.importance:
        if entry.rows:
            label = search.objectives[entry.objective].label
            share = entry.rows[0]
            part = written(share.value, share.lo, share.hi).text
            told.append(f"{share.name} matters most for {label} ({part} of 1).")
    return Part(head=head, text=" ".join(told))


def _sure(search: Search) -> Part:
    told = _confirmed(search)
    if told:
        return Part(head=told)
    return Part(head="Nothing was confirmed yet.", command=confirm_command(search))


def _counts(search: Search) -> str:
    """Return how many trials there are, and how they ended where not all of them are complete."""
    num_trials = len(search.trials)
    counts = [(state, len(search.in_state(state))) for state in STATES]
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    text = "1 trial" if num_trials == 1 else f"{num_trials} trials"
    return text if num_trials == counts[0][1] else f"{text} ({told})"


def _best_sentences(search: Search) -> str:
    """Say which trial is the best and how far it is from the baseline."""
    objective = search.objectives[0]
    best = search.trial(search.front[0])
    value = best.values[0]
    text = f"{label_of(objective)} {with_bounds(valued(value, best.interval(0)))}"
    if best.number == search.baseline.trial:
        return f"None of {_counts(search)} beats the baseline, which has {text}."
    told = f"The best of {_counts(search)} is {best.name} with {text}"
    if not search.baseline.values:
        return f"{told}; the baseline has no value."
    base = search.baseline.values[0]
    gain = objective.sign * (base - value)
    if gain == 0:
        return f"{told}, as much as the baseline has."
    than = f"the baseline's {with_bounds(valued(base, search.baseline_interval(0)))}"
    way = "better" if gain > 0 else "worse"
    return f"{told}, {written(abs(gain)).text} {way} than {than}."


def _front_sentences(search: Search) -> str:
    """Say how long the front is, where it ends and where the baseline is."""
    front = [search.trial(number) for number in search.front]
    labels = listed([objective.label for objective in search.objectives])
    first = f"{front[0].name} ({_point(search, front[0])})"
    if len(front) == 1:
        told = f"Of {_counts(search)}, {first} alone is on the front of {labels}"
    else:
        last = f"{front[-1].name} ({_point(search, front[-1])})"
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
    point = _baseline_point(search)
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
    who = f"trial {beating[0]} beats" if len(beating) == 1 else f"trials {listed(beating)} beat"
    return f"{who} the baseline ({point}) without a loss in any objective"


def _confirmed(search: Search) -> str:
    """Say what the confirmation said; empty where there was none."""
    result = search.confirmation
    if result is None or not result.rows:
        return ""
    head = f"Confirmation ({counted(result.num_seeds, 'seed')}, starts {result.starts}): "
    if len(result.rows) == 1:
        return f"{head}{_row_text(search, result.rows[0])}.{broken(result)}"
    told = []
    several = len({row.game for row in result.rows}) > 1
    for verdict in _VERDICTS:
        rows = [row for row in result.rows if row.verdict == verdict]
        names = [_about(search, row, several) for row in rows]
        if names:
            told.append(f"{verdict}: {', '.join(names)}")
    return f"{head}{'; '.join(told)}.{broken(result)}"


def _row_text(search: Search, row: ConfirmedRow) -> str:
    """Write a row of the confirmation with its difference."""
    found = with_bounds(written(row.difference, row.lo, row.hi))
    label = label_of(search.objectives[row.objective])
    return f"{row.arm} differs from the baseline by {found} in {label}: {row.verdict}"


def _about(search: Search, row: ConfirmedRow, several_games: bool) -> str:
    game = f", {row.game}" if several_games else ""
    return f"{row.arm} ({search.objectives[row.objective].label}{game})"


def _point(search: Search, trial: Trial) -> str:
    return _texts(search, trial.values, [trial.interval(i) for i in range(len(trial.values))])


def _baseline_point(search: Search) -> str:
    values = search.baseline.values
    return _texts(search, values, [search.baseline_interval(i) for i in range(len(values))])


def _texts(search: Search, values: Sequence[float], bounds: Sequence[Bounds | None]) -> str:
    texts = []
    for objective, value, interval in zip(search.objectives, values, bounds, strict=True):
        unit = f" {objective.unit}" if objective.unit else ""
        texts.append(f"{valued(value, interval).text}{unit}")
    return "; ".join(texts)
