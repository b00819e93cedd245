"""Set any field of a `RunConfig` by its dotted name, from text, with errors that help."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from diamond.config.run import Protocol, RunConfig
from diamond.errors import RequestError, nearest

BLOCK_FIELDS: Mapping[str, str] = {
    "game": "game is a block for pairing, never an arm: use --game A,B",
    "data_seed": "all arms of a study share their real frames, references and noise",
    "seed": "the seed is a block for pairing, never an arm: use --seeds N",
    "preset": "a preset is chosen with --preset",
    "imported": "networks that were trained elsewhere come with --checkpoint",
    "family": "world model families other than diamond are baselines, added by themselves",
    "protocol": "the protocol is chosen with --protocol",
}
BLOCK_SPELLINGS: Mapping[str, str] = {"games": "game", "seeds": "seed"}
AXIS_FIELDS: Mapping[str, str] = {
    "frames.policy": "a trained policy records the frames with the axis collector=CHECKPOINT",
}
"""Fields that have no text of their own: a named axis sets them."""
_NOT_BY_NAME: Mapping[str, str] = {**BLOCK_FIELDS, **AXIS_FIELDS}
SHARED_SECTIONS: frozenset[str] = frozenset(
    {"emulator", "references", "rollouts", "inverse_dynamics"}
)
"""Sections that decide what arms are scored against, and by what.

Arms that differ there could not be compared.
"""
STATIC_FIELDS: Mapping[str, str] = {
    "frames": "each agent collects its own frames: vary online.env_steps",
    "denoiser.updates": "updates are counted by epoch: vary online.updates.denoiser",
    "denoiser.stop_after": "an agent trains its networks in turn and to the end: leave it out",
    "reward_end.updates": "updates are counted by epoch: vary online.updates.reward_end",
    "policy.updates": "updates are counted by epoch: vary online.updates.policy",
}
"""Sections and fields without a meaning in the online protocol, and what to vary instead."""


def field_names(record: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all leaf fields."""
    for name, field in record.model_fields.items():
        inner = _record_of(field.annotation)
        if inner is not None and prefix + name not in _NOT_BY_NAME:
            yield from field_names(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def field_description(dotted: str) -> str:
    """Return the description of a leaf field; the name must exist."""
    record: type[BaseModel] = RunConfig
    *sections, leaf = dotted.split(".")
    for section in sections:
        inner = _record_of(record.model_fields[section].annotation)
        assert inner is not None
        record = inner
    return record.model_fields[leaf].description or ""


def variable_fields() -> Iterator[str]:
    """Yield the dotted names of the fields that a user may vary by name."""
    for name in field_names():
        if name.partition(".")[0] not in SHARED_SECTIONS and name not in _NOT_BY_NAME:
            yield name


def check_field(dotted: str, axes: Iterable[str] = ()) -> str:
    """Return the name when it is a field that an arm may vary.

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
    names = _all_names()
    if dotted not in names:
        match = nearest(dotted, [*axes, *names])
        guess = f" Did you mean {match!r}?" if match else ""
        raise RequestError(
            f"unknown axis {dotted!r}.{guess}\n"
            "  allowed: a named axis (`diamond axes`) or a config field (`diamond axes --fields`)"
        )
    if dotted.split(".", maxsplit=1)[0] in SHARED_SECTIONS:
        raise RequestError(
            f"{dotted} cannot be an axis: "
            "all arms of a study are scored against the same real frames"
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
    for name, instead in STATIC_FIELDS.items():
        if protocol == "online" and f"{dotted}.".startswith(f"{name}."):
            raise RequestError(
                f"{dotted} belongs to the static protocol, and this study is online\n"
                f"  {instead}, or use --protocol static"
            )


def get_field(config: RunConfig, dotted: str) -> Any:
    """Return the value of a field by its dotted name, which must exist."""
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return a config with fields replaced, validated as a whole.

    Args:
        config: The config to start from.
        values: Value per dotted field name; text that is JSON is read as JSON, other text as a
            string.

    Raises:
        RequestError: A field belongs to the other protocol, or a value is not allowed; the text
            names the field, the value and the rule.
    """
    # Sections in which nothing changes stay the same objects: arms share them.
    data: dict[str, Any] = {name: getattr(config, name) for name in type(config).model_fields}
    for dotted, text in values.items():
        if dotted not in AXIS_FIELDS:
            check_field(dotted)
        *sections, leaf = dotted.split(".")
        check_protocol(dotted, config.protocol)
        if sections and isinstance(data[sections[0]], BaseModel):
            data[sections[0]] = data[sections[0]].model_dump(mode="python")
        target = data
        for section in sections:
            target = target[section]
        value = _parse(text) if isinstance(text, str) else text
        # A truth value would pass for the number 0 or 1; as text it is refused.
        mistaken = isinstance(value, bool) and not isinstance(target[leaf], bool)
        target[leaf] = text if mistaken else value
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise RequestError(explain(error, values)) from error


def explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    """Turn a validation error into lines of field, value and rule."""
    lines = []
    for item in error.errors():
        name = ".".join(
            str(part) for part in item["loc"] if isinstance(part, str) and not part.endswith("]")
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
def _all_names() -> tuple[str, ...]:
    return tuple(field_names())


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _record_of(annotation: Any) -> type[BaseModel] | None:
    """The record that a field holds, also where the field may be absent."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None
