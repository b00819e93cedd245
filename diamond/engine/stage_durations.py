"""How long stages of a home took, against what they were expected to take."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ValidationError

from diamond.config.base import canonical
from diamond.config.online import OnlineConfig
from diamond.config.run import RunConfig
from diamond.config.worlds import find_family, world_section
from diamond.engine.stage_cost import expected_seconds
from diamond.engine.stage_folders import KEPT, STAGES_FOLDER
from diamond.engine.stage_manifest import Manifest
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageName

RECENT = 32
"""Finished stages of a kind that are looked at, the newest first."""
SIMILAR = 10.0
"""A stage says something of another one whose work is at most so many times more or less.

The time of very small stages is that of opening files, which tells nothing of training."""


@dataclass(frozen=True)
class Sample:
    """One finished stage: seconds expected and seconds taken."""

    expected: float
    taken: float


class Measured:
    """What the finished stages of a home say about the time of stages like them."""

    def __init__(self, store: Store, device: str, example: RunConfig) -> None:
        """Read the newest manifests.

        Args:
            device: Stages made on it count, by its name in their manifests.
            example: Any run; it lends the sections that a stage does not read.
        """
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        self._factor = lru_cache(maxsize=None)(self._find)
        for stage in store.stage_names():
            for path in _newest(store, stage):
                manifest = store.manifest(stage, path.name)
                if manifest and manifest["state"] == "done" and manifest["device"] == device:
                    self._add(store, stage, manifest, example)

    def factor(self, stage: StageName, config: Mapping[str, Any], expected: float) -> float | None:
        """Median of taken over expected among stages like this one; None where there are none."""
        return self._factor(_kind(stage, config), expected) if self._samples else None

    def _find(self, kind: tuple[str, str], expected: float) -> float | None:
        near = [
            sample.taken / sample.expected
            for sample in self._samples.get(kind, ())
            if expected / SIMILAR <= sample.expected <= expected * SIMILAR
        ]
        return median(near) if near else None

    def _add(self, store: Store, stage: StageName, manifest: Manifest, example: RunConfig) -> None:
        run = _run_of(store, manifest, example)
        if run is None or "imported" in manifest["config"]:
            return
        expected = expected_seconds(run, stage, manifest["config"].get("player"))
        sample = Sample(expected, float(manifest["timings"]["seconds"]))
        self._samples.setdefault(_kind(stage, manifest["config"]), []).append(sample)


def _kind(stage: StageName, config: Mapping[str, Any]) -> tuple[str, str]:
    """Baselines and players do other work than what they stand beside."""
    return stage, str(config.get("family", config.get("player", "")))


def _newest(store: Store, stage: StageName) -> list[Path]:
    folders = [store.home / part / stage for part in (STAGES_FOLDER, KEPT)]
    paths = [path for folder in folders for path in folder.glob("*") if path.is_dir()]
    found = [(path.stat().st_mtime, path) for path in paths]
    return [path for _, path in sorted(found, reverse=True)[:RECENT]]


def _run_of(store: Store, manifest: Manifest, example: RunConfig) -> RunConfig | None:
    """A run with the sections that a stage and those it reads were made with.

    None where another version wrote them.
    """
    sections: dict[str, Any] = {}
    _gather(store, manifest, sections)
    update: dict[str, object] = {}
    try:
        for name, section in sections.items():
            record: Any = OnlineConfig if name == "online" else type(getattr(example, name, None))
            if issubclass(record, BaseModel):
                update[name] = record.model_validate(section)
        if "family" in sections:
            family = find_family(sections["family"])
            lent = canonical(family.preset(example.preset, example.game))
            update["world"] = world_section(lent | sections)
    except (ValidationError, RequestError):
        return None
    return example.model_copy(update=update)


def _gather(store: Store, manifest: Manifest, sections: dict[str, object]) -> None:
    for name, section in manifest["config"].items():
        sections.setdefault(name, section)
    for stage, key in manifest["upstream"].items():
        upstream = store.manifest(stage, key)
        if upstream is not None:
            _gather(store, upstream, sections)
