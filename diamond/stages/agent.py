"""An agent of the online protocol: it collects, trains its world model and its policy in turn."""

from diamond.config.online import OnlineConfig
from diamond.config.run import RunConfig
from diamond.stages import denoiser, policy, reward_end
from diamond.stages.multiplications import BACKWARD, Pass
from diamond.stages.record import Section, Stage

REAL_STEP_SECONDS = 7e-4
"""An env step of the emulator, crop and resize included."""
WORLD_SECTIONS = frozenset({"denoiser", "reward_end", "sampler"})
"""Sections that an agent trained in the real game does not read."""


def _seconds(config: RunConfig) -> float:
    """All updates, and the env steps that are collected."""
    online = _online(config)
    num_updates = _num_updates(online, "policy")
    if online.environment == "real":
        steps = config.policy.batch_size * config.policy.horizon_steps
        seen = 2 * BACKWARD * Pass.of(config).policy * policy.SECONDS
        return num_updates * steps * (REAL_STEP_SECONDS + seen)
    return (
        online.env_steps * REAL_STEP_SECONDS
        + _num_updates(online, "denoiser")
        * denoiser.update_multiplications(config)
        * denoiser.SECONDS
        + _num_updates(online, "reward_end")
        * reward_end.update_multiplications(config)
        * reward_end.SECONDS
        + num_updates * policy.update_multiplications(config) * policy.SECONDS
    )


def _calls(config: RunConfig) -> float:
    online = _online(config)
    return float(
        _num_updates(online, "denoiser") * denoiser.samples_per_update(config)
        + _num_updates(online, "policy") * policy.calls_per_update(config)
    )


def _online(config: RunConfig) -> OnlineConfig:
    assert config.online is not None
    return config.online


def _num_updates(online: OnlineConfig, part: str) -> int:
    """Updates of a network over all epochs."""
    _, num_epochs = online.num_epochs(online.initial.min_env_steps)
    later = (num_epochs - 1) * getattr(online.updates, part)
    return int(getattr(online.first_updates, part) + later)


def _section(config: RunConfig, section: Section) -> Section:
    if config.imagines:
        return section
    return {name: value for name, value in section.items() if name not in WORLD_SECTIONS}


AGENT = Stage(
    name="agent",
    numerics=4,
    sections=("game", "emulator", "view", "online", "denoiser", "reward_end", "sampler", "policy"),
    runs=frozenset({"online", "real"}),
    shares_data_seed=False,
    made_by="diamond.pipeline.agent_stage:train_agent",
    seconds=_seconds,
    section=_section,
    calls=_calls,
    is_trained=True,
    is_scored=True,
    arms="each arm is an agent of its own",
)
