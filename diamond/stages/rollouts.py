"""Trajectories that a world model imagines from the held-out starts."""

from diamond.config.levels import calls_per_sample
from diamond.config.run import RunConfig
from diamond.stages.multiplications import Pass
from diamond.stages.record import Section, Stage

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
    return config.rollouts.num_starts * imagined_steps(config)


def _seconds(config: RunConfig) -> float:
    if config.family != "diamond":
        return _num_frames(config) * _BASELINE_FRAME_SECONDS
    return _num_frames(config) * Pass.of(config).imagined * _SECONDS


def _calls(config: RunConfig) -> float:
    sampler = config.sampler
    return float(_num_frames(config) * calls_per_sample(sampler.steps, sampler.order))


def _section(config: RunConfig, section: Section) -> Section:
    """A baseline has no sampler."""
    if config.family == "diamond":
        return section
    return {name: value for name, value in section.items() if name != "sampler"}


ROLLOUTS = Stage(
    name="rollouts",
    numerics=2,
    sections=("family", "view", "sampler", "rollouts"),
    reads=("references", "denoiser", "reward_end"),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.pipeline.scoring_stages:make_rollouts",
    seconds=_seconds,
    section=_section,
    calls=_calls,
    is_scored=True,
    arms="arms share the world model; what they imagine, and policies, are their own",
)
