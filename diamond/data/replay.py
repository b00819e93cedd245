"""The growing set of real frames of the online protocol and segments drawn by recency."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond.data.dataset import CPU, gather, gather_padded
from diamond.errors import StageFailedError
from diamond.records import Segments

FRAMES_FILE = "frames.npy"
ROWS = ("actions", "rewards", "ends")


class Replay:
    """Episodes of real frames, one after the other; the last one may still be growing. Mutable.

    Rows are as in `FrameSet`: a frame and what was done there; the last row of an episode has no
    action, and that of the growing one waits for it. Frames lie in a file of full capacity that
    takes no room before it is written (a sparse file); the rest is in memory.
    """

    def __init__(self, folder: Path, num_env_steps: int, shape: tuple[int, int]) -> None:
        """Make or open the file.

        Args:
            folder: Where it lies; it must exist.
            num_env_steps: Env steps that will be collected at most.
            shape: Height and width of a frame.
        """
        capacity = 2 * num_env_steps + 1  # a step fills one row, and one more where it is an end
        path, size = folder / FRAMES_FILE, (capacity, *shape, 3)
        self.frames: NDArray[np.uint8] = _open(path, size)
        self.actions = np.zeros(capacity, dtype=np.int64)
        self.rewards = np.zeros(capacity, dtype=np.float32)
        self.ends = np.zeros(capacity, dtype=np.uint8)
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


class RecencySampler:
    """Segments of a fixed number of env steps, most of them from the newest episodes.

    The episodes that have an env step, the growing one included, are divided into as many equal
    parts as there are weights, oldest first, the last one with what is left over. A part is drawn
    by its weight, an episode of the part uniformly, then a segment that is whole inside it. Fewer
    episodes than parts are drawn by their env steps instead. One too short for a segment is never
    drawn.

    Source: arXiv:2405.12399, released code, `BatchSampler`.
    Differs: there segments may begin before an episode, so that none is too short
    (docs/deviations.md).
    """

    def __init__(self, replay: Replay, num_steps: int, weights: Sequence[float]) -> None:
        """Assign; what the replay holds when a batch is drawn counts."""
        self._replay = replay
        self._num_steps = num_steps
        self._weights = tuple(weights)

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments with replacement.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.
            device: Where the segments are wanted.

        Raises:
            StageFailedError: No episode is long enough.
        """
        bounds = self._replay.episodes()
        lengths = _lengths(bounds)
        starts = np.maximum(lengths + 1 - self._num_steps, 0)
        weights = episode_weights(lengths, starts > 0, self._weights)
        if not weights.sum() > 0:
            raise StageFailedError(
                f"no collected episode has {self._num_steps} env steps: lives were shorter\n"
                "  raise online.initial.min_env_steps, or lower denoiser.history, "
                "denoiser.autoregressive_passes or policy.burn_in_frames"
            )
        episodes, chosen = _draw(weights, starts, batch_size, generator)
        return gather(self._replay, bounds[episodes] + chosen, self._num_steps, device)


class PaddedRecencySampler:
    """Segments around env steps, most of them of the newest episodes, padded.

    An episode is drawn as by `RecencySampler`, then one of its env steps uniformly, then the place
    of the step in the segment, as by `PaddedSegmentSampler`: no episode is too short. The growing
    episode counts from its first env step on.

    Source, Differs: as `PaddedSegmentSampler`.
    """

    def __init__(self, replay: Replay, num_steps: int, weights: Sequence[float]) -> None:
        """Assign; what the replay holds when a batch is drawn counts."""
        self._replay = replay
        self._num_steps = num_steps
        self._weights = tuple(weights)

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments with replacement from a replay with an env step at least.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.
            device: Where the segments are wanted.
        """
        bounds = self._replay.episodes()
        lengths = _lengths(bounds)
        weights = episode_weights(lengths, lengths > 0, self._weights)
        episodes, chosen = _draw(weights, lengths, batch_size, generator)
        places = torch.randint(self._num_steps, (batch_size,), generator=generator).numpy()
        edges = bounds[episodes], bounds[episodes + 1] - 1
        first = edges[0] + chosen - places
        return gather_padded(self._replay, first, edges, self._num_steps, device)


def episode_weights(
    lengths: NDArray[np.int64], usable: NDArray[np.bool_], part_weights: Sequence[float]
) -> NDArray[np.float64]:
    """Chance of each episode, up to a factor.

    Args:
        lengths: Env steps of each episode (num_episodes,), oldest first, at least 1.
        usable: Whether each may be drawn (num_episodes,); the chance of one that may not goes to
            the others of its part.
        part_weights: Weight of each part, oldest first.
    """
    num_episodes, num_parts = len(lengths), len(part_weights)
    if num_episodes < num_parts:
        return np.where(usable, lengths, 0).astype(np.float64)
    weights = np.zeros(num_episodes)
    size = num_episodes // num_parts
    for index, weight in enumerate(part_weights):
        last = num_episodes if index == num_parts - 1 else (index + 1) * size
        drawn = usable[index * size : last]
        weights[index * size : last] = drawn * weight / max(1, drawn.sum())
    return weights


def _lengths(bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Env steps of the episodes that have one; the growing, last one may have none yet."""
    lengths = np.diff(bounds) - 1
    return lengths[lengths > 0]


def _draw(
    weights: NDArray[np.float64],
    num_choices: NDArray[np.int64],
    batch_size: int,
    generator: torch.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw episodes by their weights and, uniformly, one of the choices of each, both (b,)."""
    drawn = torch.multinomial(
        torch.from_numpy(weights), batch_size, replacement=True, generator=generator
    )
    places = torch.rand(batch_size, generator=generator, dtype=torch.float64).numpy()
    episodes = drawn.numpy()
    return episodes, (places * num_choices[episodes]).astype(np.int64)


def _open(path: Path, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Open the file of frames, or make it where it is missing or of another size."""
    try:
        old: NDArray[np.uint8] = np.load(path, mmap_mode="r+", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        old = np.empty(0, dtype=np.uint8)
    if old.shape == size and old.dtype == np.uint8:
        return old
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)
