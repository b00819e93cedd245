"""Attempts at a stage: which one got farthest, and how another goes on from it."""

import os
from dataclasses import dataclass
from pathlib import Path

from diamond.engine.files import copy_sparse
from diamond.engine.output_names import CHECKPOINT_FILE
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_manifest import Manifest
from diamond.tracking.owner import is_gone

OWNER_FILE = "owner"
RESULT = "result"
"""In the folder of an attempt: what becomes the finished stage."""


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
    manifest: Manifest

    @property
    def result(self) -> Path:
        """The folder that becomes the finished stage: outputs and event log."""
        return self.folder / RESULT


def farthest_attempt(attempts: Path) -> Path | None:
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


def is_left(attempt: Path, claim: Claim) -> bool:
    """Whether the process that made an attempt is known to have ended it."""
    before = claim.previous
    if before is not None and before.owner is None and before.token == attempt.name:
        return True
    try:
        return is_gone((attempt / OWNER_FILE).read_text(errors="replace"))
    except FileNotFoundError:
        return False


def go_on_from(left: Path, folder: Path, nobody_writes: bool) -> None:
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
