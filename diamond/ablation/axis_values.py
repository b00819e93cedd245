"""Axis values that are more than one number or word: what each sets, and its errors."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from diamond.ablation.axis import Settings, shown
from diamond.config.checkpoint import Checkpoint, read_checkpoint
from diamond.config.formulations import (
    DDPM_MAX_SIGMA,
    FLOW_MAX_SIGMA,
    FORMULATION_FIELDS,
    FORMULATION_UNION,
    FORMULATIONS,
    Formulation,
)
from diamond.config.networks import NoiseLaw
from diamond.config.overrides import get_field
from diamond.config.presets import make_preset
from diamond.config.run import RecordingPolicy, RunConfig
from diamond.errors import RequestError, nearest, one_of, unknown

NOISE_LAWS: tuple[NoiseLaw, ...] = ("lognormal", "loguniform", "timesteps", "time")
NOISE_FORMS = (
    "lognormal, lognormal(LOC,SCALE), lognormal(LOC,SCALE,MIN,MAX), loguniform(MIN,MAX), "
    "timesteps, timesteps(MIN,MAX), time, time(MIN,MAX)"
)
NOISE_FIELDS = tuple(f"denoiser.noise_{part}" for part in ("law", "loc", "scale", "min", "max"))
COND_NOISE_FIELDS = ("denoiser.cond_noise", "sampler.cond_noise")
RESOLUTION_FIELDS = ("view.height", "view.width")
COLLECTOR = "collector"
"""Name of the axis whose values may be folders of checkpoints."""
COLLECTOR_FIELDS = ("frames.play.collector", "frames.play.random_fraction", "frames.policy")
COLLECTOR_FORMS = "expert, random, mixed:SHARE, or the folder of a checkpoint"


def formulation_settings(text: str, config: RunConfig) -> Settings:
    """All fields in which a formulation differs from the presets.

    Set on a config of another formulation than EDM, it first gives every field of the bundles
    EDM's value back. What was changed on EDM itself stays, where the bundle does not set it.
    """
    name = _formulation(text)
    if nearest_formulation(config) in ("edm", name):
        return FORMULATION_FIELDS[name]
    return formulation_values(name, config)


def formulation_values(text: str, config: RunConfig) -> Settings:
    """The value that a formulation as such has in every field that any of them sets.

    Those that its bundle leaves out are the ones of the run's preset, which is EDM.
    """
    preset = make_preset(config.preset, config.game, config.protocol)
    values = {field: get_field(preset, field) for field in FORMULATION_UNION}
    return {**values, **FORMULATION_FIELDS[_formulation(text)]}


def nearest_formulation(config: RunConfig) -> str:
    """The formulation that a config agrees with in most fields; the first of equally near ones."""

    def num_equal(name: str) -> int:
        fields = formulation_values(name, config).items()
        return sum(get_field(config, field) == value for field, value in fields)

    return max(FORMULATIONS, key=num_equal)


def _formulation(text: str) -> Formulation:
    return one_of("formulation", text, FORMULATIONS, "for instance formulation=edm,ddpm")


def current_formulation(config: RunConfig) -> str:
    """The formulation whose fields a config has all of; else the nearest, as changed."""
    for name in FORMULATIONS:
        fields = formulation_values(name, config).items()
        if all(get_field(config, field) == value for field, value in fields):
            return name
    return f"{nearest_formulation(config)}, changed"


def noise_settings(text: str, config: RunConfig) -> Settings:
    """Law of the training noise, its numbers, and where it is clipped.

    Without numbers of its own a law is clipped as the preset has it. What was changed there stays,
    but what another law set, by itself or as a part of a formulation, is none of its numbers.
    """
    called = re.fullmatch(r"(\w+)(?:\((.*)\))?", text)
    law = next((law for law in NOISE_LAWS if called and called[1] == law), None)
    if called is None or law is None:
        match = nearest(text.partition("(")[0], NOISE_LAWS)
        guess = f" Did you mean {match!r}?" if match else ""
        raise RequestError(f"unknown value of noise {text!r}.{guess}\n  allowed: {NOISE_FORMS}")
    numbers = [] if called[2] is None else [_number(part) for part in called[2].split(",")]
    allowed = {"lognormal": (0, 2, 4), "loguniform": (2,)}.get(law, (0, 2))
    if len(numbers) not in allowed or not all(map(math.isfinite, numbers)):
        counts = " or ".join(str(count) if count else "none" for count in allowed)
        raise RequestError(
            f"noise={text}: {law} takes {counts} finite numbers\n  allowed: {NOISE_FORMS}"
        )
    denoiser = config.denoiser
    preset = make_preset(config.preset, config.game, config.protocol).denoiser
    clipped = denoiser if denoiser.noise_law == preset.noise_law else preset
    clip = {
        "lognormal": (clipped.noise_min, clipped.noise_max),
        "timesteps": (clipped.noise_min, DDPM_MAX_SIGMA),
        "time": (clipped.noise_min, FLOW_MAX_SIGMA),
    }
    gaussian = [denoiser.noise_loc, denoiser.noise_scale]
    if law == "lognormal" and numbers:
        gaussian, numbers = numbers[:2], numbers[2:]
    values = (law, *gaussian, *(numbers or clip[law]))
    return dict(zip(NOISE_FIELDS, values, strict=True))


def current_noise(config: RunConfig) -> str:
    """The law with all its numbers."""
    law, *numbers = (get_field(config, field) for field in NOISE_FIELDS)
    kept = numbers if law == "lognormal" else numbers[2:]
    return f"{law}({','.join(map(shown, kept))})"


def cond_noise_settings(text: str, _: RunConfig) -> Settings:
    """Noise on past frames in training, and, after a colon, when frames are drawn."""
    training, colon, drawing = text.partition(":")
    numbers = (_number(training), _number(drawing) if colon else 0.0)
    if not all(0 <= number <= 1 for number in numbers):
        raise RequestError(
            f"cond_noise={text}: a number from 0 to 1 for training, or two as TRAIN:INFER\n"
            "  for instance cond_noise=0,0.1,0.1:0.05"
        )
    return dict(zip(COND_NOISE_FIELDS, numbers, strict=True))


def current_cond_noise(config: RunConfig) -> str:
    """Both levels."""
    return ":".join(shown(get_field(config, field)) for field in COND_NOISE_FIELDS)


def width_settings(text: str, config: RunConfig) -> Settings:
    """All levels of the U-Net scaled alike, so that the widest has the given channels."""
    channels = config.denoiser.channels
    unit = max(channels) // math.gcd(*channels)
    width = _whole(text, "width", f"the levels {shown(channels)} keep their ratio: ", unit)
    return {"denoiser.channels": [level * width // max(channels) for level in channels]}


def current_width(config: RunConfig) -> str:
    """Channels of the widest level."""
    return str(max(config.denoiser.channels))


def depth_settings(text: str, config: RunConfig) -> Settings:
    """The same number of residual blocks at every level of the U-Net."""
    depth = _whole(text, "depth", "residual blocks at every level: ", 1)
    return {"denoiser.depths": [depth] * len(config.denoiser.depths)}


def current_depth(config: RunConfig) -> str:
    """The blocks of a level; all of them, where levels differ."""
    depths = config.denoiser.depths
    return str(depths[0]) if len(set(depths)) == 1 else shown(depths)


def resolution_settings(text: str, config: RunConfig) -> Settings:
    """Square frames of a side in pixels."""
    side = _whole(text, "resolution", "sides are ", config.denoiser.patch)
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
        collector, fraction = "expert", _number(share)
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
        policy = _recording_policy(read_checkpoint(Path(text)), text, config)
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


def _recording_policy(agent: Checkpoint, text: str, config: RunConfig) -> RecordingPolicy:
    """The policy of a checkpoint, once it is known to play what the run plays."""
    if agent.game != config.game:
        raise RequestError(
            f"collector={text}: the checkpoint was trained on {agent.game}, not {config.game}\n"
            f"  give a checkpoint of {config.game}, or --game {agent.game}"
        )
    for name in ("actions", "frame_skip"):
        theirs, ours = getattr(agent.emulator, name), getattr(config.emulator, name)
        if theirs != ours:
            raise RequestError(
                f"collector={text}: the checkpoint has emulator.{name} {_named(theirs)}, "
                f"the preset {config.preset} has {_named(ours)}\n"
                "  give a preset and a checkpoint that play alike"
            )
    return RecordingPolicy(
        weights=agent.weights.policy,
        num_actions=agent.weights.num_actions,
        channels=agent.policy.channels,
        lstm_size=agent.policy.lstm_size,
        view=agent.view,
    )


def _named(value: Sequence[int] | int | None) -> str:
    return "of the game itself" if value is None else shown(value)


def _number(text: str) -> float:
    """The number of a text, NaN where it is none: every range refuses it."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole(text: str, name: str, what: str, unit: int) -> int:
    """A positive multiple of a unit."""
    number = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    if number < 1 or number % unit:
        rule = "whole numbers from 1" if unit == 1 else f"multiples of {unit}"
        raise RequestError(
            f"{name}={text}: {what}{rule}\n  for instance {name}={2 * unit},{4 * unit}"
        )
    return number
