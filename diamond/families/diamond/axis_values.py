"""Axis values of DIAMOND that are more than one number or word: what each sets, and its errors."""

import math
import re

from diamond.config.overrides import get_field
from diamond.config.presets import make_preset
from diamond.config.run import RunConfig
from diamond.errors import RequestError, did_you_mean, one_of
from diamond.families.diamond.config import NoiseLaw, diamond_of
from diamond.families.diamond.formulations import (
    DDPM_MAX_SIGMA,
    FLOW_MAX_SIGMA,
    FORMULATION_FIELDS,
    FORMULATION_UNION,
    FORMULATIONS,
    Formulation,
)
from diamond.plan.axis import Settings, shown
from diamond.plan.axis_values import number_of, whole_number
from diamond.plan.recipe import preset_of

NOISE_LAWS: tuple[NoiseLaw, ...] = ("lognormal", "loguniform", "timesteps", "time")
NOISE_FORMS = (
    "lognormal, lognormal(LOC,SCALE), lognormal(LOC,SCALE,MIN,MAX), loguniform(MIN,MAX), "
    "timesteps, timesteps(MIN,MAX), time, time(MIN,MAX)"
)
NOISE_FIELDS = tuple(f"denoiser.noise_{part}" for part in ("law", "loc", "scale", "min", "max"))
COND_NOISE_FIELDS = ("denoiser.cond_noise", "sampler.cond_noise")


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
    return _values(_formulation(text), _edm_preset(config))


def nearest_formulation(config: RunConfig) -> str:
    """The formulation that a config agrees with in most fields; the first of equally near ones."""
    return _nearest(config, _edm_preset(config))


def _values(name: Formulation, preset: RunConfig) -> Settings:
    values = {field: get_field(preset, field) for field in FORMULATION_UNION}
    return {**values, **FORMULATION_FIELDS[name]}


def _nearest(config: RunConfig, preset: RunConfig) -> Formulation:
    def num_equal(name: Formulation) -> int:
        fields = _values(name, preset).items()
        return sum(get_field(config, field) == value for field, value in fields)

    return max(FORMULATIONS, key=num_equal)


def _edm_preset(config: RunConfig) -> RunConfig:
    """The run's preset; the one that its file starts from, where the file leaves EDM or its law."""
    named = make_preset(config.preset, config.game, config.protocol)
    if not config.recipe:
        return named
    own, law = preset_of(config), "denoiser.noise_law"
    if own.world.family != named.world.family or get_field(own, law) != get_field(named, law):
        return named
    return own if _nearest(own, named) == "edm" else named


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
        guess = did_you_mean(text.partition("(")[0], NOISE_LAWS)
        raise RequestError(f"unknown value of noise {text!r}.{guess}\n  allowed: {NOISE_FORMS}")
    numbers = [] if called[2] is None else [number_of(part) for part in called[2].split(",")]
    allowed = {"lognormal": (0, 2, 4), "loguniform": (2,)}.get(law, (0, 2))
    if len(numbers) not in allowed or not all(map(math.isfinite, numbers)):
        counts = " or ".join(str(count) if count else "none" for count in allowed)
        raise RequestError(
            f"noise={text}: {law} takes {counts} finite numbers\n  allowed: {NOISE_FORMS}"
        )
    denoiser = diamond_of(config).denoiser
    preset = diamond_of(_edm_preset(config)).denoiser
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
    numbers = (number_of(training), number_of(drawing) if colon else 0.0)
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
    channels = diamond_of(config).denoiser.channels
    unit = max(channels) // math.gcd(*channels)
    width = whole_number(text, "width", f"the levels {shown(channels)} keep their ratio: ", unit)
    return {"denoiser.channels": [level * width // max(channels) for level in channels]}


def current_width(config: RunConfig) -> str:
    """Channels of the widest level."""
    return str(max(diamond_of(config).denoiser.channels))


def depth_settings(text: str, config: RunConfig) -> Settings:
    """The same number of residual blocks at every level of the U-Net."""
    depth = whole_number(text, "depth", "residual blocks at every level: ", 1)
    return {"denoiser.depths": [depth] * len(diamond_of(config).denoiser.depths)}


def current_depth(config: RunConfig) -> str:
    """The blocks of a level; all of them, where levels differ."""
    depths = diamond_of(config).denoiser.depths
    return str(depths[0]) if len(set(depths)) == 1 else shown(depths)
