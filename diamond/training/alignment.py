"""At which lag the actions of a recording fit its frames, read off by a small network.

Action i leads from frame i to frame i + 1. A lag of L says that the action i + L fits the pair
(frame i, frame i + 1) best: `diamond import-frames --shift L` mends it.
"""

import math
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.arrays import BoolArray, FloatArray, IntArray
from diamond.config.recorded import Alignment
from diamond.data.frame_pairs import LAGS, SIDE, Actions, FramePairs
from diamond.nets.blocks import conv3x3, group_norm
from diamond.rng import numpy_generator, seeded_init
from diamond.seeds import Purpose
from diamond.stats.difference import t_test
from diamond.training.optimizer import UncompiledAdamW

LEAST_PAIRS = 400
"""Fewer pairs are not asked: chance would decide."""
NUM_UPDATES = 800
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
CHANNELS = (16, 32, 32)
NUM_FEATURES = 128
TEST_EVERY = 5
"""One block of pairs in so many is held out."""
NUM_BLOCKS = 150
SURE = 1e-3
"""The p value below which a lag is said to be ahead."""
SEED = 0


def align(pairs: FramePairs, num_actions: int | None) -> Alignment | None:
    """Find the lag at which frames and actions fit best.

    One network reads the action of every lag off each pair, with a head for each; the lags are
    compared on held-out blocks of pairs.

    Args:
        pairs: Of the recording, its actions by lag.
        num_actions: Number of discrete actions; None of continuous ones.

    Returns:
        The scores, and the best lag; None where there are too few pairs to say.
    """
    if len(pairs.before) < LEAST_PAIRS:
        return None
    blocks = _blocks(pairs.parts)
    test = blocks % TEST_EVERY == TEST_EVERY - 1
    task: _Task = _Discrete(pairs.actions, num_actions) if num_actions else _Numbers(pairs.actions)
    net = _trained(pairs, task, np.flatnonzero(~test))
    gains, trivial = task.judge(_outputs(net, pairs, np.flatnonzero(test)), test)
    return _compared(gains, trivial, blocks[test])


def _compared(gains: FloatArray, trivial: FloatArray, blocks: IntArray) -> Alignment:
    """The best lag, and whether it is surely ahead.

    Args:
        gains: (n, 7), what each lag gained at each held-out pair.
        trivial: (n,), what the trivial answer gained.
        blocks: (n,), the block of each: pairs of one block are not independent.
    """
    scores = gains.mean(axis=0)
    best = int(scores.argmax())
    others = np.column_stack((np.delete(gains, best, axis=1), trivial))
    ahead = all(_is_positive(gains[:, best] - other, blocks) for other in others.T)
    return Alignment(
        lag=LAGS[best],
        lags=LAGS,
        scores=tuple(scores.tolist()),
        trivial=float(trivial.mean()),
        told=ahead,
    )


def _is_positive(values: FloatArray, blocks: IntArray) -> bool:
    """Whether the mean over blocks is surely positive."""
    _, place = np.unique(blocks, return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    p = t_test(means)
    return bool(means.mean() > 0 and p is not None and p < SURE)


def _blocks(parts: IntArray) -> IntArray:
    """The number of the block of each pair: successive pairs, of one part."""
    size = max(1, len(parts) // NUM_BLOCKS)
    begins = np.flatnonzero(np.diff(parts, prepend=-1))
    since = np.arange(len(parts)) - np.repeat(begins, np.diff([*begins, len(parts)]))
    return np.cumsum(since % size == 0) - 1


class _Task(Protocol):
    """What the network is asked."""

    num_outputs: int

    def loss(self, outputs: Tensor, rows: IntArray) -> Tensor:
        """Of outputs (b, 7, num_outputs) on pairs."""
        ...

    def judge(self, outputs: Tensor, test: BoolArray) -> tuple[FloatArray, FloatArray]:
        """What each lag (n, 7) and the trivial answer (n,) gain at each held-out pair."""
        ...


class _Discrete:
    """One of several actions; a pair gains 1 where it is named rightly."""

    def __init__(self, actions: Actions, num_actions: int) -> None:
        self.num_outputs = num_actions
        self._actions = torch.from_numpy(actions)

    def loss(self, outputs: Tensor, rows: IntArray) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(outputs.flatten(0, 1), self._actions[rows].flatten())

    def judge(self, outputs: Tensor, test: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Whether each is right; the trivial answer is the most frequent action."""
        truth = self._actions[test].numpy()
        now = truth[:, LAGS.index(0)]
        most = np.bincount(now).argmax()
        gains = outputs.argmax(dim=-1).numpy() == truth
        return gains.astype(np.float64), (now == most).astype(np.float64)


class _Numbers:
    """Several numbers; a pair gains 1 less its squared error, in units of their variance."""

    def __init__(self, actions: Actions) -> None:
        numbers = actions[:, LAGS.index(0)]
        varies = numbers.std(axis=0) > 0
        scaled = (actions - numbers.mean(axis=0))[..., varies] / numbers.std(axis=0)[varies]
        self.num_outputs = int(varies.sum())
        self._actions = torch.from_numpy(scaled.astype(np.float32))

    def loss(self, outputs: Tensor, rows: IntArray) -> Tensor:
        """Squared error."""
        return F.mse_loss(outputs, self._actions[rows])

    def judge(self, outputs: Tensor, test: BoolArray) -> tuple[FloatArray, FloatArray]:
        """R2 by pair, averaged over the numbers; the trivial answer is their mean."""
        truth = self._actions[test].double()
        variance = truth.var(dim=0, correction=0).clamp(min=1e-12)
        gains = (1 - (outputs - truth).square() / variance).mean(dim=-1)
        trivial = (1 - (truth.mean(dim=0) - truth).square() / variance).mean(dim=(1, 2))
        return gains.numpy(), trivial.numpy()


class _Net(nn.Module):
    """Strided convolutions over a small frame and the change to the next, and one hidden layer."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last, side = 2, SIDE
        for width in CHANNELS:
            layers += [conv3x3(last, width, stride=2), group_norm(width), nn.SiLU()]
            last, side = width, (side + 1) // 2
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(last * side * side, NUM_FEATURES), nn.SiLU()
        )
        self.heads = nn.Linear(NUM_FEATURES, len(LAGS) * num_outputs)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """What each lag says, (b, 7, num_outputs), of frames (b, 48, 48) in [0, 1]."""
        maps = self.body(torch.stack((before, 4 * (after - before)), dim=1))
        out: Tensor = self.heads(maps).unflatten(1, (len(LAGS), -1))
        return out


def _trained(pairs: FramePairs, task: _Task, rows: IntArray) -> _Net:
    """A network that was trained on some pairs."""
    with seeded_init(SEED, Purpose.ALIGNMENT_INIT):
        net = _Net(task.num_outputs)
    optimizer = UncompiledAdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    draw = numpy_generator(SEED, Purpose.ALIGNMENT_PAIRS)
    for update in range(NUM_UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * update / NUM_UPDATES))
        batch = draw.choice(rows, BATCH)
        loss = task.loss(net(*_inputs(pairs, batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


@torch.no_grad()
def _outputs(net: _Net, pairs: FramePairs, rows: IntArray) -> Tensor:
    parts = [net(*_inputs(pairs, some)) for some in np.split(rows, range(BATCH, len(rows), BATCH))]
    return torch.cat(parts)


def _inputs(pairs: FramePairs, rows: IntArray) -> tuple[Tensor, Tensor]:
    before, after = torch.from_numpy(pairs.before[rows]), torch.from_numpy(pairs.after[rows])
    return before.float() / 255, after.float() / 255
