"""The static set of real frames on disk; what is drawn from it is in `diamond.data.segments`."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameSet:
    """Episodes of real frames, one after the other; the last frame of an episode has no action.

    Attributes:
        frames: (n, h, w, 3) uint8, a memory map.
        actions: (n,) int64 action indices; 0 at final frames, where it means nothing.
        rewards: (n,) float32, what the action earned.
        ends: (n,) uint8, 1 where the action ended the episode or lost a life.
        bounds: (num_episodes + 1,) int64; episode e is rows bounds[e] to bounds[e + 1].
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    ends: NDArray[np.uint8]
    bounds: NDArray[np.int64]

    def episodes(self) -> NDArray[np.int64]:
        """Bounds of the episodes (num_episodes + 1,)."""
        return self.bounds

    def save(self, folder: Path) -> None:
        """Write frames.npy, actions.npy, rewards.npy, ends.npy and episodes.json."""
        np.save(folder / "frames.npy", self.frames)
        np.save(folder / "actions.npy", self.actions)
        np.save(folder / "rewards.npy", self.rewards)
        np.save(folder / "ends.npy", self.ends)
        (folder / "episodes.json").write_text(json.dumps({"bounds": self.bounds.tolist()}) + "\n")

    @staticmethod
    def load(folder: Path) -> "FrameSet":
        """Open a set written by `save`; frames stay on disk until they are read."""
        bounds = json.loads((folder / "episodes.json").read_text())["bounds"]
        return FrameSet(
            np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "actions.npy", allow_pickle=False),
            np.load(folder / "rewards.npy", allow_pickle=False),
            np.load(folder / "ends.npy", allow_pickle=False),
            np.asarray(bounds, dtype=np.int64),
        )
