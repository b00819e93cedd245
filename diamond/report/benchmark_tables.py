"""Scores of a benchmark as tables."""

from collections.abc import Sequence
from dataclasses import replace

from diamond.config.game_names import GAMES
from diamond.report.latex import table_latex
from diamond.report.table import Cell, Row, Table
from diamond.report.tables import HNS_LABELS as LABELS
from diamond.report.tables import estimate_cell
from diamond.report.terminal import HEAD_WIDTH
from diamond.results.benchmark_model import Benchmark, PublishedGroup, PublishedScores, ScoredFile
from diamond.results.number_text import ABSENT, number, written
from diamond.stats.aggregates import AGGREGATES

SHOWN_AGENTS = ("DIAMOND", "STORM", "DreamerV3", "IRIS", "Simulus", "BBF")
"""Published agents with a column of their own, as far as they fit; the document has all."""

PRINTED_MARK = "†"
PLACES = 3

_GAME_WIDTH = 15
_NARROWEST = 9
_NUM_KNOWN = 2
"""Columns of random and human scores, before those of the files."""


def benchmark_tables(doc: Benchmark) -> list[Table]:
    """Lay out what is known of files of scores.

    Returns:
        Aggregates for every set of games that a file has, comparisons where there are several
        files, and scores by game.
    """
    tables = [_aggregates(doc, group) for group in doc.published]
    if doc.comparisons:
        tables.append(_comparisons(doc))
    return [*tables, _per_game(doc)]


def terminal_tables(doc: Benchmark, width: int) -> list[Table]:
    """Return the tables as they fit a terminal: scores by game in several where they are wide."""
    *tables, per_game = benchmark_tables(doc)
    return [*tables, *_side_by_side(per_game, len(doc.files), width)]


def benchmark_latex(doc: Benchmark) -> str:
    """Write the tables as LaTeX, one after the other."""
    seed = f"{doc.seed}, {doc.num_resamples} resamples; {doc.method}"
    notes = {"made by": "diamond scores", "seed": seed}
    tables = enumerate(benchmark_tables(doc), start=1)
    return "\n".join(table_latex(table, f"scores-{number}", notes) for number, table in tables)


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


def _aggregates(doc: Benchmark, group: PublishedGroup) -> Table:
    files = [file for file in doc.files if file.games == group.games]
    rows = [
        Row(
            file.label,
            "arm",
            (
                Cell(str(file.num_runs)),
                *(estimate_cell(file.aggregates[name]) for name in AGGREGATES),
                Cell(str(file.superhuman)),
            ),
        )
        for file in files
    ]
    for agent in group.agents:
        count = ABSENT if agent.superhuman is None else str(agent.superhuman)
        cells = (_published_cell(agent, name) for name in AGGREGATES)
        rows.append(Row(agent_name(agent), "baseline", (Cell(ABSENT), *cells, Cell(count))))
    title = f"Human-normalised scores over {games_title(group.games)}"
    columns = ("agent", "runs", *LABELS.values(), "superhuman")
    ranks = (1, 5, 3, 6, 2, 0)
    return Table(title, columns, tuple(rows), _caption(doc, files, group), ranks=ranks)


def _published_cell(agent: PublishedScores, name: str) -> Cell:
    value, quoted = agent.aggregate(name)
    return Cell(written(value).text + (PRINTED_MARK if quoted else ""))


def _caption(doc: Benchmark, files: Sequence[ScoredFile], group: PublishedGroup) -> str:
    told = []
    if any(file.num_runs > 1 for file in files):
        told.append(
            f"Below a value: its {level_name(doc)} interval ({doc.method}; "
            f"{doc.num_resamples} resamples, seed {doc.seed})."
        )
    told += [f"{file.label}: {note}." for file in files for note in file.notes]
    told.append("Published agents, last: computed from their mean scores of these same games.")
    if len(group.games) == len(GAMES):
        told.append(f"{PRINTED_MARK} as printed by its source; the single runs are not published.")
    return "\n".join(told)


def _comparisons(doc: Benchmark) -> Table:
    rows = [
        Row(
            found.x,
            "arm",
            (
                Cell(found.y),
                Cell(str(len(found.games))),
                Cell(*written(found.probability, found.lo, found.hi)),
                Cell("; ".join(found.notes)),
            ),
        )
        for found in doc.comparisons
    ]
    title = "Probability that a run of X scores above a run of Y, mean over games"
    columns = ("X", "Y", "games", "P(X > Y)", "note")
    caption = f"Below a value: its {level_name(doc)} interval."
    return Table(title, columns, tuple(rows), caption, frozenset({"Y", "note"}))


def _per_game(doc: Benchmark) -> Table:
    """Return scores by game: every file, then the published agents."""
    agents = shown_agents(doc)
    scores = [{game: found.mean for game, found in file.per_game.items()} for file in doc.files]
    rows = []
    for game, reference in doc.references.items():
        known = (Cell(number(value, 1)) for value in (reference.random, reference.human))
        cells = (_score(found.get(game), reference.human) for found in (*scores, *agents.values()))
        rows.append(Row(game, "game", (*known, *cells)))
    columns = ("game", "random", "human", *(file.label for file in doc.files), *agents)
    caption = "Bold: at least the human score. All agents and their sources: --json."
    return Table("Mean score of each game", columns, tuple(rows), caption)


def _score(value: float | None, human: float) -> Cell:
    return Cell(number(value, 1), tone="strong" if value is not None and value >= human else "")


def _side_by_side(table: Table, num_files: int, width: int) -> list[Table]:
    """Part a table of scores by game so that it fits; agents only where room is left."""
    groups: list[list[int]] = [[]]
    room = left = width - _GAME_WIDTH - _NUM_KNOWN * _NARROWEST
    for place, column in enumerate(table.columns[1 + _NUM_KNOWN :]):
        needed = max(_NARROWEST, min(HEAD_WIDTH, len(column))) + 1
        if needed > left and place >= num_files:
            break
        if needed > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(_NUM_KNOWN + place)
        left -= needed
    return [_part(table, [*range(_NUM_KNOWN), *group]) for group in groups]


def _part(table: Table, places: Sequence[int]) -> Table:
    """Return a table with some of its columns beside the names."""
    columns = (table.columns[0], *(table.columns[1 + place] for place in places))
    rows = (replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows)
    return replace(table, columns=columns, rows=tuple(rows))
