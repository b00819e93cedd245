"""At which lag the actions of a recording fit its frames.

Action i leads from frame i to frame i + 1. A lag of L says that the action i + L is the last one
that the change from frame i to frame i + 1 shows: `diamond import-frames --shift L` mends it.

The inverse-dynamics model is linear in products of change and gradient, which say which way things
move (Lucas and Kanade 1981), and has a closed form: a small network overfits the few thousand pairs
that a recording has, and takes a hundred times as long.
"""

import cv2
import numpy as np

from diamond.arrays import BoolArray, ByteArray, FloatArray, IntArray
from diamond.config.recorded import Alignment
from diamond.data.frame_pairs import SIDE, WINDOW, Actions, FramePairs
from diamond.stats.difference import t_test

LAGS = WINDOW[1:-1]
"""Those that are told apart: each has an action before it and one after it in the window."""
LEAST_PAIRS = 300
"""Fewer pairs are not asked: chance would decide."""
SURE = 0.01
"""The p value below which a lag is said to be ahead."""
_CLEAR = 0.25
"""Share of the best score that a lag needs for its action to count as shown."""
HABIT = 0.5
"""Where every lag has so much of the best score, frames show what the player does by habit."""
_NUM_FOLDS = 5
_NUM_BLOCKS = 150
_GRIDS = (1, 3)
"""Features are means over the frame, and over each of 3 x 3 cells."""
_BLUR = 2.0
"""Standard deviation of the second scale at which motion is looked at, pixels."""
_FEATURE_RIDGE = 100.0
_ACTION_RIDGE = 3.0
_MAX_FEATURE = 4.0
_CHUNK = 512
"""Pairs whose features are made together."""


def align(pairs: FramePairs, num_actions: int | None) -> Alignment | None:
    """Find the lag at which frames and actions fit.

    Neighbouring actions are often equal, and a game may show an action late, so that several lags
    fit. So each lag is asked what a pair says of its action beyond what the other actions around
    say of it. Of actions that come after a pair it says nothing, or only what a player's habits
    say: the lag is the latest one that is shown clearly, and surely better than those after it.

    Args:
        pairs: Of the recording, with the actions around each.
        num_actions: Number of discrete actions; None of continuous ones.

    Returns:
        The scores, and the lag; None where there are too few pairs to say.
    """
    if len(pairs.before) < LEAST_PAIRS:
        return None
    blocks = _blocks(pairs.parts)
    rest = _rest(_as_numbers(pairs.actions, num_actions))
    guess = _guess(_features(pairs), rest, blocks % _NUM_FOLDS)
    norm = np.sqrt((guess**2).sum(axis=2).mean(axis=0) * (rest**2).sum(axis=2).mean(axis=0))
    gains = ((guess * rest).sum(axis=2) / np.maximum(norm, 1e-12))[:, 1:-1]
    scores = gains.mean(axis=0)
    reach = scores - scores.min()
    clear = np.flatnonzero(reach >= _CLEAR * reach.max())[::-1]
    sure = [lag for lag in clear if _is_ahead(gains, lag, blocks)]
    if scores.min() > HABIT * scores.max() > 0:
        sure = []
    best = int(sure[0]) if sure else int(scores.argmax())
    return Alignment(lag=LAGS[best], lags=LAGS, scores=tuple(scores.tolist()), told=bool(sure))


def _is_ahead(gains: FloatArray, lag: int, blocks: IntArray) -> bool:
    """Whether a lag is surely ahead of chance and of each later one."""
    others = (gains[:, lag] - later for later in gains[:, lag + 1 :].T)
    return all(_is_positive(one, blocks) for one in (gains[:, lag], *others))


def _is_positive(values: FloatArray, blocks: IntArray) -> bool:
    """Whether the mean over blocks is surely positive."""
    means = np.bincount(blocks, values) / np.bincount(blocks)
    p = t_test(means)
    return bool(means.mean() > 0 and p is not None and p < SURE)


def _blocks(parts: IntArray) -> IntArray:
    """The number of the block of each pair: successive pairs, of one part."""
    size = max(1, len(parts) // _NUM_BLOCKS)
    begins = np.flatnonzero(np.diff(parts, prepend=-1))
    since = np.arange(len(parts)) - np.repeat(begins, np.diff([*begins, len(parts)]))
    blocks: IntArray = np.cumsum(since % size == 0) - 1
    return blocks


def _as_numbers(actions: Actions, num_actions: int | None) -> FloatArray:
    """Actions as numbers (n, 9, k): 0 and 1 for each discrete one, or in units of their spread."""
    if num_actions is not None:
        chosen: FloatArray = np.eye(num_actions)[actions.astype(np.int64)]
        return chosen
    spread = actions.std(axis=(0, 1))
    numbers: FloatArray = (actions - actions.mean(axis=(0, 1))) / np.where(spread > 0, spread, 1.0)
    return numbers


def _rest(actions: FloatArray) -> FloatArray:
    """What of each action around a pair the others do not say, (n, 9, k)."""
    rest = np.empty_like(actions)
    for step in range(len(WINDOW)):
        others = np.delete(actions, step, axis=1).reshape(len(actions), -1)
        known = np.column_stack((others, np.ones(len(others))))
        rest[:, step] = actions[:, step] - known @ _ridge(known, actions[:, step], _ACTION_RIDGE)
    return rest


def _guess(features: FloatArray, rest: FloatArray, folds: IntArray) -> FloatArray:
    """What the features of each pair say of the rest, by the pairs of the other folds."""
    guess = np.zeros(rest.shape)
    flat = rest.reshape(len(rest), -1)
    for fold in range(_NUM_FOLDS):
        test: BoolArray = folds == fold
        weights = _ridge(features[~test], flat[~test], _FEATURE_RIDGE)
        told = features[test] @ weights
        guess[test] = told.reshape(-1, *rest.shape[1:])
    return guess


def _ridge(known: FloatArray, wanted: FloatArray, penalty: float) -> FloatArray:
    """Weights of the ridge regression of what is wanted on what is known."""
    square = known.T @ known + penalty * np.eye(known.shape[1])
    return np.asarray(np.linalg.solve(square, known.T @ wanted), dtype=np.float64)


def _features(pairs: FramePairs) -> FloatArray:
    """Numbers of each pair that say how things move, (n, 140), of mean 0 and spread 1."""
    starts = range(0, len(pairs.before), _CHUNK)
    chunks = [(pairs.before[i : i + _CHUNK], pairs.after[i : i + _CHUNK]) for i in starts]
    raw = np.concatenate([_motion(*chunk) for chunk in chunks])
    even = np.sign(raw) * np.sqrt(np.abs(raw))
    scaled: FloatArray = (even - even.mean(axis=0)) / (even.std(axis=0) + 1e-6)
    return scaled.clip(-_MAX_FEATURE, _MAX_FEATURE)


def _motion(before: ByteArray, after: ByteArray) -> FloatArray:
    """Products of change and gradient of pairs (n, 48, 48) uint8, at two scales, as means."""
    means = []
    for blurs in (False, True):
        first, last = (_levels(frames, blurs) for frames in (before, after))
        change = last - first
        across, down = (np.gradient((first + last) / 2, axis=axis) for axis in (2, 1))
        maps = (
            change * across,
            change * down,
            change * np.abs(across),
            change * np.abs(down),
            np.abs(change),
            np.sign(change) * across * down,
            change,
        )
        means += [_means(one, grid) for one in maps for grid in _GRIDS]
    return np.concatenate(means, axis=1)


def _levels(frames: ByteArray, blurs: bool) -> FloatArray:
    levels = frames.astype(np.float64) / 255
    if blurs:
        levels = np.stack([cv2.GaussianBlur(frame, (0, 0), _BLUR) for frame in levels])
    return levels


def _means(maps: FloatArray, grid: int) -> FloatArray:
    """Means of maps (n, 48, 48) over grid x grid cells, (n, grid * grid)."""
    cell = SIDE // grid
    means: FloatArray = maps.reshape(-1, grid, cell, grid, cell).mean(axis=(2, 4))
    return means.reshape(len(maps), -1)
