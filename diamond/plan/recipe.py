"""A preset of one's own: a named one with settings. Its file is read in `preset_file`."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from diamond.config.overrides import SHARED_SECTIONS
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import Protocol, RunConfig
from diamond.errors import RequestError, one_of
from diamond.plan.designs import read_setting
from diamond.plan.find_axis import Axis, axis_of_field, find_axis
from diamond.plan.variants import apply_axes


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


def is_preset_file(word: str) -> bool:
    """Whether a word is the path of a preset file, and no name."""
    return word.endswith(".toml")


def find_preset(word: str, folder: Path = Path()) -> Preset:
    """The preset that a word means.

    Args:
        word: The name of a preset, or the path of a .toml file.
        folder: Where a path begins.

    Raises:
        RequestError: There is none, or the file is not valid; the text names the line.
    """
    if not is_preset_file(word):
        hint = "give one with --preset, for instance --preset tiny, or --preset FILE.toml"
        return one_of("preset", word, PRESETS, hint)
    # Whoever names a preset reads no TOML.
    from diamond.plan.preset_file import read_preset  # noqa: PLC0415

    return read_preset(folder / word)


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
    own = apply_axes(named, read_setting(settings, "[settings]", preset_axis).chosen)
    return own.model_copy(update={"recipe": settings})


def preset_axis(name: str) -> Axis:
    """The axis that a preset file may set: any, and fields that arms are scored against.

    Raises:
        RequestError: There is no such axis or field.
    """
    shared = name.partition(".")[0] in SHARED_SECTIONS
    return axis_of_field(name) if shared else find_axis(name)
