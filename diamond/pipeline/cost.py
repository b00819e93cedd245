"""The work of a stage: multiplications from its config, and seconds where nothing was measured."""

from collections.abc import Mapping

from diamond.ablation.multiplications import (
    BACKWARD,
    Part,
    Pass,
    inverse_dynamics_multiplications,
    update_units,
)
from diamond.ablation.stages import RANDOM_PLAYER, StageName
from diamond.config.levels import calls_per_sample
from diamond.config.run import ReferencesConfig, RunConfig

SECONDS_PER_UNIT: Mapping[StageName, float] = {
    "references": 7.5e-4,
    "inverse_dynamics": 1.0,
    "frames": 1.1e-3,
    "denoiser": 6.5e-11,
    "reward_end": 9.5e-11,
    "agent": 1.0,
    "rollouts": 7.0e-11,
    "fidelity": 1.0,
    "policy": 8.5e-11,
    "policy_fidelity": 8.5e-11,
    "returns": 1.8e-3,
}
"""Seconds per unit of work on one core of a server processor (AVX2).

A unit is a multiplication in a network, or a frame; for an agent, for the judge and for fidelity,
which do both, a second. Used where no stage like it was measured in the home."""

BASELINE_FRAME_SECONDS = 1e-4
JUDGE_SECONDS = 6e-11
"""A multiplication of the inverse dynamics model."""
SCORED_FRAME_SECONDS = 1.8e-3
"""A frame compared with the real one; what networks say of it comes on top."""
REAL_STEP_SECONDS = 7e-4
"""An env step of the emulator, crop and resize included."""
RANDOM_SHARE = 0.3
"""Time of an env step of random play, in those of a policy's."""


def agent_seconds(config: RunConfig, cost: Pass) -> float:
    """Seconds of all updates of an agent that is trained online."""
    online = config.online
    assert online is not None
    _, num_epochs = online.num_epochs(online.initial.min_env_steps)

    def num_updates(part: Part) -> int:
        later = (num_epochs - 1) * getattr(online.updates, part)
        return int(getattr(online.first_updates, part) + later)

    if online.environment == "real":
        steps = config.policy.batch_size * config.policy.horizon_steps
        seen = 2 * BACKWARD * cost.policy * SECONDS_PER_UNIT["policy"]
        return num_updates("policy") * steps * (REAL_STEP_SECONDS + seen)
    parts: tuple[Part, ...] = ("denoiser", "reward_end", "policy")
    return online.env_steps * REAL_STEP_SECONDS + sum(
        num_updates(part) * update_units(config, cost, part) * SECONDS_PER_UNIT[part]
        for part in parts
    )


def recorded_steps(references: ReferencesConfig) -> int:
    """Env steps that are played for one held-out start, at most, those of the context left out."""
    num_steps = references.max_offset_steps + references.horizon_steps
    if references.counterfactuals is not None:  # the way to the state is played again
        num_steps += references.max_offset_steps + references.counterfactuals.horizon_steps
    return num_steps


def imagined_steps(config: RunConfig) -> int:
    """Env steps that are imagined from one start: rollout, further samples, other actions."""
    rollouts, others = config.rollouts, config.references.counterfactuals
    num_steps = rollouts.horizon_steps
    if rollouts.samples is not None:
        num_steps += (rollouts.samples.num_samples - 1) * rollouts.samples.horizon_steps
    if others is not None:
        num_steps += min(others.horizon_steps, rollouts.horizon_steps)
    return num_steps


def judge_seconds(config: RunConfig) -> float:
    """Seconds of recording the judge's frames and of its training."""
    judge, view = config.inverse_dynamics, config.view
    pair = inverse_dynamics_multiplications(judge, view.height, view.width)
    recorded = judge.num_frames + judge.num_held_out_frames
    trained = BACKWARD * judge.updates * judge.batch_size * pair
    return recorded * SECONDS_PER_UNIT["frames"] + trained * JUDGE_SECONDS


def fidelity_seconds(config: RunConfig, cost: Pass) -> float:
    """Seconds of scoring: frames compared, and seen by the judge and the reward/end model."""
    num_frames = config.rollouts.num_starts * config.rollouts.horizon_steps
    view = config.view
    pair = inverse_dynamics_multiplications(config.inverse_dynamics, view.height, view.width)
    reward_end = cost.reward_end if config.family == "diamond" else 0.0
    seen = pair * JUDGE_SECONDS + reward_end * SECONDS_PER_UNIT["reward_end"]
    return num_frames * (SCORED_FRAME_SECONDS + 2 * seen)


def _num_updates(config: RunConfig, part: Part) -> int:
    """Updates of a network in the static protocol."""
    if part == "denoiser":
        return config.denoiser.num_trained_updates
    updates: int = getattr(config, part).updates
    return updates


def work_units(config: RunConfig, stage: StageName) -> float:
    """Units of work of one stage of a run; see `SECONDS_PER_UNIT`."""
    cost = Pass.of(config)
    match stage:
        case "references":
            return float(config.references.num_starts * recorded_steps(config.references))
        case "inverse_dynamics":
            return judge_seconds(config)
        case "frames":
            return float(config.frames.num_frames)
        case "denoiser" | "reward_end" | "policy":
            return _num_updates(config, stage) * update_units(config, cost, stage)
        case "agent":
            return agent_seconds(config, cost)
        case "rollouts":
            return config.rollouts.num_starts * imagined_steps(config) * cost.imagined
        case "fidelity":
            return fidelity_seconds(config, cost)
        case "policy_fidelity":
            return 2 * config.rollouts.num_starts * config.rollouts.horizon_steps * cost.policy
        case "returns":
            return float(config.evaluation.num_episodes * config.evaluation.max_episode_steps)


def expected_seconds(config: RunConfig, stage: StageName, player: str = "") -> float:
    """Seconds of one stage of a run on one core, from its work alone."""
    if config.family != "diamond" and stage == "rollouts":
        return config.rollouts.num_starts * imagined_steps(config) * BASELINE_FRAME_SECONDS
    share = RANDOM_SHARE if player == RANDOM_PLAYER else 1.0
    return share * work_units(config, stage) * SECONDS_PER_UNIT[stage]


def denoiser_calls(config: RunConfig, stage: StageName) -> float:
    """Calls of the denoiser for one frame in a stage of a run: in training, and to imagine."""
    imagined = calls_per_sample(config.sampler.steps, config.sampler.order)
    policy = config.policy.batch_size * config.policy.horizon_steps * imagined
    update = config.denoiser.batch_size * config.denoiser.autoregressive_passes
    if config.family != "diamond":
        return 0.0
    match stage:
        case "denoiser":
            return float(config.denoiser.num_trained_updates * update)
        case "policy":
            return float(config.policy.updates * policy)
        case "rollouts":
            return float(config.rollouts.num_starts * imagined_steps(config) * imagined)
        case "agent":
            online = config.online
            assert online is not None
            _, num_epochs = online.num_epochs(online.initial.min_env_steps)
            counts = [
                getattr(online.first_updates, part)
                + (num_epochs - 1) * getattr(online.updates, part)
                for part in ("denoiser", "policy")
            ]
            return float(counts[0] * update + counts[1] * policy)
        case _:
            return 0.0
