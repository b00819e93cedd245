"""How the episodes of a recording become parts: moved against their actions, and held out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.config.recorded import RecordedPart
from diamond.config.run import CONTEXT_FRAMES
from diamond.errors import RequestError, unknown
from diamond.recordings.episodes import Actions, RecordedEpisode, Source

LEAST_HELD_OUT = CONTEXT_FRAMES + 2
"""Frames of the end of a single episode: a context, and two after it."""
LEAST_SCORED = 3
"""Frames of a held-out episode, whose context is padded: one before, one imagined, and the end."""
DEFAULT_HOLD_OUT = "0.1"


@dataclass(frozen=True)
class Part:
    """An episode, or a piece of one; action i leads from frame i to frame i + 1.

    Attributes:
        name: What a person calls it.
        num_frames: t.
        held_out: Whether no world model is trained on it.
        actions: (t - 1,) int64, or (t - 1, k) float64.
        rewards: (t - 1,) float32; None where not every episode has them.
        ends: (t - 1,) bool; None where not every episode has them.
    """

    name: str
    num_frames: int
    held_out: bool
    actions: Actions
    rewards: NDArray[np.float32] | None
    ends: NDArray[np.bool_] | None

    @property
    def record(self) -> RecordedPart:
        """The part, as the record of a recording names it."""
        return RecordedPart(
            name=self.name,
            num_frames=self.num_frames,
            held_out=self.held_out,
            ended=self.ends is not None and bool(self.ends[-1:].any()),
        )


@dataclass(frozen=True)
class Prepared:
    """A recording as it will be kept, but for its frames: these are in its files.

    Attributes:
        source: The files, moved by the shift.
        shift: Env steps by which the actions were moved against the frames.
        pieces: Of each episode its parts, one after the other; the action between two is left out.
        split: How held-out parts were chosen, in words.
        remarks: What was left out.
    """

    source: Source
    shift: int
    pieces: tuple[tuple[Part, ...], ...]
    split: str
    remarks: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of all episodes."""
        return tuple(part for parts in self.pieces for part in parts)


def prepare(source: Source, hold_out: str = DEFAULT_HOLD_OUT, shift: int = 0) -> Prepared:
    """Move actions against frames, and choose what is held out.

    After a shift, action i is the one that was action i + shift of the same frame; what has no
    partner is cut off at both ends. Rewards and ends move with the actions.

    Args:
        hold_out: A fraction in [0, 1], or names of episodes with commas between them.
        shift: Env steps; the lag that `diamond.training.alignment` finds is mended by it.

    Raises:
        RequestError: An episode is too short for the shift, or the split is not possible.
    """
    moved = _alike(source, shift)
    cuts, words = _split(moved, hold_out)
    pieces = tuple(
        tuple(_part(episode, cut) for cut in own)
        for episode, own in zip(moved.episodes, cuts, strict=True)
    )
    return Prepared(moved, shift, pieces, words, _partly_known(source))


def read_parts(prepared: Prepared) -> Iterator[tuple[Part, Iterator[ByteArray]]]:
    """The parts and their frames, (h, w, 3) uint8; each is to be read to its end.

    Raises:
        RequestError: An episode has fewer or more frames than its reader said.
    """
    for episode, parts in zip(prepared.source.episodes, prepared.pieces, strict=True):
        frames = iter(episode.frames())
        for part in parts:
            yield part, _exactly(frames, part)
        if next(frames, None) is not None:
            raise RequestError(f"{episode.name!r} has more than {episode.num_frames} frames")


@dataclass(frozen=True)
class _Cut:
    """Frames first to end - 1 of an episode."""

    name: str
    first: int
    end: int
    held_out: bool


_Cuts = tuple[tuple[_Cut, ...], ...]
"""Of each episode, without a gap between them."""


def _split(source: Source, hold_out: str) -> tuple[_Cuts, str]:
    try:
        fraction = float(hold_out)
    except ValueError:
        return _by_name(source, hold_out)
    if hold_out in [episode.name for episode in source.episodes]:
        return _by_name(source, hold_out)
    if not 0 <= fraction <= 1:
        raise RequestError(
            f"--hold-out {hold_out}\n  allowed: a fraction from 0 to 1, or names of episodes with "
            "commas between them"
        )
    episodes = source.episodes
    if len(episodes) == 1 and 0 < fraction < 1:
        return _in_time(episodes[0], fraction)
    held = [floor((i + 1) * fraction) > floor(i * fraction) for i in range(len(episodes))]
    if fraction and not any(held):
        held[-1] = True
    words = f"{sum(held)} of {len(episodes)} episodes, evenly spread (--hold-out {fraction:g})"
    return _whole(source, held), words


def _exactly(frames: Iterator[ByteArray], part: Part) -> Iterator[ByteArray]:
    given = 0
    for frame in islice(frames, part.num_frames):
        given += 1
        yield frame
    if given < part.num_frames:
        raise RequestError(
            f"{part.name!r} ends after {given} of {part.num_frames} frames\n  a file is cut, or "
            "changed while it was read"
        )


def _check_ends(source: Source) -> None:
    """Refuse an end inside an episode: whether the next frame begins another one is not said."""
    for episode in source.episodes:
        if episode.ends is not None and episode.ends[:-1].any():
            where = int(np.flatnonzero(episode.ends)[0])
            raise RequestError(
                f"episode {episode.name!r} ends at action {where} of {len(episode.ends)} and goes "
                "on\n  give a file or a group for each episode; its last frame is the one after "
                "the end"
            )


def _alike(source: Source, shift: int) -> Source:
    """All episodes moved, with rewards and ends where all have them."""
    _check_ends(source)
    rewards = all(episode.rewards is not None for episode in source.episodes)
    ends = all(episode.ends is not None for episode in source.episodes)
    return replace(
        source,
        episodes=tuple(
            _shifted(
                replace(
                    episode,
                    rewards=episode.rewards if rewards else None,
                    ends=episode.ends if ends else None,
                ),
                shift,
            )
            for episode in source.episodes
        ),
    )


def _partly_known(source: Source) -> tuple[str, ...]:
    """What some episodes have and others have not."""
    known = {
        "rewards": sum(episode.rewards is not None for episode in source.episodes),
        "ends": sum(episode.ends is not None for episode in source.episodes),
    }
    num = len(source.episodes)
    return tuple(
        f"{have} of {num} episodes have {what}: they are left out, for all episodes need them"
        for what, have in known.items()
        if 0 < have < num
    )


def _part(episode: RecordedEpisode, cut: _Cut) -> Part:
    rows = slice(cut.first, cut.end - 1)
    return Part(
        cut.name,
        cut.end - cut.first,
        cut.held_out,
        episode.actions[rows],
        None if episode.rewards is None else episode.rewards[rows],
        None if episode.ends is None else episode.ends[rows],
    )


def _shifted(episode: RecordedEpisode, shift: int) -> RecordedEpisode:
    if shift == 0:
        return episode
    num_frames = episode.num_frames - abs(shift)
    if num_frames < 2:
        raise RequestError(
            f"--shift {shift}: episode {episode.name!r} has {episode.num_frames} frames, so that "
            f"{max(0, num_frames)} are left; 2 are needed\n  give a smaller shift, or take the "
            "episode out of the files"
        )
    skipped, moved = max(0, -shift), max(0, shift)
    rows = slice(moved, moved + num_frames - 1)
    return replace(
        episode,
        num_frames=num_frames,
        frames=_between(episode.frames, skipped, skipped + num_frames),
        actions=episode.actions[rows],
        rewards=None if episode.rewards is None else episode.rewards[rows],
        ends=None if episode.ends is None else episode.ends[rows],
    )


def _between(
    frames: Callable[[], Iterator[ByteArray]], first: int, end: int
) -> Callable[[], Iterator[ByteArray]]:
    return lambda: islice(frames(), first, end)


def _by_name(source: Source, hold_out: str) -> tuple[_Cuts, str]:
    known = [episode.name for episode in source.episodes]
    names = [name.strip() for name in hold_out.split(",")]
    for name in names:
        if name not in known:
            raise unknown(
                "episode", name, known, "--hold-out takes a fraction, or names of episodes"
            )
    return _whole(source, [name in names for name in known]), f"by name: {', '.join(names)}"


def _whole(source: Source, held: list[bool]) -> _Cuts:
    return tuple(
        (_Cut(episode.name, 0, episode.num_frames, is_held),)
        for episode, is_held in zip(source.episodes, held, strict=True)
    )


def _in_time(episode: RecordedEpisode, fraction: float) -> tuple[_Cuts, str]:
    """Hold out the end of the only episode."""
    num = episode.num_frames
    at = num - max(ceil(num * fraction), LEAST_HELD_OUT)
    if at < 2:
        raise RequestError(
            f"--hold-out {fraction:g} leaves {max(0, at)} of the {num} frames of the only episode "
            f"to train on; {LEAST_HELD_OUT} are held out at least\n  allowed: "
            + (
                "a smaller fraction, or a longer recording"
                if num >= LEAST_HELD_OUT + 2
                else f"an episode of {LEAST_HELD_OUT + 2} frames or more; or several episodes"
            )
        )
    cuts = (
        _Cut(f"{episode.name} (first)", 0, at, held_out=False),
        _Cut(f"{episode.name} (last)", at, num, held_out=True),
    )
    words = f"the last {num - at} of {num} frames of the only episode (--hold-out {fraction:g})"
    return (cuts,), words
