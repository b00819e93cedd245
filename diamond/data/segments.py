"""Segments of real env steps, drawn from a set of frames."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.data.action_space import ActionArray
from diamond.errors import StageFailedError
from diamond.part import CPU, Extent, SegmentSource
from diamond.records import EVENLY, ClassShift, RealStarts, Segments, to_unit

LEAST_RATIO = 1e-6
"""Of how often a class is drawn to how often it occurs, so that the logarithm is finite."""


class RealFrames(Protocol):
    """Rows of real frames and what was done there, as in `FrameSet`."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(n, h, w, 3)."""
        ...

    @property
    def actions(self) -> ActionArray:
        """(n,) indices, or (n, k) numbers."""
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

    The first `balance` of a batch are drawn around events, in two steps: one of the kinds of event
    that the frames have, each equally likely (rewards of either sign, unless it is the most
    frequent, and ends), then an event of it and its place in the segment. Without an event in the
    frames all are drawn as if there were no balance.

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
        self._found: tuple[int, int] | None = None
        self._kinds: list[_Around] = []
        self._shift = EVENLY

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw segments.

        Args:
            batch_size: Number of segments.
            generator: CPU generator.

        Returns:
            `Segments` of the env steps of the extent.

        Raises:
            StageFailedError: No episode is long enough.
        """
        num_steps, padded = self._extent.num_steps, self._extent.padded
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
        around = self._events()
        num_around = _share(self._extent.balance, batch_size, generator) if around else 0
        num_plain = batch_size - num_around
        if self._weights:
            episodes, chosen = _draw_by_weight(weights, choices, num_plain, generator)
        else:
            episodes, chosen = _draw_uniformly(choices, num_plain, generator)
        first = bounds[episodes] + chosen
        if padded:
            first = first - torch.randint(num_steps, (num_plain,), generator=generator).numpy()
        elif by_step:
            first = first - (num_steps - 1)
        if num_around:
            near, begun = _draw_around(around, num_around, generator)
            episodes, first = np.concatenate((near, episodes)), np.concatenate((begun, first))
        edges = bounds[episodes], bounds[episodes + 1] - 1
        drawn = _gather(self._frames, first, edges, self._extent, device)
        return replace(drawn, shift=self._shift) if num_around else drawn

    @property
    def lacks_events(self) -> bool:
        """Whether it is to draw around events, and the frames have none so far."""
        return self._extent.balance > 0 and not self._events()

    def _class_shift(self, around: "list[_Around]") -> ClassShift:
        """By how much draws favour classes, to first order: edges of episodes are left out."""
        balance = self._extent.balance
        rewards, ends = (np.zeros((2, 3)), np.zeros((2, 2)))
        classes = np.sign(self._frames.rewards).astype(np.int64) + 1
        plain = self._step_weights()
        near = np.mean([_covered(one, self._extent, len(plain)) for one in around], axis=0)
        for index, weights in enumerate((plain, near)):
            num_rows = len(weights)
            rewards[index] = np.bincount(classes[:num_rows], weights, minlength=3)
            ends[index] = np.bincount(self._frames.ends[:num_rows], weights, minlength=2)
        return ClassShift(_log_ratio(rewards, balance), _log_ratio(ends, balance))

    def _step_weights(self) -> NDArray[np.float64]:
        """Chance of each row without balance (n,); 0 at final frames."""
        bounds = self._frames.episodes()
        lengths = np.diff(bounds) - 1
        weights = np.ones(len(lengths))
        if self._weights:
            drawn = episode_weights(np.maximum(lengths, 1), lengths > 0, self._weights)
            weights = drawn / np.maximum(lengths, 1)
        rows = np.repeat(weights, np.diff(bounds))
        rows[bounds[1:] - 1] = 0
        return np.asarray(rows / rows.sum())

    def _events(self) -> "list[_Around]":
        """The segments around events so far, a record for each kind of event there is."""
        if not self._extent.balance:
            return []
        bounds = self._frames.episodes()
        found = (len(bounds), int(bounds[-1]))
        if found != self._found:
            self._found, self._kinds = found, _around_events(self._frames, self._extent)
            plain = self._step_weights() if self._weights else None
            self._kinds = [one.weighted(plain) for one in self._kinds]
            self._shift = self._class_shift(self._kinds) if self._kinds else EVENLY
        return self._kinds


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
    if num == 0:  # of which torch draws none
        return np.empty(0, np.int64), np.empty(0, np.int64)
    drawn = torch.multinomial(torch.from_numpy(weights), num, replacement=True, generator=generator)
    places = torch.rand(num, generator=generator, dtype=torch.float64).numpy()
    episodes = drawn.numpy()
    return episodes, (places * choices[episodes]).astype(np.int64)


class _Around(NamedTuple):
    """The segments around the events of one kind.

    Attributes:
        rows: Row of each event (n,).
        episodes: Its episode (n,).
        low: First row that a segment around it may begin at (n,).
        high: Last one (n,), at least `low`.
        chances: Chance of each event (n,), a cumulative sum that ends at 1.
    """

    rows: NDArray[np.int64]
    episodes: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    chances: NDArray[np.float64]

    def weighted(self, rows: NDArray[np.float64] | None) -> "_Around":
        """The same with chances in proportion to those of rows; None for equal ones."""
        chances = np.ones(len(self.rows)) if rows is None else rows[self.rows] + 1e-12
        return self._replace(chances=np.cumsum(chances) / chances.sum())


def _around_events(frames: RealFrames, extent: Extent) -> list[_Around]:
    bounds = frames.episodes()
    num_rows, lengths = int(bounds[-1]), np.diff(bounds)
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    begin, last = bounds[:-1][episodes], bounds[1:][episodes] - 1
    rows = np.arange(num_rows)
    first, final = extent.event_places
    low, high = rows - final, rows - first
    if not extent.padded:
        steps = extent.num_steps
        low = np.maximum(low, begin - (steps - 1) if frames.pads_starts else begin)
        high = np.minimum(high, last - steps)
    usable = (rows < last) & (low <= high)
    signs = np.sign(frames.rewards[:num_rows])
    counts = [int((usable & (signs == sign)).sum()) for sign in (-1, 0, 1)]
    rare = [sign for sign, count in zip((-1, 0, 1), counts, strict=True) if count < max(counts)]
    kinds = [signs == sign for sign in rare] + [frames.ends[:num_rows] > 0]
    return [
        _Around(rows[kind], episodes[kind], low[kind], high[kind], np.empty(0))
        for kind in (kind & usable for kind in kinds)
        if kind.any()
    ]


def _share(share: float, num: int, generator: torch.Generator) -> int:
    """A share of a number as a whole one: what is left of it, by chance."""
    whole, rest = divmod(share * num, 1)
    if rest < LEAST_RATIO or rest > 1 - LEAST_RATIO:
        return round(share * num)
    return int(whole) + int(torch.rand((), generator=generator) < rest)


def _draw_around(kinds: Sequence[_Around], num: int, generator: torch.Generator) -> Drawn:
    """Episode of each segment (num,) and the row where it begins (num,)."""
    drawn = torch.randint(len(kinds), (num,), generator=generator).numpy()
    which, where = torch.rand(2, num, generator=generator, dtype=torch.float64).numpy()
    episodes, first = np.empty(num, np.int64), np.empty(num, np.int64)
    for index, kind in enumerate(kinds):
        mine = drawn == index
        event = np.searchsorted(kind.chances, which[mine], side="right").clip(
            max=len(kind.rows) - 1
        )
        room = kind.high[event] - kind.low[event] + 1
        episodes[mine] = kind.episodes[event]
        first[mine] = kind.low[event] + (where[mine] * room).astype(np.int64)
    return episodes, first


def _covered(kind: _Around, extent: Extent, num_rows: int) -> NDArray[np.float64]:
    """Chance of each row (n,) to be an env step of a segment around an event, summing to 1."""
    chances = np.diff(kind.chances, prepend=0.0)
    room = kind.high - kind.low + 1
    drawn = np.zeros(num_rows + 1)
    for place in range(int(room.max())):
        here = place < room
        first = (kind.low + place)[here].clip(min=0)
        share = (chances / room)[here]
        np.add.at(drawn, first, share)
        np.add.at(drawn, (first + extent.num_steps).clip(max=num_rows), -share)
    covered = np.cumsum(drawn[:-1])
    return np.asarray(covered / covered.sum())


def _log_ratio(shares: NDArray[np.float64], balance: float) -> tuple[float, ...]:
    """Logarithm of how often each class is drawn over how often it occurs; 0 of one without.

    Args:
        shares: Share of each class (2, k): of all env steps, and of those around events.
        balance: Share of the latter in a batch.
    """
    plain, near = shares
    drawn = (1 - balance) * plain + balance * near
    ratios = np.divide(drawn, plain, out=np.ones_like(plain), where=plain > 0)
    return tuple(np.log(np.maximum(ratios, LEAST_RATIO)).tolist())


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

    Returns:
        `Segments`. Those of a padded extent begin inside their episode; padding after it repeats
        the row of the last frame that segment and episode have in common.
    """
    num_steps, padded = extent.num_steps, extent.padded
    begin, last = edges[0][:, None], np.minimum(first + num_steps, edges[1])[:, None]
    if padded:
        first = np.maximum(first, edges[0])
    reached = first[:, None] + np.arange(num_steps + 1)
    picked = np.clip(reached, begin, last)
    steps, begun = picked[:, :-1], reached[:, :-1] >= begin
    acted = begun if rows.actions.ndim == 1 else begun[..., None]
    return Segments(
        # Frames travel as bytes and become floats, four times as large, where they are wanted.
        to_unit(torch.from_numpy(np.asarray(rows.frames[picked])).to(device)),
        torch.from_numpy(rows.actions[steps] * acted).to(device),
        torch.from_numpy(rows.rewards[steps] * begun).to(device),
        torch.from_numpy(rows.ends[steps] * begun.astype(np.int64)).to(device),
        torch.from_numpy(begun & (steps < last)).to(device),
    )
