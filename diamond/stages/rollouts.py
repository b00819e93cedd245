"""Trajectories that a world model imagines from the held-out starts."""

from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages.record import PARTS, Stage

SECONDS = 6.1e-11
"""A multiplication."""
_BASELINE_FRAME_SECONDS = 1e-4
MAX_EVENTS = 128
"""Real events that are imagined from shortly before; as many other env steps from one before."""
EVENT_LEADS = (1, 4)
"""Env steps before an event at which it is imagined from, the nearest first."""


def imagined_steps(config: RunConfig) -> int:
    """Env steps that are imagined from one start: rollout, further samples, other actions."""
    rollouts, others = config.rollouts, config.references.counterfactuals
    num_steps = rollouts.horizon_steps
    if rollouts.samples is not None:
        num_steps += (rollouts.samples.num_samples - 1) * rollouts.samples.horizon_steps
    if others is not None:
        num_steps += min(others.horizon_steps, rollouts.horizon_steps)
    return num_steps


def event_steps(lead: int) -> int:
    """Env steps that are imagined from so many before an event; one beyond, but for the nearest."""
    return lead if lead == EVENT_LEADS[0] else lead + 1


def _num_frames(config: RunConfig) -> int:
    """Imagined frames: those around events at most, and those off the data, one rollout each."""
    rollouts, further = config.rollouts, config.references.off_data
    frames = rollouts.num_starts * imagined_steps(config)
    if further is not None:
        frames += further.num_starts * rollouts.horizon_steps
    if not family_of(config).rewards_by:
        return frames
    num_events = min(MAX_EVENTS, rollouts.num_starts * rollouts.horizon_steps)
    return frames + num_events * (1 + sum(event_steps(lead) for lead in EVENT_LEADS))


def scored_frames(config: RunConfig) -> int:
    """Frames of the rollouts of all starts, those off the data among them."""
    further = config.references.off_data
    num_starts = config.rollouts.num_starts + (further.num_starts if further else 0)
    return num_starts * config.rollouts.horizon_steps


def _seconds(config: RunConfig) -> float:
    family = family_of(config)
    if not family.is_trained:
        return _num_frames(config) * _BASELINE_FRAME_SECONDS
    return _num_frames(config) * family.frame_multiplications(config) * SECONDS


def _calls(config: RunConfig) -> float:
    return float(_num_frames(config) * family_of(config).calls_per_frame(config.world))


ROLLOUTS = Stage(
    name="rollouts",
    numerics=4,
    sections=("family", "view", "rollouts"),
    reads=("references", PARTS),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.makers.rollout_scores:make_rollouts",
    unit="time steps",
    seconds=_seconds,
    calls=_calls,
    world="sampling",
    is_scored=True,
    arms="arms share the world model; what they imagine, and policies, are their own",
)
