"""Set any field of a `RunConfig` by its dotted name, from text, with errors that help."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from diamond.config.environments import KINDS
from diamond.config.run import Protocol, RunConfig
from diamond.config.worlds import DIAMOND, WORLD, broken_families, find_family, known_families
from diamond.errors import RequestError, did_you_mean

BLOCK_FIELDS: Mapping[str, str] = {
    "game": "game is a block for pairing, never an arm: use --game A,B",
    "data_seed": "all arms of a study share their real frames, references and noise",
    "seed": "the seed is a block for pairing, never an arm: use --seeds N",
    "preset": "a preset is chosen with --preset",
    "recipe": "a preset file is chosen with --preset",
    "imported": "networks that were trained elsewhere come with --checkpoint",
    "protocol": "the protocol is chosen with --protocol",
}
BLOCK_SPELLINGS: Mapping[str, str] = {"games": "game", "seeds": "seed"}
AXIS_FIELDS: Mapping[str, str] = {
    WORLD: "a world model is chosen with the axis family=NAME; its sections are fields",
    "frames.policy": "a trained policy records the frames with the axis collector=CHECKPOINT",
    "references.off_data": "starts off the data come with the axis off_data=PLAYER",
    "environment.source": "it is that of the file that defines the game",
    "environment.digest": "it is that of the recording, --frames NAME",
    "environment.continuous": "the recording, --frames NAME, says it",
    "environment.rewards": "the recording, --frames NAME, says it",
    "frames.recorded": "a recording is chosen with --frames NAME",
}
"""Fields that have no text of their own: a named axis sets them, or they are found out."""
_NOT_BY_NAME: Mapping[str, str] = {**BLOCK_FIELDS, **AXIS_FIELDS}
WHOLE_SECTIONS: frozenset[str] = frozenset({WORLD, "online"})
"""Sections that the axis family replaces as a whole."""
SHARED_SECTIONS: frozenset[str] = frozenset({"references", "rollouts", "inverse_dynamics"})
"""Sections that decide what arms are scored against, and by what.

Arms that differ there could not be compared.
"""
OPTIONS = "environment.options."
"""Before the name of an option of the environment's constructor."""
STATIC_FIELDS: Mapping[str, str] = {
    "frames": "each agent collects its own frames: vary online.env_steps",
}
"""Sections without a meaning in the online protocol, and what to vary instead."""
ONLINE_INSTEAD: Mapping[str, str] = {
    "updates": "updates are counted by epoch: vary online.updates.{part}",
    "stop_after": "an agent trains its networks in turn and to the end: leave it out",
}
"""The same of fields of a part."""


def field_names(family: str = DIAMOND) -> Iterator[str]:
    """Yield the dotted names of all leaf fields of a family's runs, as users write them."""
    for name in _names_in(RunConfig):
        if name == WORLD:
            yield from (name for name in _names_in(find_family(family).config) if name != "family")
        else:
            yield name
        for updates in ("online.first_updates", "online.updates"):
            if name == f"{updates}.policy":
                yield from (f"{updates}.{stage.part}" for stage in find_family(family).stages)


def _names_in(record: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in record.model_fields.items():
        inner = _records_of(field.annotation)
        if inner and prefix + name not in _NOT_BY_NAME:
            names = [one for kind in inner for one in _names_in(kind, f"{prefix}{name}.")]
            yield from dict.fromkeys(one for one in names if one != "environment.kind")
        else:
            yield prefix + name


def field_description(dotted: str, family: str = "") -> str:
    """Return the description of a leaf field.

    Args:
        family: Whose it is; empty: any family that is here and has it. One must.
    """
    if dotted.startswith(OPTIONS):
        return "an option of the environment's constructor"
    owner = family or next(name for name in known_families() if dotted in _all_names(name))
    *sections, leaf = dotted.split(".")
    config = find_family(owner).config
    record: type[BaseModel] = (
        config if dotted.partition(".")[0] in config.model_fields else RunConfig
    )
    for name in sections:
        kinds = _records_of(record.model_fields[name].annotation)
        record = next((one for one in kinds if leaf in one.model_fields), kinds[0])
    if leaf not in record.model_fields:
        return f"updates of the part {leaf}"
    return record.model_fields[leaf].description or ""


def variable_fields(family: str = DIAMOND) -> Iterator[str]:
    """Yield the dotted names of the fields that a user may vary by name."""
    for name in field_names(family):
        if name.partition(".")[0] not in SHARED_SECTIONS and name not in _NOT_BY_NAME:
            yield name


def check_field(dotted: str, axes: Iterable[str] = ()) -> str:
    """Return the name when it is a field that an arm may vary.

    Args:
        dotted: What the user wrote.
        axes: Names of axes that could have been meant.

    Raises:
        RequestError: There is no such field, it is a block for pairing, or arms share it.
    """
    if find_field(dotted, axes).partition(".")[0] in SHARED_SECTIONS:
        raise RequestError(
            f"{dotted} cannot be an axis: "
            "all arms of a study are scored against the same real frames"
        )
    return dotted


def find_field(dotted: str, axes: Iterable[str] = ()) -> str:
    """Return the name when it is a field that a user may set.

    Args:
        dotted: What the user wrote.
        axes: Names of axes that could have been meant.

    Raises:
        RequestError: There is no such field, or it is a block for pairing.
    """
    name = BLOCK_SPELLINGS.get(dotted, dotted)
    if name in BLOCK_FIELDS:
        raise RequestError(BLOCK_FIELDS[name])
    if dotted in AXIS_FIELDS:
        raise RequestError(f"{dotted} cannot be set by itself: {AXIS_FIELDS[dotted]}")
    names = _all_names(DIAMOND)
    if dotted.startswith(OPTIONS) and all(dotted.split(".")):
        return dotted
    if dotted not in names and not any(dotted in _all_names(n) for n in known_families()):
        guess = did_you_mean(dotted, [*axes, *names])
        raise RequestError(
            f"unknown axis {dotted!r}.{guess}\n"
            "  allowed: a named axis (`diamond axes`) or a config field (`diamond axes --fields`)"
            + "".join(f"\n  {said}" for said in broken_families())
        )
    return dotted


def check_protocol(dotted: str, protocol: Protocol) -> None:
    """Refuse a field that means nothing in a protocol.

    Raises:
        RequestError: It belongs to the other one; the text says what to do instead.
    """
    if protocol == "static" and dotted.startswith("online."):
        raise RequestError(
            f"{dotted} belongs to the online protocol, and this study is static\n"
            "  add --protocol online, or leave it out"
        )
    part, _, field = dotted.partition(".")
    instead = STATIC_FIELDS.get(part, "")
    if field in ONLINE_INSTEAD and part not in SHARED_SECTIONS:
        instead = ONLINE_INSTEAD[field].format(part=part)
    if protocol == "online" and instead:
        raise RequestError(
            f"{dotted} belongs to the static protocol, and this study is online\n"
            f"  {instead}, or use --protocol static"
        )


def check_family_has(config: RunConfig, dotted: str, axis: str = "") -> None:
    """Refuse a field of another family than a run's.

    Args:
        axis: What the user wrote, where it is not the field.

    Raises:
        RequestError: The run's family has no such section.
    """
    section, _, field = dotted.partition(".")
    if section == "environment":
        _check_kind_has(config, field)
    if section in type(config).model_fields or section in type(config.world).model_fields:
        return
    known = known_families()
    owners = [name for name, one in known.items() if section in one.config.model_fields]
    whose = f" of the family {' or '.join(owners)}" if owners else ""
    raise RequestError(
        f"{axis or dotted} is an axis{whose}, and this arm's world model is of the family "
        f"{config.world.family}\n  write arms out with --arm, each with the axes of its family: "
        f"--arm 'a: family={owners[0] if owners else DIAMOND} ...'"
    )


def _check_kind_has(config: RunConfig, field: str) -> None:
    """Refuse a field of another kind of game."""
    own = type(config.environment).model_fields
    if field.partition(".")[0] in own:
        return
    owners = [kind.model_fields["kind"].default for kind in KINDS if field in kind.model_fields]
    raise RequestError(
        f"environment.{field} is a field of games of the kind {' and '.join(owners)}, and "
        f"{config.game} is of the kind {config.environment.kind}\n"
        f"  allowed: {', '.join(name for name in own if name != 'kind')}"
    )


def get_field(config: RunConfig, dotted: str) -> Any:
    """Return the value of a field by its dotted name, which must exist."""
    section, *inner = dotted.split(".")
    value: Any = config.world if section in type(config.world).model_fields else config
    for part in (section, *inner):
        value = getattr(value, part) if isinstance(value, BaseModel) else (value or {}).get(part)
    return value


def place_of(config: RunConfig, dotted: str) -> list[str]:
    """Where a field is in a run: sections of the world model are written without ``world.``."""
    parts = dotted.split(".")
    return [WORLD, *parts] if parts[0] in type(config.world).model_fields else parts


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return a config with fields replaced, validated as a whole.

    Args:
        config: The config to start from.
        values: Value per dotted field name; text that is JSON is read as JSON, other text as a
            string.

    Raises:
        RequestError: A field belongs to the other protocol or to another family, or a value is not
            allowed; the text names the field, the value and the rule.
    """
    # Sections in which nothing changes stay the same objects: arms share them.
    data = _fields(config)
    for dotted, text in values.items():
        if dotted not in AXIS_FIELDS.keys() | WHOLE_SECTIONS:
            find_field(dotted)
        check_family_has(config, dotted)
        check_protocol(dotted, config.protocol)
        *sections, leaf = place_of(config, dotted)
        target = data
        for section in sections:
            # An option may be a record of its own: what is named of it is made.
            inner = target.get(section, {}) if dotted.startswith(OPTIONS) else target[section]
            if not isinstance(inner, BaseModel | Mapping):
                raise RequestError(f"{dotted}: {section} is {inner!r}, which has no parts")
            target[section] = _fields(inner) if isinstance(inner, BaseModel) else dict(inner)
            target = target[section]
        value = _parse(text) if isinstance(text, str) else text
        # A truth value would pass for the number 0 or 1; as text it is refused.
        mistaken = isinstance(value, bool) and not (
            isinstance(target.get(leaf), bool) or dotted.startswith(OPTIONS)
        )
        target[leaf] = text if mistaken else value
    return validated(data, values)


def validated(data: Mapping[str, Any], values: Mapping[str, Any]) -> RunConfig:
    """The run of fields that are validated as a whole, the sections of its world model first.

    Args:
        data: Value per field of a `RunConfig`.
        values: What the user set, for the error.

    Raises:
        RequestError: A value is not allowed; the text names the field, the value and the rule.
    """
    world = data[WORLD]
    try:
        if isinstance(world, Mapping):
            world = find_family(world["family"]).config.model_validate(world)
        return RunConfig.model_validate({**data, WORLD: world})
    except ValidationError as error:
        raise RequestError(explain(error, values)) from error


def _fields(record: BaseModel) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).model_fields} | (
        record.model_extra or {}
    )


def explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    """Turn a validation error into lines of field, value and rule."""
    lines = []
    for item in error.errors():
        # What stands behind `environment` is its kind, which users do not write.
        name = ".".join(
            str(part)
            for before, part in zip(("", *item["loc"]), item["loc"], strict=False)
            if isinstance(part, str) and not part.endswith("]") and before != "environment"
        )
        message = item["msg"].removeprefix("Value error, ")
        shown = f"{name}={item['input']!r}: " if name and "." in name or name in values else ""
        lines.append(f"{shown}{message[:1].lower()}{message[1:]}")
    given = ", ".join(f"{name}={text}" for name, text in values.items())
    head = f"not a valid run ({given}):" if given else "not a valid run:"
    return "\n  ".join(
        [head, *lines, "`diamond axes --fields` lists every field with its meaning and range"]
    )


@cache
def _all_names(family: str) -> tuple[str, ...]:
    return tuple(field_names(family))


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _records_of(annotation: Any) -> list[type[BaseModel]]:
    """The records that a field may hold, also where the field may be absent."""
    return [
        inner
        for inner in (annotation, *get_args(annotation))
        if isinstance(inner, type) and issubclass(inner, BaseModel)
    ]
