"""What policies earned in the real game: per run, human-normalised, and over games."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from diamond.config.base import Same
from diamond.config.checkpoint_record import Checkpoint
from diamond.config.environments import default_environment
from diamond.config.game_names import GAMES
from diamond.config.player_names import PLAYERS, UnseeingPlayer
from diamond.config.published_scores import published
from diamond.config.run import RunConfig
from diamond.engine.output_names import EVENTS_FILE, RETURNS_FILE
from diamond.engine.store import Store
from diamond.findings.arm_inputs import find_stage
from diamond.plan.plan import Run
from diamond.plan.stage_keys import StageSpec
from diamond.results.arm_model import Arm
from diamond.results.arm_model import Run as RunResult
from diamond.results.comparison_model import GameScores
from diamond.results.metric_model import Estimate
from diamond.results.played_episodes import CurveEpisodes, Played, PlayedGames
from diamond.results.points import player_points, points
from diamond.results.returns_model import LearningPoint, PlayerPoints, Returns, StickyPoints
from diamond.seeds import Purpose, derive
from diamond.stages.agent import AGENT
from diamond.stages.policy import POLICY
from diamond.stages.returns import RETURNS, sticky_too
from diamond.stats.aggregates import (
    AGGREGATES,
    aggregates,
    human_normalised,
    stratified_bootstrap,
)
from diamond.stats.intervals import t_interval
from diamond.tracking.event_log import read_events

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


def run_returns(run: Run, store: Store) -> Returns | None:
    """The returns of a run beside those of other players; None when it did not play."""
    own = find_stage(run, RETURNS.name)
    if own is None or store.status(own) != "done":
        return None
    others = tuple(
        (player, _file(store, spec))
        for player, spec in run.players.items()
        if store.status(spec) == "done"
    )
    agent = find_stage(run, AGENT.name)
    events = None if agent is None else store.folder(agent.stage, agent.key) / EVENTS_FILE
    return _returns(Same(run.config), _file(store, own), others, events)


def beside_players(runs: Sequence[RunResult]) -> dict[UnseeingPlayer, Estimate]:
    """What the policies of an arm earned more than each player.

    Over the training seeds with a t interval; one run has its own interval over episodes.
    """
    found = {}
    for player in PLAYERS:
        points = [one for run in runs if run.returns and (one := run.returns.player(player))]
        if len(points) == 1:
            only = points[0]
            found[player] = Estimate(
                mean=only.difference, lo=only.difference_lo, hi=only.difference_hi, n=1
            )
        elif points:
            over = t_interval(np.array([one.difference for one in points]))
            found[player] = Estimate(mean=over.mean, lo=over.lo, hi=over.hi, n=over.n)
    return found


@lru_cache(maxsize=1 << 13)
def _returns(
    own: Same, policy: Path, others: tuple[tuple[UnseeingPlayer, Path], ...], events: Path | None
) -> Returns:
    """The returns of a run from files that never change once they are there."""
    config: RunConfig = own.value
    games, beside = _games(policy), {player: _games(path) for player, path in others}
    earned = points(games.played)
    return Returns(
        **earned,
        players=_players(beside, games.played, sticky=False),
        hns=run_hns(config, earned["mean"], games.played.any_cut),
        label=_label(config),
        sticky=_sticky(config, games, beside),
        curve=_curve(config, games) if events is None else _tests(config, events),
    )


def _sticky(
    config: RunConfig, games: PlayedGames, others: Mapping[UnseeingPlayer, PlayedGames]
) -> StickyPoints | None:
    sticky = sticky_too(config)
    if sticky is None or games.sticky is None:
        return None
    return StickyPoints(
        **points(games.sticky),
        sticky_actions=sticky,
        players=_players(others, games.sticky, sticky=True),
    )


def _players(
    others: Mapping[UnseeingPlayer, PlayedGames], policy: Played, *, sticky: bool
) -> tuple[PlayerPoints, ...]:
    found = (
        player_points(player, games, policy, sticky=sticky) for player, games in others.items()
    )
    return tuple(one for one in found if one is not None)


def _curve(config: RunConfig, games: PlayedGames) -> tuple[LearningPoint, ...]:
    """What the policy earned as it was on the way, and at the end of its training."""
    if not games.curve:
        return ()
    end = CurveEpisodes(updates=config.policy.updates, played=games.played)
    return tuple(
        LearningPoint(updates=one.updates, **points(one.played)) for one in (*games.curve, end)
    )


def _tests(config: RunConfig, events: Path) -> tuple[LearningPoint, ...]:
    """The means of the tests of an agent; of their episodes nothing else is kept."""
    online = config.online
    assert online is not None
    return tuple(
        LearningPoint(
            updates=online.num_updates(POLICY.name, record.step),
            mean=record.values["test_return"],
            n=online.test.num_episodes,
            reason="only the mean of a test is kept",
        )
        for record in read_events(events, None)
        if "test_return" in record.values
    )


def _label(config: RunConfig) -> str:
    if config.game not in GAMES:
        return UNSCORED_LABEL
    if config.imported is not None:
        if not plays_the_whole_game(config):
            return OTHER_GAME_LABEL
        longest = config.evaluation.max_episode_steps
        return f"policy of a checkpoint; {PAPER_LABEL}, {longest} env steps do"
    return PAPER_LABEL if config.preset == "paper" and not config.recipe else UNDERTRAINED_LABEL


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


def _file(store: Store, spec: StageSpec) -> Path:
    return store.folder(spec.stage, spec.key) / RETURNS_FILE


@lru_cache(maxsize=1 << 10)
def _games(path: Path) -> PlayedGames:
    return PlayedGames.model_validate_json(path.read_text())
