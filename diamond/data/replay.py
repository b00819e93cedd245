"""The growing set of real frames of the online protocol."""

from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FRAMES_FILE = "frames.npy"
ROWS = ("actions", "rewards", "ends")


class Replay:
    """Episodes of real frames, one after the other; the last one may still be growing. Mutable.

    Rows are as in `FrameSet`: a frame and what was done there; the last row of an episode has no
    action, and that of the growing one waits for it. Frames lie in a file of full capacity that
    takes no room before it is written (a sparse file); the rest is in memory.
    """

    def __init__(
        self,
        folder: Path,
        num_env_steps: int,
        shape: tuple[int, int],
        pads_starts: bool = False,
    ) -> None:
        """Make or open the file.

        Args:
            folder: Where it lies; it must exist.
            num_env_steps: Env steps that will be collected at most.
            shape: Height and width of a frame.
            pads_starts: Whether segments may begin before their episode, with its first frame
                repeated.
        """
        capacity = 2 * num_env_steps + 1  # a step fills one row, and one more where it is an end
        path, size = folder / FRAMES_FILE, (capacity, *shape, 3)
        self.frames: NDArray[np.uint8] = _open(path, size)
        self.actions = np.zeros(capacity, dtype=np.int64)
        self.rewards = np.zeros(capacity, dtype=np.float32)
        self.ends = np.zeros(capacity, dtype=np.uint8)
        self.pads_starts = pads_starts
        self.bounds: list[int] = [0]
        self.num_rows = 0
        self.num_env_steps = 0
        self._checksum = 0

    def begin(self, frame: NDArray[np.uint8]) -> None:
        """Begin an episode with its first frame; the one before must be closed."""
        self._append(frame)

    def add(self, action: int, reward: float, end: bool, following: NDArray[np.uint8]) -> None:
        """Add an env step to the growing episode, and the frame that followed."""
        row = self.num_rows - 1
        self.actions[row], self.rewards[row], self.ends[row] = action, reward, end
        self.num_env_steps += 1
        self._append(following)

    def close(self) -> None:
        """End the growing episode."""
        self.bounds.append(self.num_rows)

    def cut(self) -> None:
        """End the growing episode wherever it is; one without an env step is forgotten."""
        if self.num_rows - self.bounds[-1] > 1:
            self.close()
            return
        self.num_rows = self.bounds[-1]
        self._checksum = crc32(self.frames[: self.num_rows].data)

    def episodes(self) -> NDArray[np.int64]:
        """Bounds of all episodes (num_episodes + 1,), the growing one included."""
        growing = [self.num_rows] if self.num_rows > self.bounds[-1] else []
        return np.asarray([*self.bounds, *growing], dtype=np.int64)

    def num_minority_rewards(self) -> int:
        """Rewards outside the most frequent of the classes negative, none, positive."""
        starts = self.episodes()
        final = np.zeros(self.num_rows, dtype=np.bool_)
        final[starts[1:] - 1] = True
        signs = np.sign(self.rewards[: self.num_rows][~final])
        counts = sorted(int((signs == sign).sum()) for sign in (-1, 0, 1))
        return sum(counts[:-1])

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the frames, which are brought to the disk."""
        self.frames.flush()  # type: ignore[attr-defined]
        named = {name: torch.from_numpy(getattr(self, name)[: self.num_rows]) for name in ROWS}
        return named | {
            "bounds": torch.tensor(self.bounds),
            "counts": torch.tensor([self.num_rows, self.num_env_steps, self._checksum]),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> bool:
        """Go back to saved tensors; False when the frames on disk are not those of that moment."""
        num_rows, num_env_steps, checksum = (int(count) for count in tensors["counts"])
        if crc32(self.frames[:num_rows].data) != checksum:
            return False
        for name in ROWS:
            getattr(self, name)[:num_rows] = tensors[name].numpy()
        self.bounds = tensors["bounds"].tolist()
        self.num_rows, self.num_env_steps, self._checksum = num_rows, num_env_steps, checksum
        return True

    def _append(self, frame: NDArray[np.uint8]) -> None:
        self.frames[self.num_rows] = frame
        self._checksum = crc32(frame.tobytes(), self._checksum)
        self.num_rows += 1


def _open(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Open the file of frames, or make it where it is missing or of another size."""
    try:
        old: NDArray[np.uint8] = np.load(path, mmap_mode="r+", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        old = np.empty(0, dtype=np.uint8)
    if old.shape == size and old.dtype == np.uint8:
        return old
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)
