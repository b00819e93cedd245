"""The model of rewards and ends."""

from diamond.config.run import RunConfig
from diamond.stages.multiplications import BACKWARD, Pass
from diamond.stages.record import Stage

SECONDS = 9.5e-11
"""A multiplication."""


def update_multiplications(config: RunConfig) -> float:
    """Multiplications of one update."""
    steps = config.reward_end.batch_size * config.reward_end.sequence_steps
    return BACKWARD * steps * Pass.of(config).reward_end


def _seconds(config: RunConfig) -> float:
    return config.reward_end.updates * update_multiplications(config) * SECONDS


REWARD_END = Stage(
    name="reward_end",
    numerics=4,
    sections=("reward_end",),
    reads=("frames",),
    runs=frozenset({"static"}),
    shares_data_seed=False,
    made_by="diamond.pipeline.training_stages:train_reward_end",
    seconds=_seconds,
    is_trained=True,
    is_imported=True,
)
