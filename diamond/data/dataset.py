"""The static set of real frames on disk and segments drawn from it."""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond.data.frame_files import FrameWriter, read_episodes
from diamond.records import Segments, to_unit

FRAMES_FILE = "frames.npz"


@dataclass(frozen=True)
class FrameSet:
    """Episodes of real frames, one after the other; the last frame of an episode has no action.

    Attributes:
        frames: (n, h, w, 3) uint8.
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

    def save(self, folder: Path) -> None:
        """Write frames.npz, actions.npy, rewards.npy, ends.npy and episodes.json."""
        with FrameWriter(folder / FRAMES_FILE) as file:
            for episode, (first, end) in enumerate(pairwise(self.bounds)):
                file.write(episode, self.frames[first:end])
        np.save(folder / "actions.npy", self.actions)
        np.save(folder / "rewards.npy", self.rewards)
        np.save(folder / "ends.npy", self.ends)
        (folder / "episodes.json").write_text(json.dumps({"bounds": self.bounds.tolist()}) + "\n")

    @staticmethod
    def load(folder: Path) -> "FrameSet":
        """Read a set written by `save`, its frames too: segments are drawn from all of them."""
        bounds = np.asarray(
            json.loads((folder / "episodes.json").read_text())["bounds"], dtype=np.int64
        )
        return FrameSet(
            read_episodes(folder / FRAMES_FILE, np.diff(bounds).tolist()),
            np.load(folder / "actions.npy", allow_pickle=False),
            np.load(folder / "rewards.npy", allow_pickle=False),
            np.load(folder / "ends.npy", allow_pickle=False),
            bounds,
        )


class RealFrames(Protocol):
    """Rows of real frames and what was done there, as in `FrameSet`."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(n, h, w, 3)."""
        ...

    @property
    def actions(self) -> NDArray[np.int64]:
        """(n,)."""
        ...

    @property
    def rewards(self) -> NDArray[np.float32]:
        """(n,)."""
        ...

    @property
    def ends(self) -> NDArray[np.uint8]:
        """(n,)."""
        ...


CPU = torch.device("cpu")


class SegmentSource(Protocol):
    """Draws segments of real env steps for an update."""

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw `batch_size` segments with a CPU generator and bring them to a device."""
        ...


class SegmentSampler:
    """Uniform segments of a fixed number of env steps, each whole inside one episode."""

    def __init__(self, dataset: FrameSet, num_steps: int) -> None:
        """List the rows where a segment of `num_steps` actions can begin.

        Raises:
            ValueError: No episode is long enough.
        """
        self._dataset = dataset
        self._num_steps = num_steps
        pairs = zip(dataset.bounds[:-1], dataset.bounds[1:], strict=True)
        rows = [np.arange(lo, hi - num_steps) for lo, hi in pairs if hi - lo > num_steps]
        if not rows:
            raise ValueError(f"no episode has {num_steps} env steps; record more frames")
        self._rows = np.concatenate(rows)

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments uniformly, with replacement.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.
            device: Where the segments are wanted.

        Returns:
            `Segments` with t = num_steps.
        """
        picks = torch.randint(len(self._rows), (batch_size,), generator=generator)
        return gather(self._dataset, self._rows[picks.numpy()], self._num_steps, device)


class PaddedSegmentSampler:
    """Segments around uniform env steps; what lies beyond their episode is padding.

    An env step is drawn uniformly, then its place in the segment. What of the segment lies before
    the episode is left out, so that it begins with the episode; what lies after it is padding. So
    a step far from both edges has num_steps times the chance 1 / (all env steps) to be in a
    segment, the first and the last step of a long episode (num_steps + 1) / 2 times.

    Source: arXiv:2405.12399, released code, `BatchSampler` with `can_sample_beyond_end`.
    Differs: there the steps before the episode are grey frames, which the LSTM reads
    (docs/deviations.md).
    """

    def __init__(self, dataset: FrameSet, num_steps: int) -> None:
        """List the env steps.

        Raises:
            ValueError: There is none.
        """
        self._dataset = dataset
        self._num_steps = num_steps
        lengths = np.diff(dataset.bounds) - 1
        if not (lengths > 0).any():
            raise ValueError("no episode has an env step; record more frames")
        self._episodes = np.repeat(np.arange(len(lengths)), lengths)
        self._steps = np.delete(np.arange(dataset.bounds[-1]), dataset.bounds[1:] - 1)

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments with replacement.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.
            device: Where the segments are wanted.

        Returns:
            `Segments` with t = num_steps, padded.
        """
        picks = torch.randint(len(self._steps), (batch_size,), generator=generator).numpy()
        places = torch.randint(self._num_steps, (batch_size,), generator=generator).numpy()
        bounds, episodes = self._dataset.bounds, self._episodes[picks]
        edges = bounds[episodes], bounds[episodes + 1] - 1
        first = self._steps[picks] - places
        return gather_padded(self._dataset, first, edges, self._num_steps, device)


def draw_starts(
    source: SegmentSource, num: int, generator: torch.Generator, device: torch.device = CPU
) -> tuple[Tensor, Tensor]:
    """Draw real starts of imagination.

    Args:
        source: Segments of t env steps, one more than a start has: the last frame is left out, so
            that a start is never the final frame of an episode, after which the world model saw
            nothing.
        num: Number of starts.
        generator: CPU generator.
        device: Where the starts are wanted.

    Returns:
        Frames (num, t, c, h, w) in [-1, 1] and the actions between them (num, t - 1) int64.
    """
    segments = source.sample(num, generator, device)
    return segments.frames[:, :-1], segments.actions[:, :-1]


def gather(
    rows: RealFrames, first: NDArray[np.int64], num_steps: int, device: torch.device = CPU
) -> Segments:
    """Read segments of `num_steps` env steps that begin at the given rows (b,)."""
    return gather_padded(rows, first, (first, first + num_steps), num_steps, device)


def gather_padded(
    rows: RealFrames,
    first: NDArray[np.int64],
    edges: tuple[NDArray[np.int64], NDArray[np.int64]],
    num_steps: int,
    device: torch.device = CPU,
) -> Segments:
    """Read what segments of `num_steps` env steps and their episodes have in common.

    Args:
        rows: Real frames.
        first: Row where each segment begins (b,), at most `num_steps - 1` before its episode.
        edges: First and final row of each segment's episode (b,).
        num_steps: Env steps of a segment.
        device: Where the segments are wanted.

    Returns:
        `Segments` that begin inside their episode. Padding repeats the row of the last frame that
        segment and episode have in common.
    """
    begin, final = np.maximum(first, edges[0]), edges[1]
    last = np.minimum(first + num_steps, final)
    picked = np.minimum(begin[:, None] + np.arange(num_steps + 1), last[:, None])
    steps = picked[:, :-1]
    return Segments(
        # Frames travel as bytes and become floats, four times as large, where they are wanted.
        to_unit(torch.from_numpy(np.asarray(rows.frames[picked])).to(device)),
        torch.from_numpy(rows.actions[steps]).to(device),
        torch.from_numpy(rows.rewards[steps]).to(device),
        torch.from_numpy(rows.ends[steps].astype(np.int64)).to(device),
        torch.from_numpy(steps < last[:, None]).to(device),
    )
