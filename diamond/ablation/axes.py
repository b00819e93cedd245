"""Finding an axis by its name: a row of a table, or any field of the config."""

from functools import cache

from diamond.ablation.axis import Axis, field_axis
from diamond.ablation.axis_table import AFTER, BEFORE
from diamond.config.overrides import check_field, field_description
from diamond.config.worlds import DIAMOND, find_family, known_families

__all__ = ["Axis", "axes_of", "find_axis", "known_axes"]


@cache
def axes_of(family: str = DIAMOND) -> tuple[Axis, ...]:
    """The named axes of a family's runs, in the order of the stages that they touch."""
    return (*BEFORE, *find_family(family).axes, *AFTER)


def known_axes() -> tuple[Axis, ...]:
    """The named axes of all families that are here."""
    return (*BEFORE, *(axis for family in known_families() for axis in family.axes), *AFTER)


def find_axis(name: str) -> Axis:
    """Return the named axis, or the axis of a config field.

    Raises:
        RequestError: It is neither.
    """
    for axis in axes_of():
        if name == axis.name:
            return axis
    for axis in known_axes() if "." not in name else ():
        if name == axis.name:
            return axis
    field = check_field(name, [axis.name for axis in axes_of()])
    return field_axis(
        field, field, field_description(field), "see `diamond axes --fields`", "config field"
    )
