"""The world model of a run by value, and finding its family, which says all else of it.

Families are loaded when somebody asks for them: none is imported here.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import PlainValidator, SerializeAsAny, TypeAdapter, ValidationError

from diamond.config.base import Record, first_reason
from diamond.config.plugins import entry_points_of, load_entry_point, load_named
from diamond.errors import RequestError, unknown

if TYPE_CHECKING:
    from diamond.families.interface import Family

GROUP = "diamond.families"
"""Entry points of families that other packages bring."""
INTERFACE = 2
"""Of `diamond.families.interface`: raised by one when families written for it no longer run."""
DIAMOND = "diamond"
"""The family of the presets."""
WORLD = "world"
"""The section of a run that its world model is in."""
OWN: Mapping[str, str] = {
    DIAMOND: "diamond.families.diamond.family:DIAMOND",
    "copy_last": "diamond.families.baselines:COPY_LAST",
    "median_background": "diamond.families.baselines:MEDIAN_BACKGROUND",
}
CHECK = "diamond.families.interface:checked"
HOW = (
    f"a package brings a family by an entry point of the group {GROUP}, or give module:NAME of its "
    "record"
)
_by_place: "dict[str, Family]" = {}
"""Families that were asked for as ``module:NAME``."""


class WorldConfig(Record):
    """The section `world` of a run: its family, and whatever sections that family has.

    Its sections are written without ``world.`` in front wherever a user writes them.
    """

    family: str


class HasWorld(Protocol):
    """A run, or a checkpoint."""

    @property
    def world(self) -> WorldConfig:
        """Its world model."""
        ...


@cache
def find_family(name: str) -> "Family":
    """The family of a name, or of ``module:NAME``.

    Raises:
        RequestError: There is none, it does not load, or it was written for another interface.
    """
    if name in OWN:
        family: Family = load_named(OWN[name], "family")
        return family
    if ":" in name:
        found = _checked(load_named(name, "family"), name)
        _by_place[name] = found
        return found
    if name not in entry_points_of(GROUP):
        raise unknown("family", name, family_names(), HOW)
    return _checked(load_entry_point(GROUP, name, "family"), name)


def family_of(run: HasWorld) -> "Family":
    """The family of a run's world model."""
    return find_family(run.world.family)


def world_section(sections: Mapping[str, Any], absent: Collection[str] = ()) -> WorldConfig:
    """The world model's section of a run, from what stages hold of it and of the run.

    Args:
        sections: Of the stages.
        absent: Parts that the run does not train: the section lacks theirs.
    """
    record = find_family(sections["family"]).config
    found = {name: sections[name] for name in sections if name in record.model_fields}
    if not absent:
        return record.model_validate(found)
    types = {name: TypeAdapter(record.model_fields[name].rebuild_annotation()) for name in found}
    return record.model_construct(**{n: types[n].validate_python(found[n]) for n in found})


def family_names() -> tuple[str, ...]:
    """The names of the families that are here, whether they load or not."""
    return tuple(dict.fromkeys((*OWN, *sorted(entry_points_of(GROUP)))))


def known_families() -> "Mapping[str, Family]":
    """All families that are here and load, by what a run calls them."""
    found = {name: one for name in family_names() if not isinstance(one := _tried(name), str)}
    return found | _by_place


def broken_families() -> tuple[str, ...]:
    """Why families that are here do not load."""
    return tuple(said for name in family_names() if isinstance(said := _tried(name), str))


@cache
def _tried(name: str) -> "Family | str":
    try:
        return find_family(name)
    except RequestError as error:
        return str(error)


def _checked(found: Any, name: str) -> "Family":
    checked: Family = load_named(CHECK, "function")(found, name)
    return checked


def _read_world(value: Any) -> WorldConfig:
    if isinstance(value, WorldConfig):
        return value
    name = value.get("family") if isinstance(value, Mapping) else None
    if not isinstance(name, str):
        raise ValueError("world: a section with a family is expected")
    try:
        return find_family(name).config.model_validate(value)
    except RequestError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise ValueError(first_reason(error)) from error


World = Annotated[SerializeAsAny[WorldConfig], PlainValidator(_read_world)]
"""A union over all families, discriminated by `family`."""
