"""What the report of a sweep says in words: the answer, the confirmation, what is missing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diamond.report.document import Document
from diamond.report.sweep_document import (
    BETTER,
    STATES,
    baseline_interval,
    compared,
    interval_of,
    interval_text,
    is_single,
    label_of,
    short_label,
    sign,
    trial_of,
    trials_in,
    value_places,
    value_text,
    valued_trials,
)

CAVEAT = (
    "A search result is not a finding until it is confirmed: the best of many trials looks better "
    "than it is."
)
_MOST_NAMED = 4
_VERDICTS = ("confirmed", "refuted", "undecided", "no interval")


def sweep_summary(doc: Document) -> str:
    """Say how the search ended: trials, the best or the front, the baseline, the confirmation.

    Args:
        doc: The document of a sweep; its own ``summary`` is not read.

    Returns:
        Two sentences without line breaks.
    """
    if not valued_trials(doc):
        return f"There is no result: none of {_counts(doc)} has a value."
    if not doc["front"]:
        return f"There is no result: of {_counts(doc)}, no complete one keeps the constraints."
    found = _best_sentences(doc) if is_single(doc) else _front_sentences(doc)
    return f"{found} {_confirmed(doc) or CAVEAT}"


def _counts(doc: Document) -> str:
    """Return how many trials there are, and how they ended where not all of them are complete."""
    num_trials = len(doc["trials"])
    counts = [(state, len(trials_in(doc, state))) for state in STATES]
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    text = "1 trial" if num_trials == 1 else f"{num_trials} trials"
    return text if num_trials == counts[0][1] else f"{text} ({told})"


def _best_sentences(doc: Document) -> str:
    """Say which trial is the best and how far it is from the baseline."""
    objective, places = doc["objectives"][0], value_places(doc, 0)
    best = trial_of(doc, doc["best"])
    value = best["values"][0]
    text = f"{label_of(objective)} {_alone(doc, 0, value, interval_of(best, 0))}"
    if best["number"] == doc["baseline"]["trial"]:
        return f"None of {_counts(doc)} beats the baseline, which has {text}."
    told = f"The best of {_counts(doc)} is {best['name']} with {text}"
    if doc["baseline"]["values"] is None:
        return f"{told}; the baseline has no value."
    base = doc["baseline"]["values"][0]
    gain = sign(objective) * (base - value)
    if gain == 0:
        return f"{told}, as much as the baseline has."
    than = f"the baseline's {_alone(doc, 0, base, baseline_interval(doc, 0))}"
    way = "better" if gain > 0 else "worse"
    return f"{told}, {value_text(abs(gain), places)} {way} than {than}."


def _front_sentences(doc: Document) -> str:
    """Say how long the front is, where it ends and where the baseline is."""
    front = [trial_of(doc, number) for number in doc["front"]]
    labels = _listed([objective["label"] for objective in doc["objectives"]])
    first = f"{front[0]['name']} ({_point(doc, front[0]['values'])})"
    if len(front) == 1:
        told = f"Of {_counts(doc)}, {first} alone is on the front of {labels}"
    else:
        last = f"{front[-1]['name']} ({_point(doc, front[-1]['values'])})"
        told = (
            f"Of {_counts(doc)}, {len(front)} are on the front of {labels}, from {first} to {last}"
        )
    return f"{told}; {_baseline_clause(doc)}."


def _baseline_clause(doc: Document) -> str:
    """Say whether the front beats the baseline of a sweep with several objectives."""
    base = doc["baseline"]
    if base["values"] is None:
        return "the baseline has no value"
    point = _point(doc, base["values"])
    if base["trial"] in doc["front"]:
        return f"the baseline ({point}) is on it"
    beating = []
    for number in doc["front"]:
        num_better, num_worse = compared(doc, trial_of(doc, number)["values"])
        if num_better and not num_worse:
            beating.append(str(number))
    if not beating:
        return f"none beats the baseline ({point}) without a loss in some objective"
    if len(beating) > _MOST_NAMED:
        return f"{len(beating)} of them beat the baseline ({point}) without a loss in any objective"
    who = f"trial {beating[0]} beats" if len(beating) == 1 else f"trials {_listed(beating)} beat"
    return f"{who} the baseline ({point}) without a loss in any objective"


def _confirmed(doc: Document) -> str:
    """Say what the confirmation said; empty where there was none."""
    result = (doc["confirm"] or {}).get("result")
    if not result or not result["rows"]:
        return ""
    head = f"Confirmation ({_seeds(result['num_seeds'])}, starts {result['starts']}): "
    if len(result["rows"]) == 1:
        return f"{head}{_row_text(doc, result['rows'][0])}.{_broken(result)}"
    told = []
    several = len({row["game"] for row in result["rows"]}) > 1
    for verdict in _VERDICTS:
        rows = [row for row in result["rows"] if row["verdict"] == verdict]
        names = [_about(doc, row, several) for row in rows]
        if names:
            told.append(f"{verdict}: {', '.join(names)}")
    return f"{head}{'; '.join(told)}.{_broken(result)}"


def _row_text(doc: Document, row: Mapping[str, Any]) -> str:
    """Write a row of the confirmation with its difference."""
    places = value_places(doc, row["objective"])
    bounds = None if row["lo"] is None or row["hi"] is None else {"lo": row["lo"], "hi": row["hi"]}
    span = f" ({interval_text(bounds, places)})" if bounds else ""
    return (
        f"{row['arm']} differs from the baseline by {value_text(row['difference'], places)}{span} "
        f"in {label_of(doc['objectives'][row['objective']])}: {row['verdict']}"
    )


def _about(doc: Document, row: Mapping[str, Any], several_games: bool) -> str:
    game = f", {row['game']}" if several_games else ""
    return f"{row['arm']} ({doc['objectives'][row['objective']]['label']}{game})"


def confirmation_sentence(doc: Document) -> str:
    """Say what the table of the confirmation holds, or that there was none."""
    result = (doc["confirm"] or {}).get("result")
    if not result:
        return f"Nothing was confirmed yet. {CAVEAT}"
    text = (
        f"The arms were run apart from the search with {_seeds(result['num_seeds'])}, on the "
        f"starts {result['starts']}. Searched: the value that the search saw."
    )
    if any(row.get("p_corrected") is not None for row in result["rows"]):
        text += (
            f" A difference counts where its interval leaves out 0 and its p is at most .05 after "
            f"Holm over {len(result['rows'])} comparisons."
        )
    return f"{text}{_broken(result)}"


def _broken(result: Mapping[str, Any]) -> str:
    """Say which constraints are not kept on the fresh runs."""
    found = result.get("broken", [])
    return f" Constraints not kept there: {'; '.join(found)}." if found else ""


def confirm_command(doc: Document) -> str:
    """Return the command that confirms the result; empty where there is nothing to confirm."""
    return str((doc["confirm"] or {}).get("command") or "")


def objectives_sentence(doc: Document) -> str:
    """Say what the objectives are, by the names that tables have, and what is good."""
    told = (
        f"{short_label(each)}: {each['label']} ({BETTER[each['direction']]})"
        for each in doc["objectives"]
    )
    return f"{'; '.join(told)}."


def front_sentence(doc: Document) -> str:
    """Say what the table of the front or of the best trials is."""
    told = (
        "Below a value: its 95% interval. A dash among the parameters: not asked for in this trial."
    )
    if is_single(doc):
        return told
    return (
        "On the front are the trials that no other one beats in an objective without a loss in "
        f"another. {told}"
    )


def why_no_figure(doc: Document) -> str:
    """Say why there is nothing to draw."""
    if not doc["trials"]:
        return "no trial was made"
    return "no trial has a value"


def importance_reasons(doc: Document) -> list[str]:
    """Say for which objectives nothing is known of the importance, and why."""
    return [
        f"{label_of(doc['objectives'][entry['objective']])}: no importance, {entry['reason']}."
        for entry in doc["importance"]
        if entry["reason"] is not None
    ]


def search_sentence(doc: Document) -> str:
    """Say how the search was made."""
    sampler, pruner = doc["sampler"], doc["pruner"]
    told = f"Sampler {sampler['name']}, seed {sampler['seed']}; "
    if pruner is None:
        return f"{told}no pruner."
    if not pruner["at"]:
        return f"{told}pruner {pruner['name']}, over {pruner['what']}."
    steps = ", ".join(str(step) for step in pruner["at"])
    return f"{told}pruner {pruner['name']} at {steps} {pruner['what']}."


def sweep_provenance(doc: Document) -> list[tuple[str, str]]:
    """Return what made the result, as (name, value) pairs in reading order."""
    made_by = doc["provenance"]
    dirty = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}
    versions = ", ".join(f"{name} {version}" for name, version in made_by["versions"].items())
    return [
        ("study", doc["study"]),
        ("file", _known(doc["file"])),
        ("preset", doc["preset"]),
        ("games", ", ".join(doc["games"])),
        ("seeds", ", ".join(str(seed) for seed in doc["seeds"])),
        ("protocol", doc["protocol"]),
        ("last stage of a trial", _known(doc["until"])),
        ("horizon", f"{doc['horizon']} time steps"),
        ("search", search_sentence(doc)),
        ("storage", _known(doc["paths"]["storage"])),
        ("git commit", f"{_known(made_by['git_commit'])}{dirty[made_by['dirty']]}"),
        ("device", _known(made_by["device"])),
        ("versions", versions),
    ]


def sweep_config_text(doc: Document) -> str:
    """Return the configuration that trials change, as indented JSON with sorted keys."""
    config = doc["provenance"]["config"]
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)


def _alone(
    doc: Document, objective: int, value: float, interval: Mapping[str, float] | None
) -> str:
    places = value_places(doc, objective)
    span = f" ({interval_text(interval, places)})" if interval is not None else ""
    return f"{value_text(value, places)}{span}"


def _point(doc: Document, values: Sequence[float]) -> str:
    texts = []
    for index, value in enumerate(values):
        unit = doc["objectives"][index]["unit"]
        texts.append(f"{value_text(value, value_places(doc, index))}{f' {unit}' if unit else ''}")
    return "; ".join(texts)


def _known(value: object) -> str:
    return "unknown" if value is None else str(value)


def _seeds(num_seeds: int) -> str:
    return "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
