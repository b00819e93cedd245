"""The stage store as a document sees it: a stage that many runs share is looked at once."""

from pathlib import Path

from diamond.engine.output_names import MANIFEST_FILE
from diamond.engine.stage_manifest import Manifest
from diamond.engine.store import Status, Store
from diamond.plan.stage_keys import StageSpec

Stamp = tuple[int, int, int]
"""File, time and size of a manifest: it is written beside and renamed, so a new one differs."""


class SeenStore(Store):
    """A home that is only read. Mutable: it keeps what it saw; for one thread at a time.

    What is done stays so; of anything else `look_again` finds what is new.
    """

    def __init__(self, home: Path) -> None:
        """Name the home; nothing is read."""
        super().__init__(home)
        self._statuses: dict[tuple[str, str], Status] = {}
        self._manifests: dict[tuple[str, str], Manifest | None] = {}
        self._known: dict[tuple[str, str], tuple[Stamp, Manifest | None]] = {}

    def look_again(self) -> None:
        """Forget the state of what was not done."""
        self._statuses = {one: found for one, found in self._statuses.items() if found == "done"}
        self._manifests = {one: self._manifests[one] for one in self._statuses}

    def status(self, spec: StageSpec) -> Status:
        """How far a stage is; see `Store.status`."""
        one = (spec.stage, spec.key)
        if one not in self._statuses:
            manifest = self.manifest(*one)
            pending = manifest is not None and manifest["state"] == "pending"
            self._statuses[one] = "todo" if pending else super().status(spec)
        return self._statuses[one]

    def manifest(self, stage: str, key: str) -> Manifest | None:
        """The manifest of a stage; see `Store.manifest`."""
        one = (stage, key)
        if one not in self._manifests:
            self._manifests[one] = self._read(stage, key)
        return self._manifests[one]

    def _place(self, stage: str, key: str) -> Path:
        published = self.is_published(stage, key)
        return self.folder(stage, key) if published else self.work(stage, key)

    def _read(self, stage: str, key: str) -> Manifest | None:
        try:
            found = (self._place(stage, key) / MANIFEST_FILE).stat()
        except OSError:  # Reading says what an error means.
            return super().manifest(stage, key)
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._known.get((stage, key))
        if known is None or known[0] != stamp:
            known = self._known[stage, key] = (stamp, super().manifest(stage, key))
        return known[1]
