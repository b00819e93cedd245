"""The base of every config record and the canonical JSON from which content hashes are made."""

import json
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Record(BaseModel):
    """Frozen and closed: an unknown field is an error, nothing is computed after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def canonical(record: BaseModel) -> dict[str, Any]:
    """Return a record as plain data without the fields that are at their neutral value.

    The neutral value of a field (``json_schema_extra={"neutral": value}``) is the behaviour from
    before the field existed; leaving it out keeps the keys of results made before.
    """
    data: dict[str, Any] = {}
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if _is_neutral(field, value):
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


def _is_neutral(field: FieldInfo, value: object) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "neutral" in extra and extra["neutral"] == value


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
