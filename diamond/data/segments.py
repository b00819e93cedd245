"""Segments of real env steps, drawn from a set of frames."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.errors import StageFailedError
from diamond.part import CPU, Extent, SegmentSource
from diamond.records import RealStarts, Segments, to_unit


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

    @property
    def pads_starts(self) -> bool:
        """Whether segments may begin before their episode."""
        ...

    def episodes(self) -> NDArray[np.int64]:
        """Bounds of the episodes so far (num_episodes + 1,), oldest first."""
        ...


class SegmentSampler:
    """Draws segments with replacement, from what the frames are at that moment.

    A whole segment is one of all that lie inside one episode. Where the frames pad starts, it is
    drawn by its last env step, and what of it lies before the episode is padding.

    A padded one is drawn by an env step and its place in the segment: what of the segment lies
    before the episode is left out, so that it begins with the episode; what lies after it is
    padding. So a step far from both edges has num_steps times the chance of one env step to be in a
    padded segment, the first and the last step of a long episode (num_steps + 1) / 2 times.

    Without weights all segments, or env steps, are equally likely. Weights favour the newest: the
    episodes that have an env step, the growing one included, are divided into as many equal parts
    as there are weights, oldest first, the last one with what is left over. A part is drawn by its
    weight, an episode of the part uniformly, then one of its segments, or env steps. Fewer episodes
    than parts are drawn by their env steps instead. One too short for a segment is never drawn.

    Source: arXiv:2405.12399, released code, `BatchSampler`, padded `can_sample_beyond_end`.
    Differs: there segments may begin before an episode, with grey frames, which the LSTM reads
    (docs/deviations.md).
    """

    def __init__(self, frames: RealFrames, extent: Extent, weights: Sequence[float] = ()) -> None:
        """Assign; none are drawn.

        Args:
            frames: Real frames, which may grow.
            extent: What a segment is.
            weights: Share of each part of the episodes, oldest first; none for uniform draws.
        """
        self._frames = frames
        self._extent = extent
        self._weights = tuple(weights)

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.
            device: Where the segments are wanted.

        Returns:
            `Segments` of the env steps of the extent.

        Raises:
            StageFailedError: No episode is long enough.
        """
        num_steps, padded = self._extent
        by_step = padded or self._frames.pads_starts
        bounds = self._frames.episodes()
        lengths = np.trim_zeros(np.diff(bounds) - 1, "b")  # the growing episode may have none yet
        choices = lengths if by_step else np.maximum(lengths + 1 - num_steps, 0)
        weights = choices.astype(np.float64)
        if self._weights:
            weights = episode_weights(lengths, choices > 0, self._weights)
        if not weights.sum() > 0:
            raise StageFailedError(
                f"no episode has {1 if by_step else num_steps} env steps, which a segment needs\n"
                "  raise frames.num_frames (online: online.initial.min_env_steps), or lower what "
                "makes segments long: history, autoregressive passes, burn-in frames"
            )
        if self._weights:
            episodes, chosen = _draw_by_weight(weights, choices, batch_size, generator)
        else:
            episodes, chosen = _draw_uniformly(choices, batch_size, generator)
        first = bounds[episodes] + chosen
        if padded:
            first = first - torch.randint(num_steps, (batch_size,), generator=generator).numpy()
        elif by_step:
            first = first - (num_steps - 1)
        edges = bounds[episodes], bounds[episodes + 1] - 1
        return _gather(self._frames, first, edges, self._extent, device)


def draw_starts(
    source: SegmentSource, num: int, generator: torch.Generator, device: torch.device = CPU
) -> RealStarts:
    """Draw real starts of imagination.

    Args:
        source: Segments of t env steps, one more than a start has: the last frame is left out, so
            that a start is never the final frame of an episode, after which the world model saw
            nothing.
        num: Number of starts.
        generator: CPU generator.
        device: Where the starts are wanted.
    """
    return starts_of(source.sample(num, generator, device))


def starts_of(segments: Segments) -> RealStarts:
    """The starts that segments without padding at their end contain, all frames but the last."""
    padded = (~segments.valid).sum(dim=1)
    return RealStarts(segments.frames[:, :-1], segments.actions[:, :-1], padded)


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


Drawn = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Episodes (b,) and what was chosen in each (b,)."""


def _draw_uniformly(choices: NDArray[np.int64], num: int, generator: torch.Generator) -> Drawn:
    ends = np.cumsum(choices)
    picks = torch.randint(int(ends[-1]), (num,), generator=generator).numpy()
    episodes = np.searchsorted(ends, picks, side="right").astype(np.int64)
    return episodes, picks - (ends - choices)[episodes]


def _draw_by_weight(
    weights: NDArray[np.float64], choices: NDArray[np.int64], num: int, generator: torch.Generator
) -> Drawn:
    drawn = torch.multinomial(torch.from_numpy(weights), num, replacement=True, generator=generator)
    places = torch.rand(num, generator=generator, dtype=torch.float64).numpy()
    episodes = drawn.numpy()
    return episodes, (places * choices[episodes]).astype(np.int64)


def _gather(
    rows: RealFrames,
    first: NDArray[np.int64],
    edges: tuple[NDArray[np.int64], NDArray[np.int64]],
    extent: Extent,
    device: torch.device,
) -> Segments:
    """Read what segments and their episodes have in common.

    Args:
        rows: Real frames.
        first: Row where each segment begins (b,), at most `num_steps - 1` before its episode.
        edges: First and final row of each segment's episode (b,).
        extent: What a segment is.
        device: Where the segments are wanted.

    Returns:
        `Segments`. Those of a padded extent begin inside their episode; padding after it repeats
        the row of the last frame that segment and episode have in common.
    """
    num_steps, padded = extent
    begin, last = edges[0][:, None], np.minimum(first + num_steps, edges[1])[:, None]
    if padded:
        first = np.maximum(first, edges[0])
    reached = first[:, None] + np.arange(num_steps + 1)
    picked = np.clip(reached, begin, last)
    steps, begun = picked[:, :-1], reached[:, :-1] >= begin
    return Segments(
        # Frames travel as bytes and become floats, four times as large, where they are wanted.
        to_unit(torch.from_numpy(np.asarray(rows.frames[picked])).to(device)),
        torch.from_numpy(rows.actions[steps] * begun).to(device),
        torch.from_numpy(rows.rewards[steps] * begun).to(device),
        torch.from_numpy(rows.ends[steps] * begun.astype(np.int64)).to(device),
        torch.from_numpy(begun & (steps < last)).to(device),
    )
