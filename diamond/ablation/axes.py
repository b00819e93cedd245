"""Finding an axis by its name: a row of the table, or any field of the config."""

from diamond.ablation.axis import Axis, field_axis
from diamond.ablation.axis_table import AXES
from diamond.config.overrides import check_field, field_description

__all__ = ["AXES", "Axis", "find_axis"]


def find_axis(name: str) -> Axis:
    """Return the named axis, or the axis of a config field.

    Raises:
        RequestError: It is neither.
    """
    for axis in AXES:
        if name == axis.name:
            return axis
    field = check_field(name, [axis.name for axis in AXES])
    return field_axis(
        field, field, field_description(field), "see `diamond axes --fields`", "config field"
    )
