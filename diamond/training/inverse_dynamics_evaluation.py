"""How the inverse dynamics model does on frames that it never saw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.data.dataset import FrameSet
from diamond.nets.inverse_dynamics_net import InverseDynamicsNet
from diamond.part import device_of
from diamond.records import to_unit
from diamond.stats.classification import class_recall

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


@torch.no_grad()
def judge_held_out(net: InverseDynamicsNet, frames: FrameSet) -> HeldOut:
    """Name the action of every env step of recorded episodes.

    Args:
        frames: Episodes that it was not trained on.
    """
    named, taken = [], []
    for before, after, actions in _pairs(frames):
        first, second = (to_unit(torch.from_numpy(x)).to(device_of(net)) for x in (before, after))
        named.append(net(first, second).argmax(dim=-1).cpu().numpy())
        taken.append(actions)
    guess, truth = np.concatenate(named), np.concatenate(taken)
    counts = np.bincount(truth, minlength=net.shape.num_actions)
    return HeldOut(
        len(truth),
        float((guess == truth).mean()),
        float(counts.max() / len(truth)),
        tuple(class_recall(truth, guess, net.shape.num_actions).tolist()),
        tuple(counts.tolist()),
    )


def _pairs(
    frames: FrameSet,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]]:
    rows = np.delete(np.arange(frames.bounds[-1]), frames.bounds[1:] - 1)
    for first in range(0, len(rows), BATCH):
        chosen = rows[first : first + BATCH]
        yield frames.frames[chosen], frames.frames[chosen + 1], frames.actions[chosen]
