"""`diamond axes`: the table of what can be varied."""

from rich.console import Console
from rich.table import Table

from diamond.ablation.axes import AXES
from diamond.ablation.stages import first_stage_of_field
from diamond.config.overrides import (
    BLOCK_FIELDS,
    SHARED_SECTIONS,
    field_description,
    field_names,
    get_field,
)
from diamond.config.presets import DEFAULT_GAME, DEFAULT_PRESET, make_preset


def show_axes(fields: bool) -> None:
    """Print the named axes and, if asked, every config field."""
    default = make_preset(DEFAULT_PRESET, DEFAULT_GAME)
    console = Console()
    table = Table(title="Named axes", title_justify="left")
    for column in (
        "axis",
        "meaning",
        "values",
        f"default ({DEFAULT_PRESET})",
        "first stage",
        "source",
    ):
        table.add_column(column, overflow="fold")
    for axis in AXES:
        value = str(get_field(default, axis.field))
        table.add_row(axis.name, axis.meaning, axis.values, value, axis.first_stage, axis.source)
    console.print(table)
    if not fields:
        console.print(
            "Any config field can be varied by its dotted name: `diamond axes --fields` lists them."
        )
        return
    table = Table(title="Config fields", title_justify="left")
    for column in (
        "field",
        "meaning",
        f"default ({DEFAULT_PRESET}, {DEFAULT_GAME})",
        "first stage",
    ):
        table.add_column(column, overflow="fold")
    for name in field_names():
        if name not in BLOCK_FIELDS and name.split(".")[0] not in SHARED_SECTIONS:
            value = str(get_field(default, name))
            table.add_row(name, field_description(name), value, first_stage_of_field(name))
    console.print(table)
