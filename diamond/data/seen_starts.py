"""Held-out starts whose context the training frames have too; short episodes repeat."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ActionArray, ActionSpace
from diamond.data.dataset import read_in_turn
from diamond.data.reference_files import Reference, load_references, view_frames


@dataclass(frozen=True)
class Stretch:
    """Successive real frames of one episode.

    Attributes:
        frames: (t, h, w, 3) uint8.
        actions: As an `ActionSpace` encodes them, t - 1 or more; number i leads from frame i to the
            next.
    """

    frames: NDArray[np.uint8]
    actions: ActionArray


def stored_seen_starts(
    references: Path, frames: Path, view: ViewConfig, num_starts: int
) -> tuple[int, ...]:
    """Which references of a folder begin with a context that training frames have too.

    Args:
        references: Folder of the references.
        frames: Folder of the training frames, of the same view.
        view: What the arm sees.
        num_starts: References that are looked for, the first ones.

    Returns:
        Their positions, in order.

    Raises:
        ValueError: A file of frames is damaged.
    """
    held_out = load_references(references)[:num_starts]
    space = ActionSpace.load(frames)
    episodes = (Stretch(*episode) for episode in read_in_turn(frames))
    return seen_starts([context_of(reference, view, space) for reference in held_out], episodes)


def known_frames(
    references: Path, frames: Path, view: ViewConfig, num_starts: int | None, horizon: int
) -> float | None:
    """The share of the real frames after held-out starts that training frames have too.

    Args:
        references: Folder of the references.
        frames: Folder of the training frames, of the same view.
        view: What the arm sees.
        num_starts: References that are looked for, the first ones; None for all.
        horizon: Env steps after a start.

    Returns:
        Equal bytes of a frame; None where no frame follows.
    """
    known = {_digest(frame) for shown, _ in read_in_turn(frames) for frame in shown}
    held_out = [
        _digest(frame) in known
        for one in load_references(references)[:num_starts]
        for frame in view_frames(one, one.native[CONTEXT_FRAMES:][:horizon], view)
    ]
    return sum(held_out) / len(held_out) if held_out else None


def _digest(frame: NDArray[np.uint8]) -> bytes:
    return blake2b(frame.tobytes(), digest_size=16).digest()


def context_of(reference: Reference, view: ViewConfig, space: ActionSpace) -> Stretch:
    """The real frames before a start as an arm sees them, without padding."""
    padded = reference.num_padded
    first = max(0, reference.offset)
    codes = reference.action_codes[first : first + CONTEXT_FRAMES - padded - 1]
    frames = view_frames(reference, reference.native[:CONTEXT_FRAMES], view)
    return Stretch(frames[padded:], space.encode(codes))


def seen_starts(contexts: Sequence[Stretch], episodes: Iterable[Stretch]) -> tuple[int, ...]:
    """Which contexts occur in an episode: equal bytes of all frames, equal actions between them.

    Args:
        contexts: Of the starts.
        episodes: Training frames; one episode at a time is in memory.

    Returns:
        Positions among the contexts, in order.
    """
    by_last: dict[bytes, list[int]] = {}
    for number, context in enumerate(contexts):
        by_last.setdefault(context.frames[-1].tobytes(), []).append(number)
    found: set[int] = set()
    for episode in episodes:
        for row, frame in enumerate(episode.frames):
            for number in by_last.get(frame.tobytes(), ()):
                if number not in found and _ends_at(contexts[number], episode, row):
                    found.add(number)
    return tuple(sorted(found))


def _ends_at(context: Stretch, episode: Stretch, row: int) -> bool:
    """Whether a context is what an episode has up to a row."""
    first = row + 1 - len(context.frames)
    return (
        first >= 0
        and np.array_equal(episode.actions[first:row], context.actions)
        and np.array_equal(episode.frames[first : row + 1], context.frames)
    )
