"""The result as JSON: how it is written, read and sealed.

Arms and runs that share a stage have equal numbers: they stand once, under `scores` at the top, by
a hash of their content, and arms and runs name what is theirs.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from diamond.config.base import content_hash
from diamond.config.metric_table import stage_of
from diamond.results.model import Result

SHARED = "scores"
"""Numbers at the top of a document, and the names of its own in an arm or a run."""
PARTS = ("metrics", "curves")
"""What is shared, by metric."""
DIGITS = 16


def to_document(result: Result) -> dict[str, Any]:
    """A result as plain data for JSON, equal numbers once."""
    data = result.model_dump(mode="json")
    shared: dict[str, object] = {}
    for owner in _owners(data):
        owner[SHARED] = _shared({part: owner.pop(part) for part in PARTS}, shared)
    return {**data, SHARED: shared}


def from_document(data: Mapping[str, Any]) -> Result:
    """The result that `to_document` wrote.

    Raises:
        ValueError: The data is no result, or that of another version.
    """
    try:
        return Result.model_validate(_whole(data))
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise ValueError(f"no result of this version: {error}") from error


def _whole(data: Mapping[str, Any]) -> dict[str, object]:
    """The data with the numbers of each arm and run in their place."""
    shared = data[SHARED]
    whole = {name: part for name, part in data.items() if name != SHARED}
    whole["arms"] = [
        _with_numbers(arm, shared) | {"runs": [_with_numbers(run, shared) for run in arm["runs"]]}
        for arm in data["arms"]
    ]
    return whole


def _with_numbers(owner: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, object]:
    own = {name: part for name, part in owner.items() if name != SHARED}
    for part in PARTS:
        found = [shared[name][part] for name in owner[SHARED]]
        own[part] = {metric: value for values in found for metric, value in values.items()}
    return own


def _owners(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for arm in data["arms"] for one in (arm, *arm["runs"])]


def _shared(numbers: Mapping[str, Mapping[str, object]], shared: dict[str, object]) -> list[str]:
    """Put numbers under `shared`, those of each stage for themselves; return their names."""
    stages: dict[str, dict[str, dict[str, object]]] = {}
    for part, values in numbers.items():
        for metric, value in values.items():
            own = stages.setdefault(stage_of(metric), {name: {} for name in PARTS})
            own[part][metric] = value
    names = []
    for own in stages.values():
        name = content_hash(own)[:DIGITS]
        shared[name] = own
        names.append(name)
    return names
