"""Episodes of a player in the real game."""

from diamond.config.run import RunConfig
from diamond.stages.record import Section, Stage

TRAINED_PLAYER = "policy"
_STEP_SECONDS = 1.8e-3
"""An env step that a policy plays."""


def _seconds(config: RunConfig) -> float:
    said = config.evaluation
    return said.num_episodes * said.max_episode_steps * _STEP_SECONDS


def _section(config: RunConfig, section: Section) -> Section:
    return section | {"player": TRAINED_PLAYER}


RETURNS = Stage(
    name="returns",
    numerics=1,
    sections=("game", "environment", "view", "evaluation"),
    reads=("policy",),
    runs=frozenset({"static", "online", "real"}),
    shares_data_seed=True,
    made_by="diamond.pipeline.scoring_stages:play_real_game",
    seconds=_seconds,
    section=_section,
    is_result=True,
)
