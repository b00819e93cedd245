"""Trajectories that a world model imagines from the held-out starts."""

from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages.record import PARTS, Stage

_SECONDS = 7e-11
"""A multiplication."""
_BASELINE_FRAME_SECONDS = 1e-4


def imagined_steps(config: RunConfig) -> int:
    """Env steps that are imagined from one start: rollout, further samples, other actions."""
    rollouts, others = config.rollouts, config.references.counterfactuals
    num_steps = rollouts.horizon_steps
    if rollouts.samples is not None:
        num_steps += (rollouts.samples.num_samples - 1) * rollouts.samples.horizon_steps
    if others is not None:
        num_steps += min(others.horizon_steps, rollouts.horizon_steps)
    return num_steps


def _num_frames(config: RunConfig) -> int:
    """Frames imagined from the starts, and from those off the data, which have one rollout each."""
    further = config.references.off_data
    num_frames = config.rollouts.num_starts * imagined_steps(config)
    return num_frames + (further.num_starts * config.rollouts.horizon_steps if further else 0)


def scored_frames(config: RunConfig) -> int:
    """Frames of the rollouts of all starts, those off the data among them."""
    further = config.references.off_data
    num_starts = config.rollouts.num_starts + (further.num_starts if further else 0)
    return num_starts * config.rollouts.horizon_steps


def _seconds(config: RunConfig) -> float:
    family = family_of(config)
    if not family.is_trained:
        return _num_frames(config) * _BASELINE_FRAME_SECONDS
    return _num_frames(config) * family.frame_multiplications(config) * _SECONDS


def _calls(config: RunConfig) -> float:
    return float(_num_frames(config) * family_of(config).calls_per_frame(config.world))


ROLLOUTS = Stage(
    name="rollouts",
    numerics=3,
    sections=("family", "view", "rollouts"),
    reads=("references", PARTS),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.pipeline.scoring_stages:make_rollouts",
    seconds=_seconds,
    calls=_calls,
    world="sampling",
    is_scored=True,
    arms="arms share the world model; what they imagine, and policies, are their own",
)
