"""The stage store.

``stages/<stage>/<key>`` is a finished stage: it comes there by one rename and is never changed.
``kept/<stage>/<key>`` is what is left of one of which outputs were dropped; it comes there in the
same way, before the whole one goes. ``work/<stage>/<key>`` is an unfinished one: its manifest, the
claims on it, and a folder for each attempt. Source: docs/decisions/0001, 0008.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from diamond.engine.files import beside, copy_sparse, create_json, digest, read_json, write_json
from diamond.engine.home import open_home
from diamond.engine.output_names import CHECKPOINT_FILE, EVENTS_FILE, MANIFEST_FILE
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.engine.stage_claim import Claim
from diamond.errors import StoreError
from diamond.plan.stage_keys import KEY_DIGITS, StageSpec, key_of
from diamond.tracking.owner import current_owner, is_gone

Status = Literal["todo", "partial", "done", "damaged", "failed"]
OWN_FILES = frozenset({MANIFEST_FILE, EVENTS_FILE})
"""What the store itself keeps in a finished folder; everything else is an output."""
STAGES_FOLDER = "stages"
KEPT = "kept"
WORK = "work"
ATTEMPTS = "attempts"
_OWNER_FILE = "owner"
RESULT = "result"
"""In the folder of an attempt: what becomes the finished stage."""
_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")
TRASH = ".trash"
"""What was renamed out of sight before it is deleted."""


@dataclass(frozen=True)
class StageResult:
    """What a finished stage measured of itself; none of it is part of the outputs.

    Attributes:
        timings: Seconds and counts by name.
    """

    timings: dict[str, float]


@dataclass(frozen=True)
class Attempt:
    """One process' try at a stage, in a folder of its own.

    Attributes:
        folder: Holds ``checkpoint``, and what follows.
        claim: Held by this process until another one takes it over.
        manifest: Of the stage, as this attempt began it.
    """

    folder: Path
    claim: Claim
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Path:
        """The folder that becomes the finished stage: outputs and event log."""
        return self.folder / RESULT


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in a folder named by its key.

    None when there is none, it is not as it was written, or it is not that of this key.
    """
    data = read_json(folder / MANIFEST_FILE)
    if not is_whole(data):
        return None
    parts = (data.get(name) for name in ("stage", "config", "upstream", "seed", "numerics"))
    return unsealed(data) if data.get("key") == key_of(*parts) == folder.name else None


def damage_of(folder: Path) -> str | None:
    """What is wrong with the folder of a finished stage, read in full; None when nothing is."""
    manifest = read_manifest(folder)
    if manifest is None:
        return f"{MANIFEST_FILE} is missing or not as it was written"
    missing = _missing(folder, manifest)
    if missing:
        return f"{missing[0]} is missing"
    for name, expected in kept_digests(manifest).items():
        if digest(folder / name) != expected:
            return f"{name} differs from its digest"
    return None


def _missing(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    return [name for name in kept_digests(manifest) if not (folder / name).is_file()]


def kept_digests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Digest of every file but the manifest that a finished stage has: none that was dropped."""
    outputs = {n: d for n, d in manifest["outputs"].items() if n not in manifest["dropped"]}
    return {**outputs, **manifest["kept"], EVENTS_FILE: manifest["events"]}


def stage_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in the folder of a stage that must have one.

    Raises:
        StoreError: It is not there or not as it was written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise StoreError(
            f"the manifest of {str(folder)!r} is missing or not as it was written\n"
            "  run the command again: it makes the stage again"
        )
    return manifest


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
            for name in (STAGES_FOLDER, WORK):
                (self.home / name).mkdir(parents=True, exist_ok=True)
            probe = beside(self.home / "probe")
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"cannot write the home {str(self.home)!r}: {error.strerror or error}\n"
                "  give a folder that you may write with --home, for instance --home ./mlruns"
            ) from error

    def folder(self, stage: str, key: str) -> Path:
        """Where a finished stage is, or what is kept of it where that is all."""
        whole, kept = self._whole(stage, key), self._kept(stage, key)
        return kept if not whole.exists() and kept.exists() else whole

    def _whole(self, stage: str, key: str) -> Path:
        return self.home / STAGES_FOLDER / stage / key

    def _kept(self, stage: str, key: str) -> Path:
        return self.home / KEPT / stage / key

    def work(self, stage: str, key: str) -> Path:
        """Where an unfinished stage is."""
        return self.home / WORK / stage / key

    def farthest(self, stage: str, key: str) -> Path | None:
        """The attempt of an unfinished stage that got farthest; None where there is none."""
        return _farthest(self.work(stage, key) / ATTEMPTS)

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
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
            missing = _missing(self.folder(spec.stage, spec.key), manifest)
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

    def keys(self, stage: str) -> frozenset[str]:
        """Keys of the stages of a name that a home has a folder of, finished or not."""
        found: set[str] = set()
        for part in (STAGES_FOLDER, KEPT, WORK):
            try:
                found.update(os.listdir(self.home / part / stage))
            except (FileNotFoundError, NotADirectoryError):
                continue
        # Whatever else lies there was not made by this project.
        return frozenset(name for name in found if _KEY.fullmatch(name))

    def stage_names(self) -> tuple[str, ...]:
        """The stages that a home has a folder of, those of families that are gone included."""
        found: set[str] = set()
        for part in (STAGES_FOLDER, KEPT, WORK):
            try:
                found.update(os.listdir(self.home / part))
            except (FileNotFoundError, NotADirectoryError):
                continue
        return tuple(sorted(name for name in found if self.keys(name)))

    def folders(self, stage: str, key: str) -> list[Path]:
        """The folders of a stage that are there: of what is finished, and of the work on it."""
        places = (self._whole(stage, key), self._kept(stage, key), self.work(stage, key))
        return [folder for folder in places if folder.is_dir()]

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
                _rename_to_new(gone, folder)
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
        manifest = {
            "stage": spec.stage,
            "key": spec.key,
            "config": spec.config,
            "upstream": spec.upstream,
            "seed": spec.seed,
            "numerics": spec.numerics,
            "code": None,
            "device": None,
            "state": "pending",
            "error": None,
            "lasting": None,
            "outputs": {},
            "dropped": [],
            "kept": {},
            "events": None,
            "timings": {},
        }
        # Of several commands one writes it; what is damaged is written over.
        first = create_json(folder / MANIFEST_FILE, sealed(manifest))
        if not first and read_manifest(folder) is None:
            write_manifest(folder, manifest)

    def begin(
        self, stage: str, key: str, claim: Claim, device: str, code: Mapping[str, Any]
    ) -> Attempt:
        """Begin an attempt, which goes on from what an earlier one left.

        Args:
            stage: Name.
            key: Key; the stage is prepared.
            claim: On the stage's folder of work, held by this process.
            device: What it runs on.
            code: The version of the code.
        """
        running = {"state": "running", "error": None, "lasting": None}
        manifest = self._update(stage, key, running | {"device": device, "code": code})
        attempts = self.work(stage, key) / ATTEMPTS
        attempt = Attempt(attempts / claim.token, claim, manifest)
        attempts.mkdir(exist_ok=True)
        left = _farthest(attempts)
        if left is not None:
            _go_on_from(left, attempt.folder, nobody_writes=_is_left(left, claim))
        for other in attempts.iterdir():
            if other != attempt.folder:
                shutil.rmtree(other, ignore_errors=True)
        attempt.result.mkdir(parents=True, exist_ok=True)
        (attempt.folder / _OWNER_FILE).write_text(current_owner())
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
        done = {
            "state": "done",
            "outputs": outputs,
            "events": digest(folder / EVENTS_FILE),
            "timings": result.timings | finished,
        }
        write_manifest(folder, {**attempt.manifest, **done})
        target.parent.mkdir(parents=True, exist_ok=True)
        published = _rename_to_new(folder, target)
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
        _rename_to_new(folder, target)

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
        part = self.home / TRASH / uuid4().hex / key
        write_kept(whole, part, dropped, fill)
        self._throw_away(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        _rename_to_new(part, kept)
        self._throw_away(whole)
        shutil.rmtree(part.parent)

    def _throw_away(self, folder: Path) -> None:
        """Remove a folder, if it is there: it goes out of sight before any file of it goes."""
        if folder.exists():
            trash = self.home / TRASH / uuid4().hex
            trash.parent.mkdir(exist_ok=True)
            # Another command may remove it, or all that is in the trash, at the same moment.
            with suppress(FileNotFoundError):
                folder.rename(trash)
                shutil.rmtree(trash)

    def clear_work(self, stage: str, key: str) -> None:
        """Remove what is left of the work on a stage."""
        shutil.rmtree(self.work(stage, key), ignore_errors=True)

    def mark_failed(self, stage: str, key: str, error: str, lasting: bool) -> None:
        """Note why a stage stopped, and whether it would stop again; its last checkpoint stays."""
        self._update(stage, key, {"state": "failed", "error": error, "lasting": lasting})

    def failure(self, spec: StageSpec) -> str | None:
        """Why a stage failed, when it would fail again; None for any other."""
        if self.status(spec) != "failed":
            return None
        manifest = self.manifest(spec.stage, spec.key)
        return None if manifest is None else str(manifest["error"])

    def _update(self, stage: str, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
        folder = self.work(stage, key)
        manifest = stage_manifest(folder) | dict(values)
        write_manifest(folder, manifest)
        return manifest


def write_kept(
    source: Path, part: Path, dropped: Collection[str], fill: Callable[[Path], None]
) -> None:
    """Write what is to be kept of a finished stage.

    Args:
        source: The folder of the stage, of which outputs may have been dropped before.
        part: The folder to make.
        dropped: Names of the outputs that it goes without.
        fill: Writes files that take their place into a folder.

    Raises:
        StoreError: The manifest is not there or not as it was written.
    """
    manifest = stage_manifest(source)
    part.mkdir(parents=True)
    fill(part)
    extra = {path.name: digest(path) for path in sorted(part.iterdir())}
    for name in kept_digests(manifest):
        if name not in dropped:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, part / name)
    gone = sorted({*manifest["dropped"], *dropped})
    write_manifest(part, manifest | {"dropped": gone, "kept": manifest["kept"] | extra})


def _rename_to_new(folder: Path, target: Path) -> bool:
    """Rename a folder that is not empty; False, and nothing happens, where the target exists."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest with its digest, whole or not at all."""
    write_json(folder / MANIFEST_FILE, sealed(manifest))


def _farthest(attempts: Path) -> Path | None:
    """The attempt with the newest checkpoint, any where none has one, None where there is none."""
    found: list[tuple[float, str]] = []
    try:
        names = [name for name in os.listdir(attempts) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return None
    for name in names:
        # Others' attempts come and go. Their times are compared with each other, with no clock.
        try:
            found.append(((attempts / name / CHECKPOINT_FILE).stat().st_mtime, name))
        except OSError:
            found.append((0.0, name))
    return attempts / max(found)[1] if found else None


def _is_left(attempt: Path, claim: Claim) -> bool:
    """Whether the process that made an attempt is known to have ended it."""
    before = claim.previous
    if before is not None and before.owner is None and before.token == attempt.name:
        return True
    try:
        return is_gone((attempt / _OWNER_FILE).read_text(errors="replace"))
    except FileNotFoundError:
        return False


def _go_on_from(left: Path, folder: Path, nobody_writes: bool) -> None:
    """Make an attempt of what an earlier one left.

    A process that was stopped may go on at any moment and write to what it holds open: what is
    taken over from it is a copy.
    """
    if nobody_writes:
        left.rename(folder)
        return
    part = folder.with_name(f".{folder.name}")
    copy_sparse(left, part)
    part.rename(folder)
