"""Values in JSON files with a digest of their own: a damaged one is noticed and never used."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

DIGEST = "sha256"


def sealed(value: Mapping[str, Any]) -> dict[str, object]:
    """Return a value with its digest."""
    content = unsealed(value)
    # As it will be read: with lists for tuples, and texts for all names.
    return {**content, DIGEST: _digest(json.loads(json.dumps(content)))}


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value without its digest."""
    return {name: part for name, part in value.items() if name != DIGEST}


def is_whole(value: Any) -> bool:
    """Whether a value that was read from JSON is what `sealed` returned."""
    return isinstance(value, dict) and value.get(DIGEST) == _digest(unsealed(value))


def _digest(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
