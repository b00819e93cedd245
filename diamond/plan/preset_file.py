"""Preset files: TOML files with a named preset and what they change of it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictStr, ValidationInfo

from diamond.config.base import Record
from diamond.config.presets import PRESETS
from diamond.errors import RequestError, one_of
from diamond.plan.designs import read_setting
from diamond.plan.find_axis import load_families
from diamond.plan.recipe import Recipe, find_preset, preset_axis
from diamond.plan.toml_files import (
    AxisText,
    Key,
    join_dotted,
    no_such_file,
    read_record,
    read_text,
    run_checks,
)

GUIDE = "docs/how-to.md shows a whole preset file"


class _File(Record):
    base: StrictStr = Field(description="the preset that it starts from")
    settings: Annotated[dict[str, AxisText], BeforeValidator(join_dotted)] = Field(
        min_length=1, description="[settings]: what it changes, a value per axis or field"
    )


def read_preset(given: Path) -> Recipe:
    """What a preset file says.

    Raises:
        RequestError: There is no file, or it is not valid; the text names the line.
    """
    path = given.absolute()
    if not path.is_file():
        raise no_such_file(str(given), "preset", list(PRESETS))
    if path.stem in PRESETS:
        raise RequestError(
            f"{path}: {path.stem!r} is the name of a preset of diamond\n"
            "  give the file another name: studies are called after their preset"
        )
    text = read_text(path, "preset")
    said = read_record(text, path, _File, GUIDE)
    settings = tuple(f"{name}={value}" for name, value in said.settings.items())
    recipe = Recipe(path.stem, said.base, settings, str(path))
    run_checks(text, path, _checks(said, settings))
    return recipe


def _read_declared(value: object, info: ValidationInfo) -> object:
    """Read the preset of a declaration, whose path begins at the declaration's file.

    One from a history is as it was read before.

    Raises:
        ValueError: There is no such preset.
    """
    if info.context is None or not isinstance(value, str):
        return value
    try:
        return find_preset(value, info.context["folder"])
    except RequestError as error:
        raise ValueError(str(error)) from error


DeclaredPreset = Annotated[StrictStr | Recipe, BeforeValidator(_read_declared)]
"""The preset of a declaration."""


def _checks(said: _File, settings: tuple[str, ...]) -> Iterator[tuple[Key, Callable[[], object]]]:
    yield ("base",), partial(one_of, "preset", said.base, PRESETS, GUIDE)
    families = {name: [text] for name, text in said.settings.items()}
    yield ("settings", "family"), partial(load_families, families)
    yield from ((("settings", name), partial(preset_axis, name)) for name in said.settings)
    yield ("settings",), partial(read_setting, settings, "[settings]", preset_axis)
