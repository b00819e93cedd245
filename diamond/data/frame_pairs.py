"""Small grey pairs of successive frames with the actions around them: what an alignment is told by.

No network is here; that is in `diamond.training.alignment`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond.arrays import BoolArray, ByteArray, IntArray

WINDOW = (-4, -3, -2, -1, 0, 1, 2, 3, 4)
"""Env steps from a pair of frames to the actions around it."""
SIDE = 48
"""Rows and columns of a small frame, pixels."""
MAX_PAIRS = 10_000

Actions = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class FramePairs:
    """Pairs of successive frames, in the order of the recording.

    Attributes:
        before: (n, 48, 48) uint8, grey.
        after: (n, 48, 48) uint8, the frame after each.
        actions: (n, 9) int64 or (n, 9, k) float64: for pair (frame i, frame i + 1) and each step s
            of `WINDOW` the action i + s.
        parts: (n,) int64, the number of the part that each is of.
    """

    before: ByteArray
    after: ByteArray
    actions: Actions
    parts: IntArray


class PairCollector:
    """Takes the pairs out of frames that pass by. Mutable."""

    def __init__(self, actions: Sequence[Actions]) -> None:
        """Choose which pairs are taken.

        Args:
            actions: Of each part, (t - 1,) or (t - 1, k).
        """
        self._actions = actions
        self._rows = choose_pairs(actions)
        self._small: dict[tuple[int, int], ByteArray] = {}
        self._needed = [set(rows) | {row + 1 for row in rows} for rows in self._rows]

    def see(self, part: int, number: int, frame: ByteArray) -> None:
        """Take in a frame (h, w, 3) uint8 of a part."""
        if number in self._needed[part]:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            self._small[part, number] = np.asarray(small, dtype=np.uint8)

    def pairs(self) -> FramePairs:
        """The pairs, once all frames passed by."""
        chosen = [(part, row) for part, rows in enumerate(self._rows) for row in rows]
        empty = np.empty((0, SIDE, SIDE), dtype=np.uint8)
        window = np.asarray(WINDOW)
        return FramePairs(
            np.stack([self._small[part, row] for part, row in chosen]) if chosen else empty,
            np.stack([self._small[part, row + 1] for part, row in chosen]) if chosen else empty,
            np.stack([self._actions[part][row + window] for part, row in chosen])
            if chosen
            else np.empty((0, len(WINDOW)), dtype=np.int64),
            np.array([part for part, _ in chosen], dtype=np.int64),
        )


def choose_pairs(actions: Sequence[Actions]) -> list[list[int]]:
    """Choose pairs with two actions around them, at most `MAX_PAIRS`, spread evenly.

    Where an action is held for longer than a window, it says nothing of a lag.

    Args:
        actions: Of each part, (t - 1,) or (t - 1, k).

    Returns:
        Of each part the numbers of the frames before, ascending.
    """
    telling = [np.flatnonzero(_changes(own)) - WINDOW[0] for own in actions]
    num = sum(map(len, telling))
    kept = np.zeros(num, dtype=np.bool_)
    kept[np.linspace(0, num - 1, min(num, MAX_PAIRS)).round().astype(np.int64)] = True
    first = np.cumsum([0, *map(len, telling)])
    return [own[kept[at : at + len(own)]].tolist() for own, at in zip(telling, first, strict=False)]


def _changes(actions: Actions) -> BoolArray:
    """Whether the window of each pair that has a whole one holds two actions."""
    if len(actions) < len(WINDOW):
        return np.zeros(0, dtype=np.bool_)
    flat = actions.reshape(len(actions), -1)
    windows = np.lib.stride_tricks.sliding_window_view(flat, len(WINDOW), axis=0)
    changes: BoolArray = (windows != windows[..., :1]).any(axis=(1, 2))
    return changes
