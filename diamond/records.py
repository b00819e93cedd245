"""Frozen records of tensors that pass between data, world and agent, and the scale of frames."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class ClassShift(NamedTuple):
    """How much more often an env step of a class is drawn than the game has it, as a logarithm.

    Attributes:
        rewards: Of the rewards -1, 0 and 1.
        ends: Of no end and an end.
    """

    rewards: tuple[float, ...] = (0.0, 0.0, 0.0)
    ends: tuple[float, ...] = (0.0, 0.0)


EVENLY = ClassShift()
"""All env steps are equally likely."""


@dataclass(frozen=True)
class Segments:
    """A batch of consecutive real env steps inside one episode each, padded to one length.

    Attributes:
        frames: (b, t + 1, c, h, w) float32 in [-1, 1]; frame i + 1 follows action i.
        actions: (b, t) int64, indices into the action set; or (b, t, k) float32, k numbers in
            [-1, 1].
        rewards: (b, t) float32, as the game gave them.
        ends: (b, t) int64, 1 where the action ended the episode (or lost a life).
        valid: (b, t) bool, False at padding, which means nothing: frame i + 1 after the env steps,
            frame i before them is padding where step i is. Before them the first frame is repeated
            with action 0, reward 0, end 0. Segments whole inside an episode have none.
        shift: How they were drawn; zeros where all env steps were equally likely.
    """

    frames: Tensor
    actions: Tensor
    rewards: Tensor
    ends: Tensor
    valid: Tensor
    shift: ClassShift = EVENLY

    def to(self, device: torch.device) -> "Segments":
        """The same segments on a device."""
        return Segments(
            self.frames.to(device),
            self.actions.to(device),
            self.rewards.to(device),
            self.ends.to(device),
            self.valid.to(device),
            self.shift,
        )


class RealStarts(NamedTuple):
    """Real frames that imagination begins after.

    Attributes:
        frames: (b, t, c, h, w) float32 in [-1, 1], oldest first.
        actions: (b, t - 1) int64 or (b, t - 1, k) float32, action i leads from frame i to frame
            i + 1.
        padded: (b,) int64, below t: frames at the front that are copies of the first real one, with
            action 0 after each; no memory is kept of them.
    """

    frames: Tensor
    actions: Tensor
    padded: Tensor

    def to(self, device: torch.device) -> "RealStarts":
        """The same starts on a device."""
        return RealStarts(self.frames.to(device), self.actions.to(device), self.padded.to(device))


class Seen(NamedTuple):
    """What a recurrent policy acted on, so that it can be run over it again.

    Attributes:
        frames: (b, t, c, h, w) float32 in [-1, 1].
        begins: (b, t) bool, where its memory is one of another past than the step before.
        memory: Before each frame, a pair of tensors (b, t, units) without gradient.
    """

    frames: Tensor
    begins: Tensor
    memory: tuple[Tensor, Tensor]

    def rows(self, rows: Tensor) -> "Seen":
        """That of some trajectories, rows (m,) int64."""
        hidden, cell = self.memory
        return Seen(self.frames[rows], self.begins[rows], (hidden[rows], cell[rows]))


@dataclass(frozen=True)
class Trajectories:
    """What a policy did in an environment, imagined or real, time second.

    Attributes:
        actions: (b, t) int64.
        rewards: (b, t) float32.
        ends: (b, t) bool.
        logits: (b, t, k), with gradient.
        values: (b, t), with gradient.
        next_values: (b, t) value of the frame that follows, without gradient; 0 after an end.
        seen: What the policy acted on.
    """

    actions: Tensor
    rewards: Tensor
    ends: Tensor
    logits: Tensor
    values: Tensor
    next_values: Tensor
    seen: Seen | None = None


def to_unit(frames: Tensor) -> Tensor:
    """Scale uint8 frames (..., h, w, c) to float32 (..., c, h, w) in [-1, 1]."""
    return frames.movedim(-1, -3).float().div(255).mul(2).sub(1)


def to_bytes(frames: Tensor) -> Tensor:
    """Scale float frames (..., c, h, w) in [-1, 1] to the nearest uint8 level (..., h, w, c)."""
    return frames.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).movedim(-3, -1)
