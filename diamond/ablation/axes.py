"""The table of named axes: one row is all that it takes to add one."""

from dataclasses import dataclass

from diamond.ablation.stages import first_stage_of_field
from diamond.config.overrides import check_field, field_description


@dataclass(frozen=True)
class Axis:
    """One thing that an ablation may vary.

    Attributes:
        name: What the user writes before the equals sign.
        field: Dotted name of the config field that it sets.
        meaning: One line.
        values: What is allowed, in words.
        source: Where the choice comes from.
    """

    name: str
    field: str
    meaning: str
    values: str
    source: str

    @property
    def first_stage(self) -> str:
        """The first stage that the axis touches; everything before it is shared by the arms."""
        return first_stage_of_field(self.field)


AXES: tuple[Axis, ...] = (
    Axis(
        name="steps",
        field="sampler.steps",
        meaning="denoising steps per imagined frame",
        values="whole numbers from 1 to 1000",
        source="arXiv 2405.12399, sections 5.1 and 5.2",
    ),
    Axis(
        name="environment",
        field="online.environment",
        meaning="where the policy is trained; real is model-free",
        values="imagination, real (online only)",
        source="released code",
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
    return Axis(
        field, field, field_description(field), "see `diamond axes --fields`", "config field"
    )
