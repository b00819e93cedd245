"""The actor-critic, trained in imagination."""

from diamond.config.levels import calls_per_sample
from diamond.config.run import RunConfig
from diamond.stages.multiplications import BACKWARD, Pass
from diamond.stages.record import Stage

SECONDS = 8.5e-11
"""A multiplication."""


def update_multiplications(config: RunConfig) -> float:
    """Multiplications of one update, imagination included."""
    cost = Pass.of(config)
    return _steps_per_update(config) * (cost.imagined + 2 * BACKWARD * cost.policy)


def calls_per_update(config: RunConfig) -> int:
    """Calls of the denoiser for one frame in an update."""
    return _steps_per_update(config) * calls_per_sample(config.sampler.steps, config.sampler.order)


def _steps_per_update(config: RunConfig) -> int:
    return config.policy.batch_size * config.policy.horizon_steps


def _seconds(config: RunConfig) -> float:
    return config.policy.updates * update_multiplications(config) * SECONDS


def _calls(config: RunConfig) -> float:
    return float(config.policy.updates * calls_per_update(config))


POLICY = Stage(
    name="policy",
    numerics=3,
    sections=("sampler", "policy"),
    reads=("frames", "denoiser", "reward_end"),
    runs=frozenset({"static"}),
    shares_data_seed=False,
    made_by="diamond.pipeline.training_stages:train_policy",
    seconds=_seconds,
    calls=_calls,
    is_trained=True,
    is_imported=True,
    arms="arms share the world model and what it imagines; policies are their own",
)
