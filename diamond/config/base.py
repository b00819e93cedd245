"""The base of every config record and the canonical JSON from which content hashes are made."""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.fields import FieldInfo

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)
_NO_NEUTRAL = object()
"""Of a field without a neutral value; equal to nothing."""
_MAX_SHARED = 1 << 14
"""Records whose plain form, and values whose text is kept: those of a plan of a thousand arms."""
NEUTRAL_DEFAULT: dict[str, JsonValue] = {"neutral": "default"}
"""Of a field whose neutral value is a record: its default."""


class Record(BaseModel):
    """Frozen and closed: an unknown field is an error, nothing is computed after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def first_reason(error: ValidationError) -> str:
    """The first thing that is wrong: the field and the rule."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    rule = first["msg"].removeprefix("Value error, ")
    return f"{field}: {rule}" if field else rule


class Same:
    """A value as the key of a cache by identity: equal values may differ as JSON, as 1 and 1.0."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


def canonical(record: BaseModel) -> dict[str, Any]:
    """Return a record as plain data without the fields that are at their neutral value.

    The neutral value of a field (``json_schema_extra={"neutral": value}``) is the behaviour from
    before the field existed; leaving it out keeps the keys of results made before. What stands for
    a record inside is one object for as long as the record is: it is not to be changed.
    """
    data: dict[str, Any] = {}
    for name, neutral in _neutral_values(type(record)):
        value = getattr(record, name)
        if value == neutral:
            continue
        data[name] = _nested(Same(value)) if isinstance(value, BaseModel) else _plain(value)
    return data | (record.model_extra or {})


def shared_canonical(record: BaseModel) -> dict[str, Any]:
    """`canonical`, one object for as long as the record is: it is not to be changed."""
    return _nested(Same(record))


def canonical_json(data: object) -> str:
    """Serialise plain data in one way only: sorted keys, no spaces, shortest floats, ASCII."""
    return _ENCODER.encode(data)


def canonical_members(data: Mapping[str, Any]) -> str:
    """The canonical JSON of plain data without its braces.

    Values are written once for as long as they are: runs that share a section share its text.
    """
    return ",".join(f"{_json(name)}:{_text(Same(value))}" for name, value in sorted(data.items()))


def content_hash(data: object) -> str:
    """SHA-256 of the canonical JSON of plain data, as 64 hexadecimal digits."""
    return sha256(canonical_json(data).encode()).hexdigest()


@lru_cache(maxsize=_MAX_SHARED)
def _nested(record: Same) -> dict[str, Any]:
    return canonical(record.value)


@lru_cache(maxsize=_MAX_SHARED)
def _text(value: Same) -> str:
    return canonical_json(value.value)


@cache
def _json(name: str) -> str:
    return canonical_json(name)


@cache
def _neutral_values(record: type[BaseModel]) -> tuple[tuple[str, object], ...]:
    return tuple((name, _neutral(field)) for name, field in record.model_fields.items())


def _neutral(field: FieldInfo) -> object:
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or "neutral" not in extra:
        return _NO_NEUTRAL
    return field.default if extra == NEUTRAL_DEFAULT else extra["neutral"]


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
