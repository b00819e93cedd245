"""From files of scores to what they say: aggregates, profiles, comparisons, published agents."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from diamond.arrays import FloatArray
from diamond.config.game_names import GAMES
from diamond.config.published_scores import AggregatesOnly, PublishedAgent, published
from diamond.results.benchmark_model import (
    Benchmark,
    GameMean,
    Improvement,
    Printed,
    Profile,
    PublishedGroup,
    PublishedScores,
    Reference,
    ScoredFile,
)
from diamond.results.metric_model import Estimate
from diamond.results.score_files import ScoreFile
from diamond.seeds import Purpose, derive
from diamond.stats import aggregates
from diamond.stats.intervals import LEVEL

PROFILE_STEP = 0.05
PROFILE_END = 8.0
"""In HNS; the best published game means lie below, but for three of ten times human and more."""


def benchmark(files: Sequence[ScoreFile], seed: int, num_resamples: int) -> Benchmark:
    """Compute everything that is known of some files of scores.

    Args:
        files: Files with distinct labels, at least one.
        seed: Seed of all resampling. Intervals of a file depend on it and on the file alone, so
            that another file beside it changes nothing.
    """
    facts = published()
    return Benchmark(
        benchmark=facts.benchmark,
        hns=facts.hns,
        seed=seed,
        num_resamples=num_resamples,
        level=LEVEL,
        method="percentile bootstrap, runs resampled within each game",
        files=tuple(_file(file, seed, num_resamples) for file in files),
        comparisons=tuple(
            _comparison(x, y, seed, num_resamples) for x, y in combinations(files, 2)
        ),
        references={
            game: Reference(random=facts.random[game], human=facts.human[game])
            for game in _games_of(files)
        },
        published=tuple(
            _published_group(games) for games in dict.fromkeys(file.games for file in files)
        ),
    )


def _file(file: ScoreFile, seed: int, num_resamples: int) -> ScoredFile:
    scores, hns = _points(file, file.games), _hns(file, file.games)
    stream = derive(seed, Purpose.SCORES_BOOTSTRAP, "aggregates")
    found = aggregates.stratified_bootstrap(
        hns, aggregates.aggregates, stream, num_resamples=num_resamples
    )
    human = np.array([published().human[game] for game in file.games])
    return ScoredFile(
        label=file.label,
        path=str(file.path),
        games=file.games,
        num_runs=file.num_runs,
        aggregates={
            name: Estimate(
                mean=found.values[index], lo=found.lo[index], hi=found.hi[index], n=file.num_runs
            )
            for index, name in enumerate(aggregates.AGGREGATES)
        },
        superhuman=aggregates.superhuman(scores, human),
        profile=_profile(hns, seed, num_resamples),
        per_game={
            game: GameMean(
                scores=file.scores[game],
                mean=float(scores[:, index].mean()),
                hns=float(hns[:, index].mean()),
            )
            for index, game in enumerate(file.games)
        },
        notes=_notes(file),
    )


def _profile(hns: FloatArray, seed: int, num_resamples: int) -> Profile:
    num_taus = round(PROFILE_END / PROFILE_STEP) + 1
    taus = np.linspace(0.0, PROFILE_END, num_taus, dtype=np.float64)
    found = aggregates.stratified_bootstrap(
        hns,
        lambda scores: aggregates.performance_profile(scores, taus),
        derive(seed, Purpose.SCORES_BOOTSTRAP, "profile"),
        num_resamples=num_resamples,
    )
    return Profile(
        tau=tuple(round(float(tau), 6) for tau in taus),
        fraction=found.values.tolist(),
        lo=found.lo.tolist(),
        hi=found.hi.tolist(),
    )


def _notes(file: ScoreFile) -> tuple[str, ...]:
    notes = []
    if len(file.games) < len(GAMES):
        notes.append(
            f"{len(file.games)} of {len(GAMES)} games: not comparable with published aggregates"
        )
    if file.num_runs == 1:
        notes.append("one run of each game: its spread is unknown, so there is no interval")
        notes.append("where scores are means of runs, IQM and optimality gap are not those of runs")
    return tuple(notes)


def _comparison(x: ScoreFile, y: ScoreFile, seed: int, num_resamples: int) -> Improvement:
    games = tuple(game for game in x.games if game in y.scores)
    if not games:
        return Improvement(
            x=x.label,
            y=y.label,
            games=(),
            probability=None,
            lo=None,
            hi=None,
            notes=("not compared: no game in common",),
        )
    found = aggregates.probability_of_improvement(
        _points(x, games),
        _points(y, games),
        derive(seed, Purpose.SCORES_BOOTSTRAP, "improvement"),
        num_resamples=num_resamples,
    )
    notes = []
    if games != x.games or games != y.games:
        counted = "1 game" if len(games) == 1 else f"{len(games)} games"
        notes.append(f"over the {counted} that both have")
    if min(x.num_runs, y.num_runs) == 1:
        notes.append("no interval: one side has one run of each game")
    return Improvement(
        x=x.label,
        y=y.label,
        games=games,
        probability=found.probability,
        lo=found.lo,
        hi=found.hi,
        notes=tuple(notes),
    )


def _published_group(games: tuple[str, ...]) -> PublishedGroup:
    """Return the published agents over some games; printed aggregates only over all of them."""
    facts = published()
    whole = len(games) == len(GAMES)
    agents = [_published_agent(name, agent, games, whole) for name, agent in facts.agents.items()]
    quoted = [_aggregates_only(agent) for agent in facts.aggregates_only] if whole else []
    return PublishedGroup(games=games, agents=(*agents, *quoted))


def _published_agent(
    name: str, agent: PublishedAgent, games: tuple[str, ...], whole: bool
) -> PublishedScores:
    """Compute what per-game means allow: the IQM and the optimality gap need the single runs."""
    facts = published()
    scores = np.array([[agent.scores[game] for game in games]])
    random = np.array([facts.random[game] for game in games])
    human = np.array([facts.human[game] for game in games])
    hns = aggregates.human_normalised(scores, random, human)
    printed = agent.published_aggregates
    return PublishedScores(
        agent=name,
        year=agent.year,
        family=agent.family,
        mean=float(aggregates.mean_score(hns)),
        median=float(aggregates.median_score(hns)),
        superhuman=aggregates.superhuman(scores, human),
        scores={game: agent.scores[game] for game in games},
        printed=Printed(**printed.model_dump(), games=None) if whole else None,
        source=agent.source,
        notes=agent.notes,
    )


def _aggregates_only(agent: AggregatesOnly) -> PublishedScores:
    return PublishedScores(
        agent=agent.agent,
        year=agent.year,
        family=None,
        mean=None,
        median=None,
        superhuman=None,
        scores=None,
        printed=Printed(
            mean=agent.mean,
            median=agent.median,
            iqm=agent.iqm,
            superhuman=None,
            games=agent.games,
            source=agent.source,
        ),
        source=agent.source,
        notes=None,
    )


def _points(file: ScoreFile, games: Sequence[str]) -> FloatArray:
    """Return the scores of some games, shape (runs, games)."""
    return np.array([file.scores[game] for game in games], dtype=np.float64).T


def _hns(file: ScoreFile, games: Sequence[str]) -> FloatArray:
    facts = published()
    random = np.array([facts.random[game] for game in games])
    human = np.array([facts.human[game] for game in games])
    return aggregates.human_normalised(_points(file, games), random, human)


def _games_of(files: Sequence[ScoreFile]) -> list[str]:
    return [game for game in GAMES if any(game in file.scores for file in files)]
