"""What the page of a search shows of its own: the front or the best, what matters, all trials."""

from diamond.report.render import Section
from diamond.report.search import search_prose as prose
from diamond.report.search import search_tables as tables
from diamond.results.arm_model import first_cause
from diamond.results.model import Result

ROLES = ("search", "importance", "slices", "reports")
"""The history or the front, shares of the parameters, slices, reports to the pruner."""


def search_section(result: Result) -> Section:
    """Return the section of a search; what has no data is empty or says why.

    Args:
        result: Of a sweep.
    """
    # Optuna draws, which an ablation does without.
    from diamond.report.search.search_pictures import search_pictures  # noqa: PLC0415

    search = result.search
    assert search is not None, "a sweep has trials"
    pictures, trials = search_pictures(search), tables.trials_table(search)
    context = {
        "pictures": {role: [one for one in pictures if one.role == role] for role in ROLES},
        "single": search.is_single,
        "leading": tables.leading_table(search),
        "any_leads": bool(search.leading()),
        "objectives_sentence": prose.objectives_sentence(search),
        "front_sentence": prose.front_sentence(search),
        "slices_sentence": prose.SLICES,
        "confirm_command": prose.confirm_command(search),
        "confirmation": tables.confirmation_table(search),
        "confirmation_sentence": prose.confirmation_sentence(search),
        "why_no_figure": prose.why_no_figure(search),
        "importance": tables.importance_table(search),
        "importance_reasons": prose.importance_reasons(search),
        "constraints": tables.constraints_table(search),
        "failed": [
            {
                "name": trial.name,
                "cause": first_cause(trial.error),
                "attempts": trial.attempts,
                "error": (trial.error or "").strip(),
            }
            for trial in search.in_state("failed")
        ],
        "trials": trials,
        "space": tables.space_table(search),
        "budget": tables.budget_table(search),
        "search_sentence": prose.search_sentence(search),
        "config_title": "Configuration that trials change",
    }
    csv = {"tables/trials.csv": tables.trials_csv(search)} if trials.rows else {}
    return Section("search", context, pictures, {"trials": trials}, csv)
