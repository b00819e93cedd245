"""Values in JSON files with a digest of their own: a damaged one is noticed and never used."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

DIGEST = "sha256"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value with its digest."""
    content = unsealed(value)
    return {**content, DIGEST: _digest(content)}


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value without its digest."""
    return {name: part for name, part in value.items() if name != DIGEST}


def is_whole(value: Any) -> bool:
    """Whether a value that was read is what was written; former versions wrote no digest."""
    if not isinstance(value, dict):
        return False
    return DIGEST not in value or value[DIGEST] == _digest(unsealed(value))


def _digest(content: Mapping[str, Any]) -> str:
    # As it will be read: with lists for tuples, and texts for all names.
    plain = json.loads(json.dumps(content))
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
