"""Players that look at no frame: what a policy has to be better than."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from diamond.arrays import ByteArray, FloatArray, IntArray
from diamond.nets.blocks import Recurrent
from diamond.training.evaluation import Actor

MAX_HOLD_STEPS = 8
"""A held random action is held 1 to this many env steps."""
Uniforms = FloatArray
Choice = tuple[IntArray, Recurrent | None]


def random_actor(num_actions: int) -> Actor:
    """An actor that chooses uniformly."""

    def act(frames: ByteArray, uniforms: Uniforms, memory: Recurrent | None) -> Choice:
        return (uniforms * num_actions).astype(np.int64), None

    return act


def held_actor(num_actions: int) -> Actor:
    """An actor that chooses uniformly and holds each action 1 to `MAX_HOLD_STEPS` env steps.

    Its memory is the action and how many env steps it is held on; zeros begin a new one.
    """

    def act(frames: ByteArray, uniforms: Uniforms, memory: Recurrent | None) -> Choice:
        drawn, rest = np.divmod(uniforms * num_actions, 1)
        actions = torch.from_numpy(drawn.astype(np.int64))
        left = torch.from_numpy((rest * MAX_HOLD_STEPS).astype(np.int64))
        if memory is not None:
            held, remaining = memory
            actions = torch.where(remaining > 0, held, actions)
            left = torch.where(remaining > 0, remaining - 1, left)
        return actions.numpy(), (actions, left)

    return act


def constant_actor(action: int) -> Callable[[int], Actor]:
    """An actor that always takes the same action, by its index."""

    def act(frames: ByteArray, uniforms: Uniforms, memory: Recurrent | None) -> Choice:
        return np.full(len(uniforms), action), None

    return lambda num_actions: act


def frequency_actor(counts: Sequence[int]) -> Callable[[int], Actor]:
    """An actor that draws actions as often as they were taken.

    Args:
        counts: Of each action, by its index; not all 0.
    """
    upper = np.cumsum(counts) / sum(counts)

    def act(frames: ByteArray, uniforms: Uniforms, memory: Recurrent | None) -> Choice:
        return np.searchsorted(upper, uniforms, side="right"), None

    return lambda num_actions: act
