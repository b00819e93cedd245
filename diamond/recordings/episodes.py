"""What every reader of recordings gives: episodes whose frames are read when they are asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray

Actions = NDArray[np.int64] | NDArray[np.float64]
"""(t - 1,) indices of discrete actions, or (t - 1, k) numbers of continuous ones."""


@dataclass(frozen=True)
class RecordedEpisode:
    """One episode of a recording; action i leads from frame i to frame i + 1.

    Attributes:
        name: What a person calls it: of its file or group.
        num_frames: t, at least 2.
        frames: Reads them, one after the other: (h, w, 3) uint8, RGB, all of one size. It may be
            called again, and begins anew.
        actions: See `Actions`; finite.
        rewards: (t - 1,) float32, what each action earned; None where the files do not say.
        ends: (t - 1,) bool, whether each action ended the game; None where they do not say.
        frame_rate: Frames a second; None where the files do not say.
        remarks: What the reader did, or what must be known of the frames.
    """

    name: str
    num_frames: int
    frames: Callable[[], Iterator[ByteArray]]
    actions: Actions
    rewards: NDArray[np.float32] | None = None
    ends: NDArray[np.bool_] | None = None
    frame_rate: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A recording as its files hold it.

    Attributes:
        kind: npz, npy, hdf5, minari, video, png.
        episodes: In natural order of their names; at least one.
        action_names: A word for each discrete action, or for each number of continuous ones. All
            episodes have the same.
    """

    kind: str
    episodes: tuple[RecordedEpisode, ...]
    action_names: tuple[str, ...]

    @property
    def is_continuous(self) -> bool:
        """Whether an action is several numbers."""
        return self.episodes[0].actions.ndim == 2
