"""What an arm is before it has seeds: a name, values of axes, and the config that follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from diamond.config.overrides import check_family_has, override
from diamond.config.recording import ViewConfig
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.plan.find_axis import Axis, find_axis
from diamond.plan.game_probe import settled

Chosen = tuple[tuple[Axis, str], ...]
"""Axes and the text of the value of each."""


@dataclass(frozen=True)
class Setting:
    """A named choice of values, the same for every game."""

    name: str
    chosen: Chosen


@dataclass(frozen=True)
class Matched:
    """A field that was changed so that arms cost the same."""

    field: str
    old: int
    new: int


@dataclass(frozen=True)
class Variant:
    """One arm on one game, before its seeds.

    Attributes:
        name: Unique in the study.
        config: What is run, with seed 0.
        axis_values: Text of the value per axis.
        matched: What was changed to make its cost that of the baseline.
    """

    name: str
    config: RunConfig
    axis_values: Mapping[str, str]
    matched: tuple[Matched, ...] = ()


def make_variant(base: RunConfig, setting: Setting) -> Variant:
    """Set the values of a setting on the config of a game.

    Raises:
        RequestError: A value is not allowed, or the game cannot be played; the text says why.
    """
    texts = {axis.name: text for axis, text in setting.chosen}
    return Variant(setting.name, settled(apply_axes(base, setting.chosen)), texts)


def baseline_of(variants: Sequence[Variant]) -> int:
    """Position of the baseline: the first arm that imagines, or the first if none does."""
    return next((n for n, variant in enumerate(variants) if variant.config.imagines), 0)


def apply_axes(base: RunConfig, chosen: Sequence[tuple[Axis, str]]) -> RunConfig:
    """A config with the values of axes set: family, bundles, then what changes single fields."""
    for axis, text in chosen:
        if axis.kind == "family":
            base = override(base, axis.settings(text, base))
    settings: dict[str, object] = {}
    for kind in ("bundle", "single"):
        for axis, text in chosen:
            if axis.kind == kind:
                for field in axis.fields:
                    check_family_has(base, field, axis.name)
                settings |= axis.settings(text, base)
    return override(base, settings)


def fits_family(axis: Axis, config: RunConfig) -> bool:
    """Whether a run's world model has what an axis sets."""
    try:
        for field in axis.fields:
            check_family_has(config, field)
    except RequestError:
        return False
    return True


def current_texts(names: Iterable[str], config: RunConfig) -> dict[str, str]:
    """Text of the value that a run has of each axis; nothing of an axis of another family."""
    axes = map(find_axis, names)
    return {axis.name: axis.current(config) for axis in axes if fits_family(axis, config)}


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse axes that set the same field, of which one would be without effect.

    Raises:
        RequestError: Two single axes set one field.
    """
    fields = [field for axis in axes if axis.kind != "bundle" for field in axis.fields]
    for field in fields:
        if fields.count(field) > 1:
            raise RequestError(f"two axes set {field}; give it once")


def name_of(chosen: Chosen) -> str:
    """The name that values give to an arm: ``steps=1 denoiser.history=4``."""
    return " ".join(f"{axis.name}={text}" for axis, text in chosen)


def view_text(view: ViewConfig) -> str:
    """What an arm sees of the screen: ``64 x 64 pixels``, with the crop where there is one."""
    crop = "" if view.crop is None else f" of the crop {list(view.crop)}"
    return f"{view.height} x {view.width} pixels{crop}"
