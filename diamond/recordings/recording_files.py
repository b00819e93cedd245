"""Recordings in a home: found by name, opened by digest; `diamond.recordings.writing` writes them.

A folder holds recording.json, frames.zip with a PNG for each frame, the rows of all parts one after
the other in actions.npy, rewards.npy and ends.npy, and in content.json what the digest is made of.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from diamond.arrays import ByteArray
from diamond.config.recorded import (
    RECORDING_FILE,
    Recording,
    recording_folder,
)
from diamond.engine.files import read_json
from diamond.errors import StoreError
from diamond.plan.recordings.asked_recordings import recording_names
from diamond.recordings.content import Content, array_digest, digest_of
from diamond.recordings.episodes import Actions

FRAMES_FILE = "frames.zip"
ACTIONS_FILE = "actions.npy"
REWARDS_FILE = "rewards.npy"
ENDS_FILE = "ends.npy"
CONTENT_FILE = "content.json"
HOW = "diamond import-frames PATH --name"


class FrameFile:
    """The frames of a recording, each decoded when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Assign; the file is opened when a frame is asked for."""
        self._path = path

    @cached_property
    def _zip(self) -> ZipFile:
        return ZipFile(self._path)

    def read(self, part: int, number: int, out: ByteArray) -> None:
        """Read one frame of a part into an array (h, w, 3) uint8.

        Raises:
            StoreError: The file is missing or damaged.
        """
        name = frame_name(part, number)
        try:
            data = np.frombuffer(self._zip.read(name), dtype=np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except (BadZipFile, KeyError, ValueError, EOFError, OSError, cv2.error) as error:
            raise _damaged(self._path, f"{name}: {error}") from error
        if picture is None or picture.shape != out.shape:
            raise _damaged(self._path, name)
        out[...] = picture[..., ::-1]


@dataclass(frozen=True)
class StoredPart:
    """An episode of a recording, or a piece of one; action i leads from frame i to frame i + 1.

    Attributes:
        name: What a person calls it.
        num_frames: t.
        held_out: Whether no world model is trained on it.
        size: Height and width, pixels.
        actions: (t - 1,) int64 indices, or (t - 1, k) float64 numbers.
        rewards: (t - 1,) float32; None where the recording has none.
        ends: (t - 1,) bool, whether each action ended the game; None where that is not known.
        file: Where its frames are.
        number: Its place in the file.
    """

    name: str
    num_frames: int
    held_out: bool
    size: tuple[int, int]
    actions: Actions
    rewards: NDArray[np.float32] | None
    ends: NDArray[np.bool_] | None
    file: FrameFile
    number: int

    def frames(self, first: int = 0, end: int | None = None) -> ByteArray:
        """Decode frames first to end - 1, (n, h, w, 3) uint8, RGB; no others are read.

        Raises:
            ValueError: The part has no such frames.
            StoreError: The file is missing or damaged.
        """
        end = self.num_frames if end is None else end
        if not 0 <= first <= end <= self.num_frames:
            raise ValueError(f"frames {first} to {end} of {self.num_frames}")
        frames = np.empty((end - first, *self.size, 3), dtype=np.uint8)
        for row, number in enumerate(range(first, end)):
            self.file.read(self.number, number, frames[row])
        return frames


@dataclass(frozen=True)
class StoredRecording:
    """A recording of a home that can be read."""

    record: Recording
    parts: tuple[StoredPart, ...]


def frame_name(part: int, number: int) -> str:
    """What a frame is called in the file of frames."""
    return f"{part:05d}/{number:06d}.png"


def list_recordings(home: Path) -> tuple[Recording, ...]:
    """The recordings of a home by name; those whose record is damaged are left out."""
    found = [_read(home, name) for name in recording_names(home)]
    return tuple(one for one in found if one is not None)


def open_recording(home: Path, digest: str) -> StoredRecording:
    """Open the recording of a digest, under whatever name the home has it.

    Raises:
        StoreError: The home does not have it, or it is damaged.
    """
    for record in list_recordings(home):
        if record.digest == digest:
            return _open(record, recording_folder(home, record.name))
    raise StoreError(
        f"the home {str(home)!r} has no recording {digest[:12]}\n"
        f"  import it again, with the same options: {HOW} NAME"
    )


def _read(home: Path, name: str) -> Recording | None:
    said = read_json(recording_folder(home, name) / RECORDING_FILE)
    try:
        return None if said is None else Recording.model_validate(said)
    except ValidationError:
        return None


def _open(record: Recording, folder: Path) -> StoredRecording:
    actions = _array(folder / ACTIONS_FILE)
    rewards = _array(folder / REWARDS_FILE) if record.rewards else None
    ends = _array(folder / ENDS_FILE) if record.ends else None
    content: Content | None = read_json(folder / CONTENT_FILE)
    if content is None or digest_of(content) != record.digest:
        raise _damaged(folder / CONTENT_FILE, "it is not that of the recording")
    frames = FrameFile(folder / FRAMES_FILE)
    parts: list[StoredPart] = []
    first = 0
    for number, (part, said) in enumerate(zip(record.parts, content["parts"], strict=True)):
        rows = slice(first, first + part.num_frames - 1)
        first = rows.stop
        one = StoredPart(
            part.name,
            part.num_frames,
            part.held_out,
            (record.height, record.width),
            actions[rows],
            None if rewards is None else rewards[rows],
            None if ends is None else ends[rows],
            frames,
            number,
        )
        for name, array in (("actions", one.actions), ("rewards", one.rewards), ("ends", one.ends)):
            if array_digest(array) != said[name]:  # type: ignore[literal-required]
                raise _damaged(folder / f"{name}.npy", "its numbers are not those of the recording")
        parts.append(one)
    return StoredRecording(record, tuple(parts))


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    return array


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"the recording's file {str(path)!r} is missing or damaged: {why}\n"
        f"  remove its folder, then import it again: {HOW} {path.parent.name}"
    )
