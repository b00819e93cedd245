"""Scores of a benchmark as LaTeX tables that need the package booktabs."""

from diamond.report.benchmark_tables import (
    LABELS,
    PLACES,
    agent_name,
    games_title,
    level_name,
    shown_agents,
)
from diamond.report.latex import LATEX_ABSENT, escape, tabular
from diamond.report.numbers import number as plain_number
from diamond.results.benchmark_model import Benchmark, PublishedGroup, PublishedScores
from diamond.results.model import Estimate
from diamond.stats.aggregates import AGGREGATES


def benchmark_latex(doc: Benchmark) -> str:
    """Write the tables of a document: aggregates, comparisons, scores by game."""
    parts = [
        r"% made by `diamond scores`; needs \usepackage{booktabs}",
        f"% seed {doc.seed}, {doc.num_resamples} resamples; {doc.method}",
        *(_aggregates(doc, group) for group in doc.published),
        *([_comparisons(doc)] if doc.comparisons else []),
        _per_game(doc),
    ]
    return "\n".join(parts) + "\n"


def _number(value: float | None, places: int) -> str:
    return plain_number(value, places).replace("-", "$-$")


def _aggregates(doc: Benchmark, group: PublishedGroup) -> str:
    files = [file for file in doc.files if file.games == group.games]
    rows = [
        [
            escape(file.label),
            *(_estimate(file.aggregates[name]) for name in AGGREGATES),
            str(file.superhuman),
        ]
        for file in files
    ]
    published = [
        [
            escape(agent_name(agent)),
            *(_published(agent, name) for name in AGGREGATES),
            LATEX_ABSENT if agent.superhuman is None else str(agent.superhuman),
        ]
        for agent in group.agents
    ]
    notes = [f"{file.label}: {note}." for file in files for note in file.notes]
    caption = " ".join(
        [
            f"Human-normalised scores over {games_title(group.games)}.",
            *(
                [f"In brackets: {level_name(doc)} intervals."]
                if any(file.num_runs > 1 for file in files)
                else []
            ),
            *notes,
            "Below the line: published agents, from their mean scores of these games",
        ]
    )
    dagger = r"; \textdagger\ as printed." if group.agents[0].printed else "."
    head = ["agent", *LABELS.values(), "superhuman"]
    return tabular(head, [rows, published], escape(caption) + dagger)


def _estimate(found: Estimate) -> str:
    return _span(found.mean, found.lo, found.hi)


def _span(value: float | None, lo: float | None, hi: float | None) -> str:
    text = _number(value, PLACES)
    return text if lo is None else f"{text} [{_number(lo, PLACES)}, {_number(hi, PLACES)}]"


def _published(agent: PublishedScores, name: str) -> str:
    value, quoted = agent.aggregate(name)
    if value is None:
        return LATEX_ABSENT
    return _number(value, PLACES) + (r"\textdagger" if quoted else "")


def _comparisons(doc: Benchmark) -> str:
    rows = [
        [
            escape(found.x),
            escape(found.y),
            str(len(found.games)),
            LATEX_ABSENT
            if found.probability is None
            else _span(found.probability, found.lo, found.hi),
            escape("; ".join(found.notes)),
        ]
        for found in doc.comparisons
    ]
    caption = "Probability that a run of X scores above a run of Y, mean over games."
    return tabular(["X", "Y", "games", "$P(X > Y)$", ""], [rows], caption)


def _per_game(doc: Benchmark) -> str:
    agents = shown_agents(doc)
    rows = []
    for game, reference in doc.references.items():
        known = [file.per_game.get(game) for file in doc.files]
        means = [None if found is None else found.mean for found in known]
        means += [scores.get(game) for scores in agents.values()]
        cells = [_score(mean, reference.human) for mean in means]
        rows.append([game, _number(reference.random, 1), _number(reference.human, 1), *cells])
    labels = [*(file.label for file in doc.files), *agents]
    head = ["game", "random", "human", *map(escape, labels)]
    return tabular(head, [rows], "Mean score of each game; bold: at least the human score.")


def _score(mean: float | None, human: float) -> str:
    if mean is None:
        return LATEX_ABSENT
    text = _number(mean, 1)
    return rf"\textbf{{{text}}}" if mean >= human else text
