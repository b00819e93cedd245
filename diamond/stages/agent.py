"""An agent of the online protocol: it collects, trains its world model and its policy in turn."""

from diamond.config.online import OnlineConfig
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages import policy
from diamond.stages.multiplications import BACKWARD
from diamond.stages.record import Section, Stage, Updates

REAL_STEP_SECONDS = 7e-4
"""An env step of the environment, crop and resize included."""


def _seconds(config: RunConfig) -> float:
    """All updates, and the env steps that are collected."""
    online = _online(config)
    num_updates = _num_updates(online, "policy")
    if online.environment == "real":
        steps = config.policy.batch_size * config.policy.horizon_steps
        seen = 2 * BACKWARD * policy.frame_multiplications(config) * policy.SECONDS
        return num_updates * steps * (REAL_STEP_SECONDS + seen)
    trained = sum(
        _num_updates(online, part) * update.seconds(config) for part, update in _parts(config)
    )
    imagined = num_updates * policy.update_multiplications(config) * policy.SECONDS
    return online.env_steps * REAL_STEP_SECONDS + trained + imagined


def _calls(config: RunConfig) -> float:
    online = _online(config)
    trained = sum(
        _num_updates(online, part) * update.calls(config) for part, update in _parts(config)
    )
    return trained + _num_updates(online, "policy") * policy.calls_per_update(config)


def _parts(config: RunConfig) -> list[tuple[str, Updates]]:
    """The parts of the world model, with what an update of each costs."""
    stages = family_of(config).stages
    return [(stage.part, stage.update) for stage in stages if stage.update is not None]


def _online(config: RunConfig) -> OnlineConfig:
    assert config.online is not None
    return config.online


def _num_updates(online: OnlineConfig, part: str) -> int:
    """Updates of a network over all epochs."""
    _, num_epochs = online.num_epochs(online.initial.min_env_steps)
    return online.num_updates(part, num_epochs)


def _section(config: RunConfig, section: Section) -> Section:
    """An agent trained in the real game has no world model."""
    if config.imagines:
        return section | {"parts": [_identity(config, stage) for stage in family_of(config).stages]}
    read = type(config.world).model_fields
    return {name: value for name, value in section.items() if name not in read}


def _identity(config: RunConfig, stage: Stage) -> Section:
    """What the stage of a part would be known by: its numerics, and what is not in its section."""
    return {"part": stage.part, "numerics": stage.numerics} | stage.section(config, {})


AGENT = Stage(
    name="agent",
    numerics=4,
    sections=("game", "environment", "view", "online", "policy"),
    world="all",
    runs=frozenset({"online", "real"}),
    shares_data_seed=False,
    made_by="diamond.makers.online_agent:train_agent",
    seconds=_seconds,
    section=_section,
    calls=_calls,
    is_trained=True,
    is_scored=True,
    arms="each arm is an agent of its own",
)
