"""`diamond axes`: the table of what can be varied."""

import json

from rich.table import Table

from diamond.ablation.axes import AXES
from diamond.ablation.stages import first_stage_of_field
from diamond.cli.terminal import console
from diamond.config.overrides import (
    BLOCK_FIELDS,
    SHARED_SECTIONS,
    field_description,
    field_names,
    get_field,
)
from diamond.config.presets import DEFAULT_GAME, DEFAULT_PRESET, make_preset
from diamond.config.run import RunConfig


def show_axes(fields: bool) -> None:
    """Print the named axes and, if asked, every config field."""
    static = make_preset(DEFAULT_PRESET, DEFAULT_GAME)
    online = make_preset(DEFAULT_PRESET, DEFAULT_GAME, "online")
    out = console()
    table = Table(title="Named axes", title_justify="left")
    for column in (
        "axis",
        "meaning",
        "values",
        f"default ({DEFAULT_PRESET})",
        "first stage",
        "source",
    ):
        table.add_column(column, overflow="fold", no_wrap=column == "axis")
    for axis in AXES:
        value = _default(static, online, axis.fields[0])
        table.add_row(axis.name, axis.meaning, axis.values, value, axis.first_stage, axis.source)
    out.print(table)
    if not fields:
        out.print(
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
        # A name that is cut in two cannot be copied into a command.
        table.add_column(column, overflow="fold", no_wrap=column == "field")
    for name in field_names():
        if name not in BLOCK_FIELDS and name.split(".")[0] not in SHARED_SECTIONS:
            value = _default(static, online, name)
            table.add_row(name, field_description(name), value, first_stage_of_field(name))
    out.print(table)


def _default(static: RunConfig, online: RunConfig, field: str) -> str:
    return json.dumps(get_field(online if field.startswith("online.") else static, field))
