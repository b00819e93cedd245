"""Scores of a benchmark as tables for a terminal; LaTeX is in `benchmark_latex`."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from diamond.config.games import GAMES
from diamond.report.numbers import ABSENT, number, span
from diamond.results.benchmark_model import Benchmark, PublishedGroup, PublishedScores, ScoredFile
from diamond.results.model import Estimate
from diamond.stats.aggregates import AGGREGATES

SHOWN_AGENTS = ("DIAMOND", "STORM", "DreamerV3", "IRIS", "Simulus", "BBF")
"""Published agents with a column of their own, as far as they fit; the document has all."""

LABELS = {"mean": "mean", "median": "median", "iqm": "IQM", "optimality_gap": "optimality gap"}
PRINTED_MARK = "†"
PLACES = 3

_WIDTH = 100
_NARROWEST = 9
_WIDEST = 20


def benchmark_tables(doc: Benchmark) -> list[Table]:
    """Lay out a document for a terminal of 100 columns.

    Returns:
        Aggregates for every set of games that a file has, comparisons where there are several
        files, and scores by game, in several tables where the columns need them.
    """
    tables = [_aggregates(doc, group) for group in doc.published]
    if doc.comparisons:
        tables.append(_comparisons(doc))
    return [*tables, *_per_game(doc)]


def level_name(doc: Benchmark) -> str:
    """Return the nominal coverage of the intervals, such as ``95 %``."""
    return f"{doc.level * 100:g} %"


def games_title(games: Sequence[str]) -> str:
    """Say how many of the games there are, and which where they are few."""
    if len(games) == len(GAMES):
        return f"all {len(GAMES)} games"
    named = f" ({', '.join(games)})" if len(games) <= 4 else ""
    return f"{len(games)} of {len(GAMES)} games{named}"


def shown_agents(doc: Benchmark) -> dict[str, dict[str, float]]:
    """Return the scores by game of the published agents that get a column."""
    found: dict[str, dict[str, float]] = {name: {} for name in SHOWN_AGENTS}
    for group in doc.published:
        for agent in group.agents:
            if agent.agent in found:
                found[agent.agent] |= agent.scores or {}
    return found


def agent_name(agent: PublishedScores) -> str:
    """Name a published agent with its year, and its number of games where that is not the usual."""
    games = agent.printed and agent.printed.games
    return f"{agent.agent} ({agent.year}{f', {games} games' if games else ''})"


def _table(title: str, caption: str = "") -> Table:
    return Table(
        title=title,
        caption=caption or None,
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )


def _aggregates(doc: Benchmark, group: PublishedGroup) -> Table:
    files = [file for file in doc.files if file.games == group.games]
    table = _table(
        f"Human-normalised scores over {games_title(group.games)}", _caption(doc, files, group)
    )
    table.add_column("agent", overflow="fold")
    for head in ("runs", "mean", "median", "IQM", "opt. gap", "superhuman"):
        table.add_column(head, justify="right")
    for file in files:
        cells = [_estimate(file.aggregates[name]) for name in AGGREGATES]
        label = Text(file.label, style="bold")
        table.add_row(label, str(file.num_runs), *cells, str(file.superhuman))
    for agent in group.agents:
        cells = [_published_cell(agent, name) for name in AGGREGATES]
        count = agent.superhuman
        last = ABSENT if count is None else str(count)
        name = agent_name(agent)
        table.add_row(name, ABSENT, *cells, last, style="dim")
    return table


def _estimate(found: Estimate) -> Text:
    text = Text(number(found.mean, PLACES))
    interval = span(found.lo, found.hi, PLACES)
    if interval:
        text.append(f"\n{interval}", style="dim")
    return text


def _published_cell(agent: PublishedScores, name: str) -> Text:
    value, quoted = agent.aggregate(name)
    return Text(number(value, PLACES) + (PRINTED_MARK if quoted else ""))


def _caption(doc: Benchmark, files: Sequence[ScoredFile], group: PublishedGroup) -> str:
    told = []
    if any(file.num_runs > 1 for file in files):
        told.append(
            f"Below a value: its {level_name(doc)} interval ({doc.method}; "
            f"{doc.num_resamples} resamples, seed {doc.seed})."
        )
    told += [f"{file.label}: {note}." for file in files for note in file.notes]
    told.append("Published agents, dim: computed from their mean scores of these same games.")
    if len(group.games) == len(GAMES):
        told.append(f"{PRINTED_MARK} as printed by its source; the single runs are not published.")
    return "\n".join(told)


def _comparisons(doc: Benchmark) -> Table:
    table = _table("Probability that a run of X scores above a run of Y, mean over games")
    table.add_column("X", overflow="fold")
    table.add_column("Y", overflow="fold")
    table.add_column("games", justify="right")
    table.add_column("P(X > Y)", justify="right")
    table.add_column(f"{level_name(doc)} interval", justify="right")
    table.add_column("note", overflow="fold")
    for found in doc.comparisons:
        table.add_row(
            Text(found.x),
            Text(found.y),
            str(len(found.games)),
            number(found.probability, PLACES),
            span(found.lo, found.hi, PLACES),
            "; ".join(found.notes),
        )
    return table


def _per_game(doc: Benchmark) -> list[Table]:
    """Return scores by game: every file, and the published agents that fit beside the last."""
    references = doc.references
    files = [(Text(file.label, style="bold"), _means(file)) for file in doc.files]
    agents = [(Text(name), scores) for name, scores in shown_agents(doc).items()]
    tables = []
    for columns in _side_by_side(files, agents, _WIDTH - 15 - 2 * _NARROWEST):
        table = _table(
            "Mean score of each game",
            "Bold: at least the human score. All agents and their sources: --json.",
        )
        table.add_column("game")
        for name in ("random", "human"):
            table.add_column(name, justify="right")
        for head, _ in columns:
            table.add_column(head, justify="right", overflow="fold", max_width=_WIDEST)
        for game, reference in references.items():
            cells = [_score(scores.get(game), reference.human) for _, scores in columns]
            known = (number(value, 1) for value in (reference.random, reference.human))
            table.add_row(game, *known, *cells)
        tables.append(table)
    return tables


def _means(file: ScoredFile) -> dict[str, float]:
    return {game: values.mean for game, values in file.per_game.items()}


def _score(value: float | None, human: float) -> Text:
    superhuman = value is not None and value >= human
    return Text(number(value, 1), style="bold" if superhuman else "")


_Column = tuple[Text, dict[str, float]]


def _side_by_side(
    needed: Sequence[_Column], optional: Sequence[_Column], room: int
) -> list[list[_Column]]:
    """Group the columns in order so that they fit; optional ones only where room is left."""
    groups: list[list[_Column]] = [[]]
    left = room
    for column in needed:
        if groups[-1] and _width(column) > left:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= _width(column)
    for column in optional:
        if _width(column) > left:
            break
        groups[-1].append(column)
        left -= _width(column)
    return groups


def _width(column: _Column) -> int:
    return max(_NARROWEST, min(_WIDEST, column[0].cell_len)) + 1
