"""Frozen records of tensors that pass between data, world and agent, and the scale of frames."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """A batch of consecutive real env steps inside one episode each, padded to one length.

    Attributes:
        frames: (b, t + 1, c, h, w) float32 in [-1, 1]; frame i + 1 follows action i.
        actions: (b, t) int64, indices into the action set.
        rewards: (b, t) float32, as the game gave them.
        ends: (b, t) int64, 1 where the action ended the episode (or lost a life).
        valid: (b, t) bool, False at padding, which comes after the env steps and means nothing:
            frame i + 1 is padding where step i is. Segments whole inside an episode have none.
    """

    frames: Tensor
    actions: Tensor
    rewards: Tensor
    ends: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> "Segments":
        """The same segments on a device."""
        return Segments(
            self.frames.to(device),
            self.actions.to(device),
            self.rewards.to(device),
            self.ends.to(device),
            self.valid.to(device),
        )


@dataclass(frozen=True)
class Trajectories:
    """What a policy did in an environment, imagined or real, time second.

    Attributes:
        actions: (b, t) int64.
        rewards: (b, t) float32.
        ends: (b, t) bool.
        logits: (b, t, k), with gradient.
        values: (b, t), with gradient.
        next_values: (b, t) value of the frame that follows, before any restart, without gradient.
    """

    actions: Tensor
    rewards: Tensor
    ends: Tensor
    logits: Tensor
    values: Tensor
    next_values: Tensor


def to_unit(frames: Tensor) -> Tensor:
    """Scale uint8 frames (..., h, w, c) to float32 (..., c, h, w) in [-1, 1]."""
    return frames.movedim(-1, -3).float().div(255).mul(2).sub(1)


def to_bytes(frames: Tensor) -> Tensor:
    """Scale float frames (..., c, h, w) in [-1, 1] to the nearest uint8 level (..., h, w, c)."""
    return frames.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).movedim(-3, -1)
