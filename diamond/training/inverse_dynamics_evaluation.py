"""How the inverse dynamics model does on frames that it never saw."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.data.action_space import ActionArray
from diamond.data.dataset import FrameSet
from diamond.nets.inverse_dynamics_net import InverseDynamicsNet
from diamond.part import device_of
from diamond.records import to_unit
from diamond.stats.classification import class_recall
from diamond.stats.regression import variance_explained

BATCH = 256
"""Pairs of frames that are looked at together when nothing is trained."""


@dataclass(frozen=True)
class HeldOut:
    """How an inverse dynamics model does on held-out real frames.

    Attributes:
        num_steps: Env steps that were judged.
        accuracy: Share of the actions that it names.
        majority_rate: Share of the most frequent action: the accuracy of always naming it.
        recall: Per action the share of its env steps that are named so; NaN for an action that
            was never taken.
        counts: Per action the env steps with it.
    """

    num_steps: int
    accuracy: float
    majority_rate: float
    recall: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class HeldOutNumbers:
    """How one that reads off numbers does there.

    Attributes:
        num_steps: Env steps that were judged.
        r2: Share of the variance of all numbers that it explains; NaN where nothing varies.
        each: The same of each number.
    """

    num_steps: int
    r2: float
    each: tuple[float, ...]


def judge_held_out(net: InverseDynamicsNet, frames: FrameSet) -> HeldOut:
    """Name the action of every env step of recorded episodes.

    Args:
        frames: Episodes that it was not trained on.
    """
    truth, guess = _read(net, frames)
    counts = np.bincount(truth, minlength=net.shape.num_actions)
    return HeldOut(
        len(truth),
        float((guess == truth).mean()),
        float(counts.max() / len(truth)),
        tuple(class_recall(truth, guess, net.shape.num_actions).tolist()),
        tuple(counts.tolist()),
    )


def judge_held_out_numbers(net: InverseDynamicsNet, frames: FrameSet) -> HeldOutNumbers:
    """As `judge_held_out`, where an action is several numbers."""
    truth, guess = _read(net, frames)
    each = (variance_explained(*pair).mean() for pair in zip(truth.T, guess.T, strict=True))
    r2 = variance_explained(truth, guess).mean()
    return HeldOutNumbers(len(truth), float(r2), tuple(float(one) for one in each))


@torch.no_grad()
def _read(net: InverseDynamicsNet, frames: FrameSet) -> tuple[NDArray[Any], NDArray[Any]]:
    """The actions of all env steps, taken and named."""
    named, taken = [], []
    for before, after, actions in _pairs(frames):
        first, second = (to_unit(torch.from_numpy(x)).to(device_of(net)) for x in (before, after))
        named.append(net.named(net(first, second)).cpu().numpy())
        taken.append(actions)
    return np.concatenate(taken), np.concatenate(named)


def _pairs(
    frames: FrameSet,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], ActionArray]]:
    rows = np.delete(np.arange(frames.bounds[-1]), frames.bounds[1:] - 1)
    for first in range(0, len(rows), BATCH):
        chosen = rows[first : first + BATCH]
        yield frames.frames[chosen], frames.frames[chosen + 1], frames.actions[chosen]
