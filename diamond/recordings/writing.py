"""Write a recording into a home: whole, or not at all."""

import shutil
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import cv2
import numpy as np

from diamond.arrays import ByteArray
from diamond.config.base import canonical_json
from diamond.config.recorded import RECORDING_FILE, RECORDINGS_FOLDER, Recording, recording_folder
from diamond.engine.files import locked, rename_to_new
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.recordings.asked_recordings import read_recording
from diamond.recordings.content import (
    FrameDigest,
    PartContent,
    content_of,
    digest_of,
    part_content,
)
from diamond.recordings.cuts import Prepared, read_parts
from diamond.recordings.recording_files import (
    ACTIONS_FILE,
    CONTENT_FILE,
    ENDS_FILE,
    FRAMES_FILE,
    REWARDS_FILE,
    frame_name,
)
from diamond.weights.checkpoint_folders import new_folder

LOCK_FILE = ".lock"
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every frame in the file: equal frames give equal bytes."""


def is_kept(recording: Recording, home: Path) -> bool:
    """Whether a home has this very recording under this name.

    Raises:
        RequestError: It has another one under this name.
    """
    target = recording_folder(home, recording.name)
    if not target.exists():
        return False
    if read_recording(home, recording.name).digest == recording.digest:
        return True
    raise RequestError(
        f"there is another recording called {recording.name!r}: frames, actions or split differ; "
        f"it is left as it is\n  give another --name, or remove it: rm -r {target}"
    )


def write_recording(prepared: Prepared, recording: Recording, home: Path) -> bool:
    """Write a recording that was checked; one frame is in memory at a time.

    Args:
        prepared: Its files.
        recording: What the check found in them.

    Returns:
        False where the home has it already: nothing is written.

    Raises:
        RequestError: Another one has its name, or the files changed since they were checked.
        StoreError: The home cannot be written.
    """
    Store(home).check_writable()
    folder = home / RECORDINGS_FOLDER
    folder.mkdir(exist_ok=True)
    with locked(folder / LOCK_FILE):
        if is_kept(recording, home):
            return False
        _clear(folder)
        target = recording_folder(home, recording.name)
        with new_folder(target, "give a home that can be written with --home") as whole:
            parts = _write_frames(prepared, whole / FRAMES_FILE)
            content = content_of(recording.actions, parts)
            if digest_of(content) != recording.digest:
                raise RequestError("the files changed while they were read\n  try again")
            (whole / CONTENT_FILE).write_text(canonical_json(content) + "\n")
            _write_rows(prepared, whole)
            (whole / RECORDING_FILE).write_text(recording.model_dump_json(indent=1) + "\n")
            rename_to_new(whole, target)
    return True


def _clear(folder: Path) -> None:
    """Remove what is left of imports that were killed; the lock is held, so none is at work."""
    for left in folder.iterdir():
        if left.name.startswith(".") and left.is_dir():
            shutil.rmtree(left)


def _write_frames(prepared: Prepared, path: Path) -> list[PartContent]:
    parts: list[PartContent] = []
    with ZipFile(path, "w", ZIP_STORED) as file:
        for part, frames in read_parts(prepared):
            digest = FrameDigest()
            for number, frame in enumerate(frames):
                name = frame_name(len(parts), number)
                file.writestr(ZipInfo(name, _DATE), _png(frame))
                digest.add(frame)
            parts.append(part_content(part, digest))
    return parts


def _png(frame: ByteArray) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(frame[..., ::-1]))
    return data.tobytes()


def _write_rows(prepared: Prepared, folder: Path) -> None:
    parts = prepared.parts
    np.save(folder / ACTIONS_FILE, np.concatenate([part.actions for part in parts]))
    rewards = [part.rewards for part in parts if part.rewards is not None]
    ends = [part.ends for part in parts if part.ends is not None]
    if rewards:
        np.save(folder / REWARDS_FILE, np.concatenate(rewards))
    if ends:
        np.save(folder / ENDS_FILE, np.concatenate(ends))
