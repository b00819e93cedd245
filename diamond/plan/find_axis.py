"""Finding an axis by its name: a row of a table, or any field of the config."""

from collections.abc import Iterable, Mapping
from functools import cache

from diamond.config.overrides import check_field, field_description, find_field
from diamond.config.worlds import DIAMOND, find_family, known_families
from diamond.plan.axis import Axis, field_axis
from diamond.plan.axis_table import AFTER, BEFORE

__all__ = ["Axis", "axes_of", "axis_of_field", "find_axis", "known_axes", "load_families"]
FAMILY = "family"
"""The axis whose values bring axes of their own."""


@cache
def axes_of(family: str = DIAMOND) -> tuple[Axis, ...]:
    """The named axes of a family's runs, in the order of the stages that they touch."""
    return (*BEFORE, *find_family(family).axes, *AFTER)


def known_axes() -> tuple[Axis, ...]:
    """The named axes of all families that are here."""
    return (
        *BEFORE,
        *(axis for family in known_families().values() for axis in family.axes),
        *AFTER,
    )


def load_families(chosen: Mapping[str, Iterable[str]]) -> None:
    """Load the families that the axis `family` is given: their own axes are known from then on.

    Args:
        chosen: Texts of values by axis.

    Raises:
        RequestError: One does not exist or does not load.
    """
    for text in chosen.get(FAMILY, ()):
        find_family(text)


def find_axis(name: str) -> Axis:
    """Return the named axis, or the axis of a config field.

    Raises:
        RequestError: It is neither.
    """
    for axis in axes_of():
        if name == axis.name:
            return axis
    # Other families are looked for only where ours has no such axis: they may be slow to load.
    for axis in known_axes() if "." not in name else ():
        if name == axis.name:
            return axis
    return axis_of_field(check_field(name, [axis.name for axis in axes_of()]))


def axis_of_field(name: str) -> Axis:
    """Return the axis of a config field, also of one that arms share.

    Raises:
        RequestError: There is no such field.
    """
    field = find_field(name)
    return field_axis(
        field, field, field_description(field), "see `diamond axes --fields`", "config field"
    )
