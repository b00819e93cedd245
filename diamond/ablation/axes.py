"""The table of named axes: one row is all that it takes to add one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diamond.ablation.stages import STAGES, first_stage_of_field
from diamond.config.formulations import FORMULATION_FIELDS, FORMULATIONS
from diamond.config.overrides import check_field, field_description
from diamond.config.run import RunConfig
from diamond.errors import unknown

Settings = Mapping[str, Any]
"""Value per dotted config field; text is read as on the command line."""


@dataclass(frozen=True)
class Axis:
    """One thing that an ablation may vary.

    Attributes:
        name: What the user writes before the equals sign.
        meaning: One line.
        values: What is allowed, in words.
        source: Where the choice comes from.
        fields: Dotted names of the config fields that it may set; the first one is shown as its
            default.
        settings: The text of a value and the config it is set on, to what it sets.
        kind: A bundle sets many fields at once, and other axes may change single ones of them
            again; it is applied before them.
    """

    name: str
    meaning: str
    values: str
    source: str
    fields: tuple[str, ...]
    settings: Callable[[str, RunConfig], Settings]
    kind: Literal["single", "bundle"] = "single"

    @property
    def first_stage(self) -> str:
        """The first stage that the axis touches; everything before it is shared by the arms."""
        return min((first_stage_of_field(field) for field in self.fields), key=STAGES.index)


def field_axis(name: str, field: str, meaning: str, values: str, source: str) -> Axis:
    """An axis that sets one config field to the text as it is given."""
    return Axis(name, meaning, values, source, (field,), lambda text, _: {field: text})


def _formulation(text: str, _: RunConfig) -> Settings:
    for name in FORMULATIONS:
        if name == text:
            return FORMULATION_FIELDS[name]
    raise unknown("formulation", text, FORMULATIONS, "for instance formulation=edm,ddpm")


AXES: tuple[Axis, ...] = (
    Axis(
        name="formulation",
        meaning="diffusion formulation: training target, noise, conditioning and sampler together",
        values=", ".join(FORMULATIONS),
        source="arXiv 2405.12399, section 5.1; arXiv 2209.03003",
        fields=tuple(
            dict.fromkeys(field for fields in FORMULATION_FIELDS.values() for field in fields)
        ),
        settings=_formulation,
        kind="bundle",
    ),
    field_axis(
        "steps",
        "sampler.steps",
        "denoising steps per imagined frame",
        "whole numbers from 1 to 1000",
        "arXiv 2405.12399, sections 5.1 and 5.2",
    ),
    field_axis(
        "environment",
        "online.environment",
        "where the policy is trained; real is model-free",
        "imagination, real (online only)",
        "released code",
    ),
)


def find_axis(name: str) -> Axis:
    """Return the named axis, or the axis of a config field.

    Raises:
        RequestError: It is neither.
    """
    for axis in AXES:
        if name == axis.name:
            return axis
    field = check_field(name)
    return field_axis(
        field, field, field_description(field), "see `diamond axes --fields`", "config field"
    )
