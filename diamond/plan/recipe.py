"""Preset files: a named preset with settings of one's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictStr, ValidationInfo

from diamond.config.base import Record
from diamond.config.overrides import SHARED_SECTIONS
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import Protocol, RunConfig
from diamond.errors import RequestError, one_of
from diamond.plan.designs import read_setting
from diamond.plan.find_axis import Axis, axis_of_field, find_axis, load_families
from diamond.plan.toml_files import (
    SUFFIX,
    AxisText,
    Key,
    join_dotted,
    no_such_file,
    read_record,
    read_text,
    run_checks,
)
from diamond.plan.variants import apply_axes

GUIDE = "docs/how-to.md shows a whole preset file"


@dataclass(frozen=True)
class Recipe:
    """What a preset file says. Two that say the same are equal, wherever they lie.

    Attributes:
        name: Of the preset: that of the file.
        base: Name of the preset that it starts from.
        settings: Texts such as ``steps=3``: what it changes of it.
        file: Its path, absolute.
    """

    name: str
    base: str
    settings: tuple[str, ...]
    file: str = field(compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def told(self) -> str:
        """What it is, in words."""
        return f"preset {self.name}: {self.base} with {' '.join(self.settings)} ({self.file})"


Preset = str | Recipe
"""A preset: the name of one of ours, or what a file says."""


class _File(Record):
    base: StrictStr = Field(description="the preset that it starts from")
    settings: Annotated[dict[str, AxisText], BeforeValidator(join_dotted)] = Field(
        min_length=1, description="[settings]: what it changes, a value per axis or field"
    )


def find_preset(word: str, folder: Path = Path()) -> Preset:
    """The preset that a word means.

    Args:
        word: The name of a preset, or the path of a .toml file.
        folder: Where a path begins.

    Raises:
        RequestError: There is none, or the file is not valid; the text names the line.
    """
    if not word.endswith(SUFFIX):
        hint = f"give one with --preset, for instance --preset tiny, or --preset FILE{SUFFIX}"
        return one_of("preset", word, PRESETS, hint)
    path = (folder / word).absolute()
    if not path.is_file():
        raise no_such_file(str(folder / word), "preset", list(PRESETS))
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


def declared_part(preset: Preset) -> object:
    """What of a preset belongs to what is declared: a file's content, wherever it lies."""
    return preset if isinstance(preset, str) else [preset.base, preset.settings]


def base_of(preset: Preset) -> str:
    """The named preset that a preset starts from: itself, or that of its file."""
    return preset if isinstance(preset, str) else preset.base


def preset_config(preset: Preset, game: str, protocol: Protocol = "static") -> RunConfig:
    """The whole config of a preset for a game under a protocol.

    Raises:
        RequestError: There is no such preset, or a setting of its file is not allowed here.
    """
    if isinstance(preset, str):
        return make_preset(preset, game, protocol)
    try:
        return _configured(preset.base, preset.settings, game, protocol)
    except RequestError as error:
        raise RequestError(f"{preset.file}: {error}") from error


def preset_of(config: RunConfig) -> RunConfig:
    """The preset of a run, as it is before any axis."""
    return _configured(config.preset, config.recipe, config.game, config.protocol)


@lru_cache(maxsize=64)
def _configured(base: str, settings: tuple[str, ...], game: str, protocol: Protocol) -> RunConfig:
    named = make_preset(base, game, protocol)
    own = apply_axes(named, read_setting(settings, "[settings]", _find_axis).chosen)
    return own.model_copy(update={"recipe": settings})


def _checks(said: _File, settings: tuple[str, ...]) -> Iterator[tuple[Key, Callable[[], object]]]:
    yield ("base",), partial(one_of, "preset", said.base, PRESETS, GUIDE)
    families = {name: [text] for name, text in said.settings.items()}
    yield ("settings", "family"), partial(load_families, families)
    yield from ((("settings", name), partial(_find_axis, name)) for name in said.settings)
    yield ("settings",), partial(read_setting, settings, "[settings]", _find_axis)


def _find_axis(name: str) -> Axis:
    """An axis; or a field that arms are scored against, as they share their preset."""
    shared = name.partition(".")[0] in SHARED_SECTIONS
    return axis_of_field(name) if shared else find_axis(name)
