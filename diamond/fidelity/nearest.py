"""How far frames are from anything real: the distance to the nearest frame of a bank."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from diamond.arrays import ByteArray, FloatArray, IntArray

MAX_BANK_FRAMES = 8192


@dataclass(frozen=True)
class FrameBank:
    """Real frames to compare with.

    Attributes:
        frames: uint8 (m, h, w, 3).
        episodes: int64 (m,), the episode of each frame.
    """

    frames: ByteArray
    episodes: IntArray

    def without(self, episode: int) -> "FrameBank":
        """The bank without one episode."""
        kept = self.episodes != episode
        return FrameBank(self.frames[kept], self.episodes[kept])


def make_bank(
    parts: Iterable[tuple[int, ByteArray]], total: int, most: int = MAX_BANK_FRAMES
) -> FrameBank:
    """Gather a bank from parts of episodes, evenly thinned when there are too many frames.

    Args:
        parts: Episode and frames, uint8 (k, h, w, 3), one part at a time.
        total: Number of frames of all parts.
        most: Frames to keep at most, at least 1.

    Raises:
        ValueError: When the parts do not have that many frames, or none.
    """
    wanted = np.arange(total) if total <= most else np.arange(most) * total // most
    frames: list[ByteArray] = []
    episodes: list[int] = []
    row = 0
    for episode, part in parts:
        here = wanted[(wanted >= row) & (wanted < row + len(part))] - row
        frames.append(part[here])
        episodes += [episode] * len(here)
        row += len(part)
    if row != total or not total:
        raise ValueError(f"a bank needs its {total} frames, at least one, got {row}")
    return FrameBank(np.concatenate(frames), np.array(episodes, dtype=np.int64))


def nearest_l1(frames: ByteArray, bank: FrameBank) -> FloatArray:
    """L1 distance of every frame to the nearest one of a bank, by comparing with all of them.

    Args:
        frames: uint8 (n, h, w, 3).
        bank: Frames of the same size.

    Returns:
        (n,) mean absolute difference over pixels and channels, in [0, 1]; NaN for an empty bank.

    Raises:
        ValueError: When frames are not uint8 of the bank's size.
    """
    if frames.dtype != np.uint8 or frames.shape[1:] != bank.frames.shape[1:]:
        raise ValueError(
            f"frames must be uint8 (n, h, w, 3) of the bank's size {bank.frames.shape[1:]}, "
            f"got {frames.dtype} {frames.shape}"
        )
    if not len(bank.frames) or not len(frames):
        return np.full(len(frames), np.nan)
    rows, kept = frames.reshape(len(frames), -1), bank.frames.reshape(len(bank.frames), -1)
    distances, _ = cv2.batchDistance(rows, kept, cv2.CV_32S, normType=cv2.NORM_L1, K=1)
    return distances[:, 0].astype(np.float64) / (255 * rows.shape[1])
