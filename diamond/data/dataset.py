"""The static set of real frames on disk; what is drawn from it is in `diamond.data.segments`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from diamond.data.action_space import ActionArray
from diamond.data.frame_files import FrameWriter, StoredFrames, read_episodes

FRAMES_FILE = "frames.npz"


class Episodes(TypedDict):
    """What episodes.json says of a set."""

    bounds: list[int]
    pads_starts: NotRequired[bool]


@dataclass(frozen=True)
class FrameSet:
    """Episodes of real frames, one after the other; the last frame of an episode has no action.

    Attributes:
        frames: (n, h, w, 3) uint8.
        actions: (n,) int64 action indices, or (n, k) float32 numbers scaled by an `ActionSpace`; 0
            at final frames, where it means nothing.
        rewards: (n,) float32, what the action earned.
        ends: (n,) uint8, 1 where the action ended the episode or lost a life.
        bounds: (num_episodes + 1,) int64; episode e is rows bounds[e] to bounds[e + 1].
        pads_starts: Whether segments may begin before their episode, with its first frame repeated.
    """

    frames: NDArray[np.uint8]
    actions: ActionArray
    rewards: NDArray[np.float32]
    ends: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    pads_starts: bool = False

    def episodes(self) -> NDArray[np.int64]:
        """Bounds of the episodes (num_episodes + 1,)."""
        return self.bounds

    def save(self, folder: Path) -> None:
        """Write frames.npz, actions.npy, rewards.npy, ends.npy and episodes.json."""
        with FrameWriter(folder / FRAMES_FILE) as file:
            for episode, (first, end) in enumerate(pairwise(self.bounds)):
                file.write(episode, self.frames[first:end])
        np.save(folder / "actions.npy", self.actions)
        np.save(folder / "rewards.npy", self.rewards)
        np.save(folder / "ends.npy", self.ends)
        episodes: Episodes = {"bounds": self.bounds.tolist()}
        if self.pads_starts:
            episodes["pads_starts"] = True
        (folder / "episodes.json").write_text(json.dumps(episodes) + "\n")

    @staticmethod
    def load(folder: Path) -> "FrameSet":
        """Read a set written by `save`, its frames too: segments are drawn from all of them."""
        bounds = _bounds(folder)
        return FrameSet(
            read_episodes(folder / FRAMES_FILE, np.diff(bounds).tolist()),
            np.load(folder / "actions.npy", allow_pickle=False),
            np.load(folder / "rewards.npy", allow_pickle=False),
            np.load(folder / "ends.npy", allow_pickle=False),
            bounds,
            _episodes(folder).get("pads_starts", False),
        )


def read_in_turn(folder: Path) -> Iterator[tuple[NDArray[np.uint8], ActionArray]]:
    """Frames (t, h, w, 3) and actions (t,) or (t, k) of a set; one episode at a time is in memory.

    Raises:
        ValueError: The file of frames is damaged.
    """
    actions = np.load(folder / "actions.npy", allow_pickle=False)
    for episode, (first, end) in enumerate(pairwise(_bounds(folder))):
        yield np.asarray(StoredFrames(folder / FRAMES_FILE, episode)), actions[first:end]


def _bounds(folder: Path) -> NDArray[np.int64]:
    return np.asarray(_episodes(folder)["bounds"], dtype=np.int64)


def _episodes(folder: Path) -> Episodes:
    found: Episodes = json.loads((folder / "episodes.json").read_text())
    return found
