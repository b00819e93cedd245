"""Axis values that are more than one number or word: what each sets, and its errors."""

import math
import re
from pathlib import Path
from typing import Any

from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.online_presets import with_counts
from diamond.config.recording import Collector, OffDataConfig, RecordingPolicy
from diamond.config.run import RunConfig
from diamond.config.shipped_policies import SHIPPED, shipped_file
from diamond.config.worlds import family_of, find_family
from diamond.errors import RequestError, unknown
from diamond.plan.axis import Settings, shown

FAMILY_FIELDS = ("world",)
RESOLUTION_FIELDS = ("view.height", "view.width")
COLLECTOR = "collector"
"""Name of the axis whose values may be folders of checkpoints."""
COLLECTOR_FIELDS = ("frames.play.collector", "frames.play.random_fraction", "frames.policy")
OFF_DATA = "off_data"
"""Name of the axis that says who plays the starts off the data."""
OFF_DATA_FIELDS = ("references.off_data",)
MOST_OFF_DATA = 64
"""Starts off the data that the axis asks for at most: a second look needs no more."""
OFF_DATA_FORMS = "none, expert, shipped, or the folder of a checkpoint; one for all arms"
NOT_SEEN: frozenset[str] = frozenset({"kind", "padding", "max_noops", "deterministic"})
"""Fields of an environment that change neither what a policy sees nor what its actions do."""
FOUND_OUT: frozenset[str] = frozenset({"pixels", "source"})
"""Fields that are not known before the game is tried."""
COLLECTOR_FORMS = "expert, random, mixed:SHARE, or the folder of a checkpoint"


def family_settings(text: str, config: RunConfig) -> Settings:
    """The recipe of a family for the preset; online, its updates too.

    Nothing, where the run is of this family: what was set in it stays.
    """
    family = find_family(text)
    if text == config.world.family:
        return {}
    if not family.is_trained:
        raise RequestError(
            f"family={text} is a baseline without training: its arm stands beside the others anyway"
        )
    world = family.preset(config.preset, config.game).model_copy(update={"family": text})
    if config.online is None:
        return {"world": world}
    counts = family.online_updates(config.preset)
    if not counts:
        raise RequestError(
            f"family={text}: it has no recipe for the online protocol\n  use --protocol static"
        )
    changed = with_counts(config.online, counts)
    return {"world": world, "online": changed}


def current_family(config: RunConfig) -> str:
    """Its name."""
    return config.world.family


def resolution_settings(text: str, config: RunConfig) -> Settings:
    """Square frames of a side in pixels."""
    side = whole_number(text, "resolution", "sides are ", family_of(config).side_unit(config.world))
    return dict.fromkeys(RESOLUTION_FIELDS, side)


def current_resolution(config: RunConfig) -> str:
    """The side; height x width, where they differ."""
    height, width = config.view.height, config.view.width
    return str(height) if height == width else f"{height}x{width}"


def collector_settings(text: str, config: RunConfig) -> Settings:
    """Who plays when the training frames are recorded; the references stay as they are."""
    word, colon, share = text.partition(":")
    policy, fraction = None, config.frames.play.random_fraction
    if word == "mixed":
        collector, fraction = "expert", number_of(share)
        if not (colon and 0 <= fraction <= 1):
            raise RequestError(
                f"collector={text}: SHARE is the chance, from 0 to 1, that the expert begins a "
                f"held random action at an env step\n  for instance collector=mixed:0.1\n"
                f"  allowed: {COLLECTOR_FORMS}"
            )
    elif text == "random":
        collector, fraction = "random_held", 1.0
    elif text == "expert":
        collector = "expert"
    elif Path(text).is_dir() or "/" in text:
        collector, fraction = "policy", 0.0
        policy = _recording_policy(read_checkpoint(Path(text)), f"{COLLECTOR}={text}", config)
    else:
        raise unknown(
            "value of collector",
            text,
            ("expert", "random", "mixed:SHARE"),
            "or the folder of a checkpoint, which does not exist; "
            "make one with `diamond import-checkpoint FILE.pt`",
        )
    return dict(zip(COLLECTOR_FIELDS, (collector, fraction, policy), strict=True))


def current_collector(config: RunConfig) -> str:
    """The word for the player; a policy by the first digits of its weights."""
    play = config.frames.play
    if config.frames.policy is not None:
        return f"policy {config.frames.policy.weights[:8]}"
    return "random" if play.collector == "random_held" else f"mixed:{shown(play.random_fraction)}"


def off_data_settings(text: str, config: RunConfig) -> Settings:
    """Who plays further held-out episodes: as many starts as there are others, up to a number."""
    played, policy = config.references, None
    if text == "none":
        return dict.fromkeys(OFF_DATA_FIELDS)
    if text == "expert":
        collector: Collector = "expert"
    elif text == "shipped":
        collector, policy = "policy", _shipped(config)
    elif Path(text).is_dir() or "/" in text:
        collector = "policy"
        policy = _recording_policy(read_checkpoint(Path(text)), f"{OFF_DATA}={text}", config)
    else:
        raise unknown(
            f"value of {OFF_DATA}",
            text,
            ("none", "expert", "shipped"),
            "or the folder of a checkpoint, which does not exist",
        )
    play = played.play.model_copy(update={"collector": collector, "random_fraction": 0.0})
    num_starts = min(played.num_starts, MOST_OFF_DATA)
    further = OffDataConfig(play=play, num_starts=num_starts, policy=policy)
    return dict.fromkeys(OFF_DATA_FIELDS, further)


def current_off_data(config: RunConfig) -> str:
    """The word for the player; a policy by the first digits of its weights."""
    found = config.references.off_data
    if found is None:
        return "none"
    if found.policy is None:
        return found.play.collector
    is_shipped = shipped_file(found.policy.weights) is not None
    return "shipped" if is_shipped else f"policy {found.policy.weights[:8]}"


def _shipped(config: RunConfig) -> RecordingPolicy:
    """The policy of the package for a game."""
    found = SHIPPED.get(config.game)
    if found is None:
        raise RequestError(
            f"{OFF_DATA}=shipped: no policy for {config.game} comes with the package\n"
            f"  games with one: {', '.join(SHIPPED)}; allowed: {OFF_DATA_FORMS}"
        )
    return found.policy


def _recording_policy(agent: Checkpoint, said: str, config: RunConfig) -> RecordingPolicy:
    """The policy of a checkpoint, once it is known to play what the run plays."""
    if agent.game != config.game:
        raise RequestError(
            f"{said}: the checkpoint was trained on {agent.game}, not {config.game}\n"
            f"  give a checkpoint of {config.game}, or --game {agent.game}"
        )
    for name in type(config.environment).model_fields.keys() - NOT_SEEN:
        theirs, ours = getattr(agent.environment, name), getattr(config.environment, name)
        left_open = ours is None and name in FOUND_OUT
        if theirs != ours and not left_open:
            raise RequestError(
                f"{said}: the checkpoint has environment.{name} {_named(theirs)}, "
                f"the preset {config.preset} has {_named(ours)}\n"
                "  give a preset and a checkpoint that play alike"
            )
    return RecordingPolicy(
        weights=agent.weights.weights["policy"],
        num_actions=agent.weights.num_actions,
        channels=agent.policy.channels,
        lstm_size=agent.policy.lstm_size,
        view=agent.view,
    )


def _named(value: Any) -> str:
    return "of the game itself" if value is None else shown(value)


def number_of(text: str) -> float:
    """The number of a text, NaN where it is none: every range refuses it."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def whole_number(text: str, name: str, what: str, unit: int) -> int:
    """The positive multiple of a unit that is the text of a value.

    Args:
        name: Of the axis, for the error.
        what: What it is, in words that the rule follows.
        unit: What it is a multiple of.

    Raises:
        RequestError: It is none.
    """
    number = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    if number < 1 or number % unit:
        rule = "whole numbers from 1" if unit == 1 else f"multiples of {unit}"
        raise RequestError(
            f"{name}={text}: {what}{rule}\n  for instance {name}={2 * unit},{4 * unit}"
        )
    return number
