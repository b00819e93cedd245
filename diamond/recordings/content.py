"""What a recording's digest is made of: its frames, actions, rewards, ends and split.

Names of files, the format and the frame rate are no part of it.
"""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from diamond.arrays import ByteArray
from diamond.config.base import canonical_json
from diamond.config.recorded import ContinuousActions, DiscreteActions
from diamond.recordings.cuts import Part
from diamond.recordings.episodes import Actions


class PartContent(TypedDict):
    """A part; null where its files do not say."""

    held_out: bool
    frames: str
    actions: str | None
    rewards: str | None
    ends: str | None


class Content(TypedDict):
    """A recording; the digest is that of its canonical JSON."""

    action_names: list[str]
    action_ranges: list[list[float]] | None
    parts: list[PartContent]


def content_of(actions: DiscreteActions | ContinuousActions, parts: list[PartContent]) -> Content:
    """The content of a recording with these parts."""
    ranges = None
    if isinstance(actions, ContinuousActions):
        ranges = [list(actions.low), list(actions.high)]
    return {"action_names": list(actions.names), "action_ranges": ranges, "parts": parts}


def digest_of(content: Content) -> str:
    """SHA-256 of a content, hexadecimal."""
    return sha256(canonical_json(content).encode()).hexdigest()


def array_digest(
    array: Actions | NDArray[np.float32] | NDArray[np.bool_] | None,
) -> str | None:
    """SHA-256 of an array's type, shape and numbers; equal on every machine."""
    if array is None:
        return None
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return sha256(f"{plain.dtype.str}{plain.shape}".encode() + plain.tobytes()).hexdigest()


class FrameDigest:
    """SHA-256 of the sizes and numbers of frames that come one after the other."""

    def __init__(self) -> None:
        """Begin with no frames."""
        self._hasher = sha256()

    def add(self, frame: ByteArray) -> None:
        """Take in the next frame, (h, w, 3) uint8."""
        self._hasher.update(f"{frame.shape}".encode())
        self._hasher.update(np.ascontiguousarray(frame).data)

    def text(self) -> str:
        """The digest, hexadecimal."""
        return self._hasher.hexdigest()


def part_content(part: Part, frames: FrameDigest) -> PartContent:
    """The content of a part whose frames were taken in."""
    return {
        "held_out": part.held_out,
        "frames": frames.text(),
        "actions": array_digest(part.actions),
        "rewards": array_digest(part.rewards),
        "ends": array_digest(part.ends),
    }
