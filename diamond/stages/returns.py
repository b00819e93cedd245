"""Episodes of a player in the real game."""

from diamond.config.player_names import Player
from diamond.config.run import RunConfig
from diamond.stages.policy import num_curve_points
from diamond.stages.record import Section, Stage

SCREENING_EPISODES = 3
"""Of each constant action, before the best ones are measured on other episodes."""
SCREENING_STEPS = 1_000
"""Env steps after which a screened episode is cut: with many an action a game never ends."""
NUM_CONSTANTS = 3
"""Constant actions that are measured."""
_STEP_SECONDS = 1.8e-3
"""An env step that a policy plays."""
_UNSEEING_SHARE = 0.3
"""Time of an env step of a player that looks at nothing, in those of a policy's."""
_NUM_ACTIONS = 9
"""Of a game whose actions are known once it is open."""


def player_seconds(config: RunConfig, player: Player) -> float:
    """Expected seconds of one player on one core."""
    said = config.evaluation
    episodes = said.num_episodes * (1 if sticky_too(config) is None else 2)
    share = _UNSEEING_SHARE
    if player == "policy":
        episodes += num_curve_points(config) * said.curve_episodes
        share = 1.0
    elif player == "constant":
        num_actions = len(config.environment.chosen_actions or range(_NUM_ACTIONS))
        episodes = NUM_CONSTANTS * episodes + SCREENING_EPISODES * num_actions
    num_steps = episodes * min(said.max_episode_steps, config.environment.usual_steps)
    return share * num_steps * _STEP_SECONDS


def sticky_too(config: RunConfig) -> float | None:
    """The other chance of sticky actions that returns are measured with, None where it is none."""
    asked = config.evaluation.sticky_too
    return None if asked == config.environment.stickiness else asked


def _seconds(config: RunConfig) -> float:
    return player_seconds(config, "policy")


def _section(config: RunConfig, section: Section) -> Section:
    evaluation = section["evaluation"]
    if sticky_too(config) is None:
        evaluation = {name: one for name, one in evaluation.items() if name != "sticky_too"}
    if not num_curve_points(config):
        evaluation = without_curve(evaluation)
    return section | {"evaluation": evaluation, "player": "policy"}


def without_curve(evaluation: Section) -> Section:
    """The section `evaluation` of a player that has no learning curve."""
    return {name: value for name, value in evaluation.items() if not name.startswith("curve_")}


RETURNS = Stage(
    name="returns",
    numerics=2,
    sections=("game", "environment", "view", "evaluation"),
    reads=("policy",),
    runs=frozenset({"static", "online", "real"}),
    needs=frozenset({"rewards", "discrete actions", "game"}),
    shares_data_seed=True,
    made_by="diamond.makers.real_returns:play_real_game",
    unit="env steps",
    seconds=_seconds,
    section=_section,
    scores_runs=True,
    is_result=True,
)
