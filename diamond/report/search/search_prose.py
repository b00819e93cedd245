"""What a page says of a search in words: the confirmation, the front, what is missing."""

from diamond.report.numbers import counted, label_of, short_label
from diamond.results.search import Confirmation, Search, TrialState

CAVEAT = (
    "A search result is not a finding until it is confirmed: the best of many trials looks better "
    "than it is."
)
SLICES = (
    "Each point is a trial, in which the other parameters changed too; the darker, the later. "
    "Light grey: it breaks a constraint. Dashed: the value of the baseline."
)
STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running")


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
    return f"{text}{broken(result)}"


def broken(result: Confirmation) -> str:
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
