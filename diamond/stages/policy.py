"""The actor-critic, trained in imagination."""

from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages.multiplications import BACKWARD, policy_multiplications
from diamond.stages.record import PARTS, Section, Stage

SECONDS = 7.4e-11
"""A multiplication."""


def update_multiplications(config: RunConfig) -> float:
    """Multiplications of one update, imagination included."""
    imagined = family_of(config).frame_multiplications(config)
    passes = BACKWARD
    if config.policy.algorithm == "ppo":  # it acts without a gradient, and learns afterwards
        passes = 1 + config.policy.epochs * BACKWARD
    return _steps_per_update(config) * (imagined + passes * frame_multiplications(config))


def calls_per_update(config: RunConfig) -> int:
    """Calls of the network that draws frames, for one frame, in an update."""
    return _steps_per_update(config) * family_of(config).calls_per_frame(config.world)


def frame_multiplications(config: RunConfig) -> float:
    """Multiplications of the actor-critic for one frame."""
    return policy_multiplications(config.policy, config.view.height, config.view.width)


def num_curve_points(config: RunConfig) -> int:
    """Updates at which the policy of a run is kept beside its end: where its stage trains it."""
    trains = config.protocol == "static" and config.imported is None
    return min(config.evaluation.curve_points, config.policy.updates) if trains else 0


def curve_updates(num_updates: int, num_points: int) -> tuple[int, ...]:
    """So many evenly spaced updates, from 0 on, before the end of a training."""
    return tuple(num_updates * point // num_points for point in range(num_points))


def _section(config: RunConfig, section: Section) -> Section:
    points = num_curve_points(config)
    return section | ({"curve_points": points} if points else {})


def _steps_per_update(config: RunConfig) -> int:
    return config.policy.batch_size * config.policy.horizon_steps


def _seconds(config: RunConfig) -> float:
    return config.policy.updates * update_multiplications(config) * SECONDS


def _calls(config: RunConfig) -> float:
    return float(config.policy.updates * calls_per_update(config))


POLICY = Stage(
    name="policy",
    numerics=3,
    sections=("family", "policy", "evaluation.curve_points"),
    reads=("frames", PARTS),
    runs=frozenset({"static"}),
    needs=frozenset({"rewards", "discrete actions"}),
    shares_data_seed=False,
    made_by="diamond.makers.trained_parts:train_policy",
    seconds=_seconds,
    section=_section,
    calls=_calls,
    world="sampling",
    is_trained=True,
    is_imported=True,
    arms="arms share the world model and what it imagines; policies are their own",
)
