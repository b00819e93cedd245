"""The stage store.

One folder per stage and key, with a manifest that says what it is and whether it is whole.
"""

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diamond.ablation.stages import NUMERICS, StageSpec
from diamond.errors import StoreError
from diamond.pipeline.claim import Claim
from diamond.pipeline.files import create_json, digest, read_json, write_json
from diamond.pipeline.home import open_home

Status = Literal["todo", "partial", "done", "damaged", "failed"]
OWN_FILES = frozenset({"manifest.json", "events.jsonl", "claim.json", ".claim.guard", "checkpoint"})
"""What the store itself keeps in a folder; everything else is an output."""


@dataclass(frozen=True)
class StageResult:
    """What a finished stage measured of itself; none of it is part of the outputs.

    Attributes:
        timings: Seconds and counts by name.
    """

    timings: dict[str, float]


class Store:
    """All stage folders under a home."""

    def __init__(self, home: Path) -> None:
        """Name the home; nothing is read or written."""
        self.home = home

    def check_writable(self) -> None:
        """Make the home, or find out which one it is.

        Raises:
            StoreError: It cannot be made or written, or another version made it.
        """
        try:
            open_home(self.home)
            (self.home / "stages").mkdir(parents=True, exist_ok=True)
            probe = self.home / f".probe-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"cannot write the home {str(self.home)!r}: {error.strerror or error}\n"
                "  give a folder that you may write with --home, for instance --home ./mlruns"
            ) from error

    def folder(self, stage: str, key: str) -> Path:
        """The folder of a stage."""
        return self.home / "stages" / stage / key

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """The manifest of a stage, None when there is none or it cannot be read."""
        data = read_json(self.folder(stage, key) / "manifest.json")
        return data if isinstance(data, dict) and data.get("key") == key else None

    def status(self, spec: StageSpec) -> Status:
        """How far a stage is, by its manifest and the presence of its outputs.

        Digests are not read. Failed is what would fail again; what the machine stopped is to do, or
        partial.
        """
        folder = self.folder(spec.stage, spec.key)
        if not folder.exists():
            return "todo"
        manifest = self.manifest(spec.stage, spec.key)
        if manifest is None:
            return "damaged" if (folder / "manifest.json").exists() else "todo"
        if manifest["state"] == "done":
            whole = all((folder / name).is_file() for name in manifest["outputs"])
            return "done" if whole else "damaged"
        if manifest["state"] == "failed" and manifest.get("lasting"):
            return "failed"
        return "partial" if (folder / "checkpoint").exists() else "todo"

    def statuses(self, specs: Iterable[StageSpec]) -> dict[str, Status]:
        """The `status` of many stages by key: of those without a folder no file is looked for."""
        there: dict[str, frozenset[str]] = {}
        found: dict[str, Status] = {}
        for spec in specs:
            if spec.stage not in there:
                there[spec.stage] = self._keys(spec.stage)
            found[spec.key] = self.status(spec) if spec.key in there[spec.stage] else "todo"
        return found

    def _keys(self, stage: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self.home / "stages" / stage))
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    def damage(self, spec: StageSpec) -> str | None:
        """What is wrong with a finished stage, read in full.

        None when every byte is as it was written.
        """
        status = self.status(spec)
        if status == "damaged":
            return "its manifest cannot be read or an output is missing"
        if status != "done":
            return None
        manifest = self.manifest(spec.stage, spec.key)
        assert manifest is not None
        folder = self.folder(spec.stage, spec.key)
        for name, expected in manifest["outputs"].items():
            if digest(folder / name) != expected:
                return f"{name} differs from its digest"
        return None

    def reset(self, spec: StageSpec) -> None:
        """Remove a damaged stage so that it is made again.

        A stage that someone is making is left alone.
        """
        folder = self.folder(spec.stage, spec.key)
        if Claim(folder).holder() is None:
            shutil.rmtree(folder)

    def prepare(self, spec: StageSpec) -> None:
        """Write the manifest of a stage that has none, so that a worker finds everything."""
        folder = self.folder(spec.stage, spec.key)
        if self.manifest(spec.stage, spec.key) is not None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        create_json(
            folder / "manifest.json",
            {
                "stage": spec.stage,
                "key": spec.key,
                "config": spec.config,
                "upstream": spec.upstream,
                "seed": spec.seed,
                "numerics": NUMERICS[spec.stage],
                "code": None,
                "device": None,
                "state": "pending",
                "error": None,
                "lasting": None,
                "outputs": {},
                "timings": {},
            },
        )

    def mark_running(self, stage: str, key: str, device: str, code: dict[str, Any]) -> None:
        """Note that a worker has begun, on which device and with which code."""
        self._update(
            stage,
            key,
            {"state": "running", "error": None, "lasting": None, "device": device, "code": code},
        )

    def mark_done(self, stage: str, key: str, result: StageResult) -> None:
        """Digest the outputs and close the stage; its checkpoint is removed."""
        folder = self.folder(stage, key)
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        outputs = {
            name.as_posix(): digest(folder / name)
            for name in names
            if name.parts[0] not in OWN_FILES and not name.name.startswith(".")
        }
        finished = {"finished_ms": time.time_ns() // 1_000_000}
        update = {"state": "done", "outputs": outputs, "timings": result.timings | finished}
        self._update(stage, key, update)
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)

    def mark_failed(self, stage: str, key: str, error: str, lasting: bool) -> None:
        """Note why a stage stopped, and whether it would stop again; its last checkpoint stays."""
        self._update(stage, key, {"state": "failed", "error": error, "lasting": lasting})

    def failure(self, spec: StageSpec) -> str | None:
        """Why a stage failed, when it would fail again; None for any other."""
        if self.status(spec) != "failed":
            return None
        manifest = self.manifest(spec.stage, spec.key)
        return None if manifest is None else str(manifest["error"])

    def _update(self, stage: str, key: str, values: dict[str, Any]) -> None:
        manifest = self.manifest(stage, key)
        assert manifest is not None, f"{stage} {key} was not prepared"
        write_json(self.folder(stage, key) / "manifest.json", manifest | values)
