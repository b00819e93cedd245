"""The stage store.

``stages/<stage>/<key>`` is a finished stage: it comes there by one rename and is never changed.
``kept/<stage>/<key>`` is what is left of one of which outputs were dropped; it comes there in the
same way, before the whole one goes. ``work/<stage>/<key>`` is an unfinished one: its manifest, the
claims on it, and a folder for each attempt. Source: docs/decisions/0001, 0008.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from diamond.engine.files import check_file_system, create_json, digest, rename_to_new
from diamond.engine.home import check_format, open_home
from diamond.engine.output_names import CHECKPOINT_FILE, EVENTS_FILE, MANIFEST_FILE
from diamond.engine.sealed_json import sealed
from diamond.engine.stage_attempt import OWNER_FILE, Attempt, farthest_attempt, go_on_from, is_left
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_folders import ATTEMPTS, STAGES_FOLDER, WORK, StageFolders
from diamond.engine.stage_manifest import (
    OWN_FILES,
    Maker,
    Manifest,
    ManifestChange,
    damage_of,
    missing_files,
    new_manifest,
    read_manifest,
    stage_manifest,
    write_kept,
    write_manifest,
)
from diamond.errors import StoreError
from diamond.plan.stage_keys import StageSpec
from diamond.tracking.owner import current_owner

Status = Literal["todo", "partial", "done", "damaged", "failed"]
TRASH = ".trash"
"""What was renamed out of sight before it is deleted."""


@dataclass(frozen=True)
class StageResult:
    """What a finished stage measured of itself; none of it is part of the outputs.

    Attributes:
        timings: Seconds and counts by name.
    """

    timings: dict[str, float]


class Store(StageFolders):
    """All stages under a home: it makes, reads and removes them."""

    def check_writable(self) -> None:
        """Make the home, or find out which one it is.

        Raises:
            StoreError: It cannot be written, lacks locks or links, or is of another version.
        """
        try:
            check_format(self.home)
            check_file_system(self.home)  # It is made only where it can work.
            open_home(self.home)
            for name in (STAGES_FOLDER, WORK):
                (self.home / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot write the home {str(self.home)!r}: {error.strerror or error}\n"
                "  give a folder that you may write with --home, for instance --home ./mlruns"
            ) from error

    def farthest(self, stage: str, key: str) -> Path | None:
        """The attempt of an unfinished stage that got farthest; None where there is none."""
        return farthest_attempt(self.work(stage, key) / ATTEMPTS)

    def manifest(self, stage: str, key: str) -> Manifest | None:
        """The manifest of a stage, finished or not.

        None when there is none, or it is not as it was written.
        """
        unfinished = None
        if not self.is_published(stage, key):
            unfinished = read_manifest(self.work(stage, key))
        # It may have been published, and the work on it removed, since the first look; or its
        # frames were dropped, or made again, and it is in another place than a moment ago.
        found = unfinished or read_manifest(self.folder(stage, key))
        return found or read_manifest(self.folder(stage, key))

    def is_published(self, stage: str, key: str) -> bool:
        """Whether a stage is finished, damaged or not; some of its files may have been dropped."""
        return self.folder(stage, key).exists()

    def has_all_files(self, stage: str, key: str) -> bool:
        """Whether a stage is finished, damaged or not, and nothing of it was dropped."""
        return self._whole(stage, key).exists()

    def status(self, spec: StageSpec) -> Status:
        """How far a stage is, by its manifest and the presence of its outputs.

        Digests of outputs are not read. Failed is what would fail again; what the machine stopped
        is to do, or partial.
        """
        # One look decides: the stage may be published at any moment.
        manifest = self.manifest(spec.stage, spec.key)
        if manifest is None:
            return "damaged" if self.is_published(spec.stage, spec.key) else "todo"
        if manifest["state"] == "done":
            missing = missing_files(self.folder(spec.stage, spec.key), manifest)
            return "damaged" if missing else "done"
        if manifest["state"] == "failed" and manifest["lasting"]:
            return "failed"
        attempt = self.farthest(spec.stage, spec.key)
        return "partial" if attempt and (attempt / CHECKPOINT_FILE).exists() else "todo"

    def statuses(self, specs: Iterable[StageSpec]) -> dict[str, Status]:
        """The `status` of many stages by key: of those without a folder no file is looked for."""
        there: dict[str, frozenset[str]] = {}
        found: dict[str, Status] = {}
        for spec in specs:
            if spec.stage not in there:
                there[spec.stage] = self.keys(spec.stage)
            found[spec.key] = self.status(spec) if spec.key in there[spec.stage] else "todo"
        return found

    def damage(self, spec: StageSpec) -> str | None:
        """What is wrong with a finished stage, read in full.

        None when every byte is as it was written, and for a stage that is not finished.
        """
        folder = self.folder(spec.stage, spec.key)
        found = damage_of(folder) if folder.exists() else None
        # Another command may have dropped its frames meanwhile, or made them again.
        now = self.folder(spec.stage, spec.key)
        return found if found is None or now == folder else damage_of(now)

    def whole_folder(self, stage: str, key: str) -> Path:
        """The folder of a finished stage, read in full.

        Raises:
            StoreError: It is not finished or not as it was written.
        """
        folder = self.folder(stage, key)
        damage = damage_of(folder)
        if damage is not None:
            raise StoreError(
                f"the stage {stage} {key} is damaged: {damage}\n"
                "  the command of its study makes it again"
            )
        return folder

    def reset(self, spec: StageSpec) -> None:
        """Remove a damaged stage so that it is made again.

        What another process published in its place meanwhile is left alone.
        """
        folder, trash = self.folder(spec.stage, spec.key), self.home / TRASH / uuid4().hex
        trash.mkdir(parents=True)
        gone = trash / spec.key
        # Two commands may have found the damage. Only what was moved away can be judged for good.
        with suppress(FileNotFoundError):
            folder.rename(gone)
            if damage_of(gone) is None:
                rename_to_new(gone, folder)
        shutil.rmtree(trash)

    def prepare(self, spec: StageSpec, again: bool = False) -> None:
        """Write the manifest of a stage that has none, so that a worker finds everything.

        What is left of the work on a stage that is finished goes.

        Args:
            spec: The stage.
            again: Whether files that were dropped are to be made again.
        """
        folder = self.work(spec.stage, spec.key)
        if self.has_all_files(spec.stage, spec.key):
            self.clear_work(spec.stage, spec.key)
            return
        known = read_manifest(folder) if again else self.manifest(spec.stage, spec.key)
        if known is not None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        manifest = new_manifest(spec)
        # Of several commands one writes it; what is damaged is written over.
        first = create_json(folder / MANIFEST_FILE, sealed(manifest))
        if not first and read_manifest(folder) is None:
            write_manifest(folder, manifest)

    def begin(self, stage: str, key: str, claim: Claim, maker: Maker) -> Attempt:
        """Begin an attempt, which goes on from what an earlier one left.

        Args:
            stage: Name.
            key: Key; the stage is prepared.
            claim: On the stage's folder of work, held by this process.
            maker: What it runs on, and the version of the code.

        Raises:
            OvertakenError: Another process took over since: its attempt is left alone.
        """
        claim.check(on_disk=True)
        running: ManifestChange = {"state": "running", "error": None, "lasting": None}
        manifest = self._update(stage, key, {**running, **maker})
        attempts = self.work(stage, key) / ATTEMPTS
        attempt = Attempt(attempts / claim.token, claim, manifest)
        attempts.mkdir(exist_ok=True)
        left = farthest_attempt(attempts)
        if left is not None:
            go_on_from(left, attempt.folder, nobody_writes=is_left(left, claim))
        for other in attempts.iterdir():
            if other != attempt.folder:
                shutil.rmtree(other, ignore_errors=True)
        attempt.result.mkdir(parents=True, exist_ok=True)
        (attempt.folder / OWNER_FILE).write_text(current_owner())
        return attempt

    def publish(self, stage: str, key: str, attempt: Attempt, result: StageResult) -> bool:
        """Digest the outputs and put them where finished stages are, in one step.

        Args:
            stage: Name.
            key: Key.
            attempt: Everything that is made lies in its result.
            result: What the stage measured of itself.

        Returns:
            False when another attempt was first: then this one is dropped.

        Raises:
            OvertakenError: Another process took over; nothing was published.
        """
        folder, target = attempt.result, self._whole(stage, key)
        attempt.claim.check(on_disk=True)
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        hidden = [name for name in names if name.name.startswith(".")]
        for name in hidden:
            (folder / name).unlink()
        outputs = {
            name.as_posix(): digest(folder / name)
            for name in names
            if name.as_posix() not in OWN_FILES and name not in hidden
        }
        finished = {"finished_ms": time.time_ns() // 1_000_000}
        done: Manifest = {
            **attempt.manifest,
            "state": "done",
            "outputs": outputs,
            "events": digest(folder / EVENTS_FILE),
            "timings": result.timings | finished,
        }
        write_manifest(folder, done)
        target.parent.mkdir(parents=True, exist_ok=True)
        published = rename_to_new(folder, target)
        self._throw_away(self._kept(stage, key))
        return published

    def take_in(self, stage: str, key: str, folder: Path) -> None:
        """Put a finished stage, or what is kept of one, in its place; one that is there stays.

        Args:
            stage: Name.
            key: Key.
            folder: Of the same file system; it is renamed.

        Raises:
            StoreError: The manifest is not there or not as it was written.
        """
        place = self._kept if stage_manifest(folder)["dropped"] else self._whole
        target = place(stage, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        rename_to_new(folder, target)

    def keep_only(
        self, stage: str, key: str, dropped: Collection[str], fill: Callable[[Path], None]
    ) -> None:
        """Replace a finished stage by what is kept of it.

        At every moment the one or the other is there whole. The manifest of what is kept names
        what was dropped, with its digest.

        Args:
            stage: Name.
            key: Key; nothing of it was dropped before.
            dropped: Names of the outputs that go.
            fill: Writes files that take their place into a folder.

        Raises:
            StoreError: The manifest is not there or not as it was written.
        """
        whole, kept = self._whole(stage, key), self._kept(stage, key)
        # Work on what is kept means that it is to be made again.
        self.clear_work(stage, key)
        part = self.home / TRASH / uuid4().hex / key
        write_kept(whole, part, dropped, fill)
        self._throw_away(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        rename_to_new(part, kept)
        self._throw_away(whole)
        shutil.rmtree(part.parent)

    def _throw_away(self, folder: Path) -> None:
        """Remove a folder, if it is there: it goes out of sight before any file of it goes."""
        if folder.exists():
            trash = self.home / TRASH / uuid4().hex
            trash.parent.mkdir(exist_ok=True)
            # Another command may remove it at the same moment; NFS keeps files that are open here.
            with suppress(FileNotFoundError):
                folder.rename(trash)
                shutil.rmtree(trash, ignore_errors=True)

    def clear_work(self, stage: str, key: str) -> None:
        """Remove what is left of the work on a stage."""
        shutil.rmtree(self.work(stage, key), ignore_errors=True)

    def mark_failed(self, stage: str, key: str, error: str, lasting: bool) -> None:
        """Note why a stage stopped, and whether it would stop again; its last checkpoint stays.

        Nobody tries it again before a command asks for it anew: `forgive`.
        """
        self._update(stage, key, {"state": "failed", "error": error, "lasting": lasting})

    def forgive(self, spec: StageSpec) -> None:
        """Forget that a stage failed, so that whoever comes tries it again.

        Raises:
            StoreError: It is not prepared.
        """
        self._update(spec.stage, spec.key, {"state": "running", "error": None, "lasting": None})

    def gave_up(self, spec: StageSpec) -> str | None:
        """Why a stage stopped for whatever reason, until it is forgiven; None for any other."""
        manifest = self.manifest(spec.stage, spec.key)
        return manifest["error"] if manifest and manifest["state"] == "failed" else None

    def failure(self, spec: StageSpec) -> str | None:
        """Why a stage failed, when it would fail again; None for any other."""
        if self.status(spec) != "failed":
            return None
        manifest = self.manifest(spec.stage, spec.key)
        return None if manifest is None else str(manifest["error"])

    def _update(self, stage: str, key: str, values: ManifestChange) -> Manifest:
        folder = self.work(stage, key)
        manifest: Manifest = {**stage_manifest(folder), **values}
        write_manifest(folder, manifest)
        return manifest
