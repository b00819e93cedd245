"""The stage that plays the real game: a policy, or a player that looks at no frame."""

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from safetensors.torch import load_file

from diamond.config.environments import Environment, read_environment
from diamond.config.recording import ViewConfig
from diamond.config.scoring import EvaluationConfig
from diamond.engine.output_names import RETURNS_FILE, curve_file
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult
from diamond.envs.open_game import open_game
from diamond.results.played_episodes import (
    ConstantAction,
    CurveEpisodes,
    Played,
    PlayedEpisode,
    PlayedGames,
)
from diamond.seeds import Purpose, derive
from diamond.stages.policy import curve_updates
from diamond.stages.returns import NUM_CONSTANTS, SCREENING_EPISODES, SCREENING_STEPS
from diamond.tensor_files import filled
from diamond.training.evaluation import Actor, Episode, play_episodes, sampled_actor
from diamond.training.policy_part import POLICY
from diamond.training.unseeing import constant_actor, frequency_actor, held_actor, random_actor
from diamond.weights.trained_networks import load_part, saved_shape

MakeActor = Callable[[int], Actor]


def play_real_game(context: StageContext) -> StageResult:
    """Play the real game; writes returns.json, a `PlayedGames`."""
    context.resume()
    play = _Play(context)
    match context.config["player"]:
        case "policy":
            games = _policy(context, play)
        case "random":
            games = play.measured(random_actor)
        case "random_held":
            games = play.measured(held_actor)
        case "constant":
            games = _constant(play)
        case player:
            assert player == "blind", player
            games = _blind(context, play)
    (context.folder / RETURNS_FILE).write_text(games.model_dump_json() + "\n")
    return context.result(env_steps=float(play.env_steps))


class _Play:
    """The game of a stage. Mutable: it counts the env steps."""

    def __init__(self, context: StageContext) -> None:
        config = context.config
        self.seed = context.seed
        self.game: str = config["game"]
        self.environment = read_environment(config["environment"])
        self.evaluation = EvaluationConfig.model_validate(config["evaluation"])
        self.view = ViewConfig.model_validate(config["view"]) if "view" in config else None
        self.env_steps = 0
        self._context = context

    def measured(self, actor: MakeActor, sticky_actor: MakeActor | None = None) -> PlayedGames:
        """Play all episodes, with sticky actions too where that is asked for.

        Args:
            actor: Number of actions to an actor.
            sticky_actor: That of sticky actions; None: the same.
        """
        played = self.played(actor, self.evaluation.num_episodes)
        sticky = self.sticky_environment()
        if sticky is None:
            return PlayedGames(played=played)
        again = self.played(sticky_actor or actor, self.evaluation.num_episodes, sticky)
        return PlayedGames(played=played, sticky=again)

    def played(
        self,
        actor: MakeActor,
        num_episodes: int,
        environment: Environment | None = None,
        seed: int | None = None,
        most_steps: int | None = None,
    ) -> Played:
        """Play episodes in the game of the stage, or in another one, from the seed or another."""
        most_steps = min(self.evaluation.max_episode_steps, most_steps or sys.maxsize)
        changes = {"num_episodes": num_episodes, "max_episode_steps": most_steps}
        limits = self.evaluation.model_copy(update=changes)
        episodes = play_episodes(
            self.game,
            (environment or self.environment, self.view, limits),
            actor,
            self.seed if seed is None else seed,
            lambda done, total: self._context.progress(done, total, "at most"),
        )
        self.env_steps += sum(episode.num_steps for episode in episodes)
        return _played(episodes)

    def sticky_environment(self) -> Environment | None:
        """The game with the other chance of sticky actions."""
        sticky = self.evaluation.sticky_too
        if sticky is None:
            return None
        return self.environment.model_copy(update={"sticky_actions": sticky})


def _policy(context: StageContext, play: _Play) -> PlayedGames:
    net = load_part(context, POLICY)
    games = play.measured(sampled_actor(net, context.device))
    return games.model_copy(update={"curve": tuple(_curve(context, play))})


def _curve(context: StageContext, play: _Play) -> Iterator[CurveEpisodes]:
    """Play with the policy as it was before the end of its training."""
    num_points = play.evaluation.curve_points
    if not num_points:
        return
    folder = context.part_folder(POLICY.name, POLICY.name)
    config, shape = POLICY.section(context.upstream_config(POLICY.name)), saved_shape(folder)
    for updates in curve_updates(config.updates, num_points):
        weights = load_file(folder / curve_file(updates))
        net = filled(lambda: POLICY.build(config, shape), weights, context.device)
        actor = sampled_actor(net, context.device)
        played = play.played(actor, play.evaluation.curve_episodes)
        yield CurveEpisodes(updates=updates, played=played)


def _constant(play: _Play) -> PlayedGames:
    """Screen every action, measure the best ones on other episodes; the best of these is it."""
    env = open_game(play.game, play.environment)
    names = env.action_names
    env.close()
    seed = derive(play.seed, Purpose.RETURNS_SCREENING)
    screened = [
        play.played(
            constant_actor(action), SCREENING_EPISODES, seed=seed, most_steps=SCREENING_STEPS
        ).mean
        for action in range(len(names))
    ]
    best = np.argsort(np.negative(screened), kind="stable")[:NUM_CONSTANTS].tolist()
    found = []
    for action in best:
        games = play.measured(constant_actor(action))
        found.append(
            ConstantAction(
                action=names[action],
                screened=screened[action],
                played=games.played,
                sticky=games.sticky,
            )
        )
    found.sort(key=lambda one: one.played.mean, reverse=True)
    return PlayedGames(played=found[0].played, sticky=found[0].sticky, constants=tuple(found))


def _blind(context: StageContext, play: _Play) -> PlayedGames:
    """Play with the frequencies of a policy's actions, under sticky actions with those there."""
    path = context.upstream["returns"] / RETURNS_FILE
    policy = PlayedGames.model_validate_json(path.read_text())
    sticky = None if policy.sticky is None else frequency_actor(policy.sticky.action_counts)
    return play.measured(frequency_actor(policy.played.action_counts), sticky)


def _played(episodes: Sequence[Episode]) -> Played:
    return Played(
        episodes=tuple(
            PlayedEpisode(
                total_reward=episode.total_reward,
                num_steps=episode.num_steps,
                truncated=episode.truncated,
                digest=episode.digest,
            )
            for episode in episodes
        ),
        action_counts=tuple(
            np.sum([episode.action_counts for episode in episodes], axis=0).tolist()
        ),
    )
