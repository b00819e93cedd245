"""The base of every config record and the canonical JSON from which content hashes are made."""

import json
from functools import cache
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict

_NO_NEUTRAL = object()


class Record(BaseModel):
    """Frozen and closed: an unknown field is an error, nothing is computed after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def canonical(record: BaseModel) -> dict[str, Any]:
    """Return a record as plain data without the fields that are at their neutral value.

    The neutral value of a field (``json_schema_extra={"neutral": value}``) is the behaviour from
    before the field existed; leaving it out keeps the keys of results made before.
    """
    data: dict[str, Any] = {}
    for name, neutral in _neutral_values(type(record)):
        value = getattr(record, name)
        if neutral is not _NO_NEUTRAL and neutral == value:
            continue
        data[name] = canonical(value) if isinstance(value, BaseModel) else _plain(value)
    return data


def canonical_json(data: object) -> str:
    """Serialise plain data in one way only: sorted keys, no spaces, shortest floats, ASCII."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def content_hash(data: object) -> str:
    """SHA-256 of the canonical JSON of plain data, as 64 hexadecimal digits."""
    return sha256(canonical_json(data).encode()).hexdigest()


@cache
def _neutral_values(record: type[BaseModel]) -> tuple[tuple[str, Any], ...]:
    """Name and neutral value of every field; a plan of a thousand runs asks again and again."""
    found = []
    for name, field in record.model_fields.items():
        extra = field.json_schema_extra
        neutral = extra.get("neutral", _NO_NEUTRAL) if isinstance(extra, dict) else _NO_NEUTRAL
        found.append((name, neutral))
    return tuple(found)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
