"""What policies earned in the real game: per run, human-normalised, and over games."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diamond.ablation.plan import Plan, Run
from diamond.ablation.stages import StageSpec
from diamond.config.checkpoint import Checkpoint
from diamond.config.environments import default_environment
from diamond.config.games import GAMES
from diamond.config.published import published
from diamond.config.run import RunConfig
from diamond.pipeline.outputs import RETURNS_FILE
from diamond.pipeline.store import Store
from diamond.results.model import Arm, Estimate, GameScores, Returns
from diamond.seeds import Purpose, derive
from diamond.stats.aggregates import (
    AGGREGATES,
    aggregates,
    human_normalised,
    stratified_bootstrap,
)
from diamond.stats.intervals import bootstrap_interval

OTHER_GAME_LABEL = (
    "policy of a checkpoint that sees a part of the screen, has fewer actions than the game or "
    "another frame skip: not comparable with published scores"
)
UNDERTRAINED_LABEL = (
    "undertrained policy; cropped or small frames, reduced actions, few updates: "
    "not comparable with published scores"
)
UNSCORED_LABEL = "no published scores of people and of random play exist for this game"
PAPER_LABEL = "sampled actions, lost lives do not end an episode"
PUBLISHED_MAX_STEPS = 27_000
"""Env steps after which the published scores cut an episode: 108,000 emulator frames."""
SCORED_AS = ("actions", "frame_skip", "mode", "difficulty", "sticky_actions")
"""Fields of an Atari game that published scores fix."""
HNS_METHOD = "percentile bootstrap, runs resampled within each game"


def run_returns(plan: Plan, run: Run, store: Store) -> Returns | None:
    """The returns of a run with an interval over its episodes; None when it did not play."""
    spec = next((spec for spec in run.stages if spec.stage == "returns"), None)
    if spec is None or store.status(spec) != "done":
        return None
    episodes = _episodes(store, spec)
    interval = bootstrap_interval(_returns(episodes), derive(0, Purpose.BOOTSTRAP, "returns"))
    random_spec = plan.random_players.get(run.config.game)
    random_mean = None
    if random_spec is not None and store.status(random_spec) == "done":
        random_mean = float(_returns(_episodes(store, random_spec)).mean())
    return Returns(
        mean=interval.mean,
        lo=interval.lo,
        hi=interval.hi,
        n=interval.n,
        random_mean=random_mean,
        hns=run_hns(run.config, interval.mean, any(e["truncated"] for e in episodes)),
        label=_label(run.config),
    )


def _label(config: RunConfig) -> str:
    if config.game not in GAMES:
        return UNSCORED_LABEL
    if config.imported is not None:
        if not plays_the_whole_game(config):
            return OTHER_GAME_LABEL
        longest = config.evaluation.max_episode_steps
        return f"policy of a checkpoint; {PAPER_LABEL}, {longest} env steps do"
    return PAPER_LABEL if config.preset == "paper" else UNDERTRAINED_LABEL


def run_hns(config: RunConfig, mean_return: float, any_cut: bool) -> float | None:
    """The human-normalised score of a run; None where the game was not the whole one.

    Args:
        config: The run: its crop, actions, frame skip and greatest length of an episode.
        mean_return: Mean over its episodes, points of the game.
        any_cut: Whether an episode was cut at that length.
    """
    if not plays_the_whole_game(config) or (
        any_cut and config.evaluation.max_episode_steps < PUBLISHED_MAX_STEPS
    ):
        return None
    facts = published()
    random, human = np.array(facts.random[config.game]), np.array(facts.human[config.game])
    return float(human_normalised(np.array(mean_return), random, human))


def plays_the_whole_game(agent: Checkpoint | RunConfig) -> bool:
    """Whether an agent plays an Atari game as published scores do, and sees the full screen."""
    if agent.game not in GAMES or agent.view.crop is not None:
        return False
    usual, played = default_environment(agent.game), agent.environment
    return all(getattr(played, name) == getattr(usual, name) for name in SCORED_AS)


def hns_over_games(arms: Sequence[Arm]) -> tuple[GameScores, ...]:
    """Aggregates of human-normalised scores over games, the same games for every arm.

    An arm that has them in fewer than two games is left out; the others are aggregated over the
    games that all of them have, if there are two.

    Args:
        arms: The arms of a result, the same names in every game.

    Returns:
        One entry per arm: games, runs, mean, median, IQM and optimality gap with intervals, and
        the mean of each game.
    """
    by_name: dict[str, dict[str, list[float | None]]] = defaultdict(dict)
    for arm in arms:
        if arm.kind == "arm":
            found = [run.returns.hns if run.returns else None for run in arm.runs]
            by_name[arm.name][arm.game] = found
    scored = {
        name: {game: np.array(v, np.float64) for game, v in games.items() if None not in v}
        for name, games in by_name.items()
    }
    scored = {name: games for name, games in scored.items() if len(games) > 1}
    first = next(iter(scored.values()), {})
    common = [game for game in first if all(game in games for games in scored.values())]
    if len(common) < 2:
        return ()
    return tuple(
        _aggregate(name, {game: games[game] for game in common}) for name, games in scored.items()
    )


def _aggregate(name: str, games: Mapping[str, "np.ndarray[Any, Any]"]) -> GameScores:
    scores = np.stack(list(games.values()), axis=1)
    estimates = stratified_bootstrap(
        scores, aggregates, derive(0, Purpose.SCORES_BOOTSTRAP, "aggregates")
    )
    return GameScores(
        arm=name,
        games=tuple(games),
        num_runs=len(scores),
        method=HNS_METHOD,
        aggregates={
            label: Estimate(
                mean=float(estimates.values[index]),
                lo=float(estimates.lo[index]),
                hi=float(estimates.hi[index]),
                n=len(scores),
            )
            for index, label in enumerate(AGGREGATES)
        },
        per_game={game: float(found.mean()) for game, found in games.items()},
    )


def _episodes(store: Store, spec: StageSpec) -> list[dict[str, Any]]:
    path = store.folder(spec.stage, spec.key) / RETURNS_FILE
    episodes: list[dict[str, Any]] = json.loads(path.read_text())
    return episodes


def _returns(episodes: Sequence[Mapping[str, Any]]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([episode["return"] for episode in episodes], dtype=np.float64)
