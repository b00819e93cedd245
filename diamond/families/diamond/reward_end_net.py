"""The reward/end network: encoder of (frame, next frame, action), LSTM over time, two heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.networks import Precision
from diamond.families.diamond.config import RewardEndConfig
from diamond.families.diamond.unet import ConditionedEncoder
from diamond.nets.blocks import (
    Recurrent,
    action_embedding,
    activate,
    arithmetic,
    forget,
    initialise_lstm,
)
from diamond.part import CPU, Draw, Extent, Losses, Part
from diamond.seeds import Purpose

NUM_REWARD_CLASSES = 3
NUM_END_CLASSES = 2
PADDING = -100
"""Class of what counts in no mean: cross-entropy leaves it out of sum, number and gradient."""


@dataclass(frozen=True)
class RewardEndNetShape:
    """Sizes of the network; see `RewardEndConfig` for their meaning and ranges."""

    num_actions: int
    height: int
    width: int
    channels: Sequence[int]
    depths: Sequence[int]
    cond_channels: int
    lstm_size: int
    frame_channels: int = 3
    precision: Precision = "float32"
    encoder: Literal["residual", "strided"] = "residual"
    memory: Literal["lstm", "none"] = "lstm"
    action_size: int = 0


class StridedEncoder(nn.Module):
    """A convolution of stride 2 a level, on a frame and its change, under an action embedding."""

    def __init__(self, frame_channels: int, channels: Sequence[int], cond_channels: int) -> None:
        super().__init__()
        widths = (2 * frame_channels, *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, following, kernel_size=3, stride=2, padding=1)
            for width, following in pairwise(widths)
        )
        self.cond = nn.Linear(cond_channels, channels[0])

    def forward(self, pairs: Tensor, cond: Tensor) -> Tensor:
        """Map frames and their followers (b, 2 c, h, w) under cond (b, d) to (b, width, h', w')."""
        frame, following = pairs.chunk(2, dim=1)
        x = torch.cat((frame, following - frame), dim=1)
        for level, conv in enumerate(self.convs):
            x = conv(x)
            if level == 0:
                x = x + self.cond(cond)[:, :, None, None]
            x = activate(x)
        return x


class RewardEndNet(nn.Module):
    """Predicts the clipped reward {-1, 0, 1} and the end {0, 1} of every env step.

    Source: arXiv:2405.12399, section 3.3 and appendix D.
    """

    def __init__(self, shape: RewardEndNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = _encoder(shape)
        self.action_embedding = action_embedding(
            shape.num_actions, shape.action_size, shape.cond_channels
        )
        halvings = len(shape.channels) - (shape.encoder == "residual")
        rows, columns = _halved(shape.height, halvings), _halved(shape.width, halvings)
        features = shape.channels[-1] * rows * columns
        self.lstm = (
            nn.LSTM(features, shape.lstm_size, batch_first=True) if shape.memory == "lstm" else None
        )
        self.hidden = nn.Linear(features, shape.lstm_size) if self.lstm is None else None
        self.head = nn.Sequential(
            nn.Linear(shape.lstm_size, shape.lstm_size),
            nn.SiLU(),
            nn.Linear(shape.lstm_size, NUM_REWARD_CLASSES + NUM_END_CLASSES, bias=False),
        )
        if self.lstm is not None:
            initialise_lstm(self.lstm)

    def forward(
        self, frames: Tensor, actions: Tensor, following: Tensor, recurrent: Recurrent | None
    ) -> tuple[Tensor, Tensor, Recurrent]:
        """Predict rewards and ends of t env steps.

        Args:
            frames: Frames before the actions (b, t, c, h, w) in [-1, 1].
            actions: (b, t) int64 or (b, t, action_size) float32.
            following: Frames after the actions (b, t, c, h, w).
            recurrent: State before the first step, None for zeros.

        Returns:
            Reward logits (b, t, 3) for -1, 0, 1; end logits (b, t, 2); state after the last step;
            all float32 in any precision.
        """
        b, t = actions.shape[:2]
        pairs = torch.cat((frames, following), dim=2).flatten(0, 1)
        with arithmetic(pairs, self.shape.precision):
            features = self.encoder(pairs, self.action_embedding(actions.flatten(0, 1))).float()
        features = features.reshape(b, t, -1)
        if self.hidden is not None:
            hidden, last = activate(self.hidden(features)), recurrent or self._zeros(features)
            logits = self.head(hidden)
            return logits[..., :NUM_REWARD_CLASSES], logits[..., NUM_REWARD_CLASSES:], last
        assert self.lstm is not None
        state = None if recurrent is None else (recurrent[0][None], recurrent[1][None])
        hidden, (h, c) = self.lstm(features, state)
        logits = self.head(hidden)
        return logits[..., :NUM_REWARD_CLASSES], logits[..., NUM_REWARD_CLASSES:], (h[0], c[0])

    def _zeros(self, like: Tensor) -> Recurrent:
        """A zero state of as many rows; two tensors, as a file keeps them apart."""
        size = len(like), self.shape.lstm_size
        return like.new_zeros(size), like.new_zeros(size)

    def remember(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Recurrent:
        """The state after real frames, from zeros where the real ones begin; see `RealStarts`."""
        memory = self._zeros(frames)
        if self.lstm is None:
            return memory
        # Starts come in any number: a compiled network would be compiled anew for each.
        if actions.shape[1] > 0 and not padded.any():
            return self.forward(frames[:, :-1], actions, frames[:, 1:], None)[2]
        for index in range(actions.shape[1]):
            now, following = frames[:, index : index + 1], frames[:, index + 1 : index + 2]
            _, _, memory = self.forward(now, actions[:, index : index + 1], following, memory)
            memory = forget(memory, padded > index)
        return memory


def _encoder(shape: RewardEndNetShape) -> nn.Module:
    match shape.encoder:
        case "residual":
            return ConditionedEncoder(
                2 * shape.frame_channels, shape.channels, shape.depths, shape.cond_channels
            )
        case "strided":
            return StridedEncoder(shape.frame_channels, shape.channels, shape.cond_channels)
        case _:
            assert_never(shape.encoder)


def _halved(side: int, times: int) -> int:
    for _ in range(times):
        side = (side + 1) // 2
    return side


def reward_end_loss(net: RewardEndNet, config: RewardEndConfig, draw: Draw) -> Losses:
    """Cross-entropy of clipped rewards and ends on fresh segments with their true final frames.

    Both are means over the env steps of all segments; padding comes after them, so that the LSTM
    has not read it anywhere a loss is taken.

    Where rare classes are drawn more often than they occur, logits are raised by the logarithm of
    that ratio in the loss alone: without it they are those of the true frequencies.

    Source: arXiv:2405.12399, appendix D; Menon et al. 2021 (arXiv:2007.07314), equation 10, for the
        correction.
    """
    segments = draw.segments(config.batch_size, Purpose.REWARD_END_SEGMENTS)
    frames = segments.frames
    if config.shift_pixels:
        shifts = draw.generator(Purpose.REWARD_END_SHIFTS, CPU)
        frames = shifted(frames, config.shift_pixels, shifts)
    rewards, ends, _ = net(frames[:, :-1], segments.actions, frames[:, 1:], None)
    if config.balance:
        shift = segments.shift
        rewards = rewards + rewards.new_tensor(shift.rewards)
        ends = ends + ends.new_tensor(shift.ends)
    reward_classes = (segments.rewards.sign().long() + 1).masked_fill(~segments.valid, PADDING)
    end_classes = segments.ends.masked_fill(~segments.valid, PADDING)
    reward_loss = F.cross_entropy(
        rewards.flatten(0, 1), reward_classes.flatten(), ignore_index=PADDING
    )
    end_loss = F.cross_entropy(ends.flatten(0, 1), end_classes.flatten(), ignore_index=PADDING)
    parts = {"reward_loss": reward_loss.detach(), "end_loss": end_loss.detach()}
    return reward_loss + end_loss, parts


def shifted(frames: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Shift the frames of each segment by one random offset, up to `most` pixels a direction.

    Args:
        frames: (b, t, c, h, w).
        most: Pixels; at the edge the outermost ones are repeated.
        generator: CPU generator.

    Returns:
        (b, t, c, h, w).

    Source: Kostrikov et al. 2020 (arXiv:2004.13649), section 3.1.
    """
    b, _, _, h, w = frames.shape
    offsets = torch.randint(-most, most + 1, (2, b, 1), generator=generator).to(frames.device)
    rows = (torch.arange(h, device=frames.device) + offsets[0]).clamp(0, h - 1)
    columns = (torch.arange(w, device=frames.device) + offsets[1]).clamp(0, w - 1)
    items = torch.arange(b, device=frames.device)[:, None, None]
    # Advanced indices around slices come first: (b, h, w, t, c).
    moved = frames[items, :, :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 4, 1, 2)


def _build(config: RewardEndConfig, shape: Mapping[str, int]) -> RewardEndNet:
    """A fresh network, weights in the layout that convolutions are fastest in."""
    net = RewardEndNet(
        RewardEndNetShape(
            shape["num_actions"],
            shape["height"],
            shape["width"],
            channels=config.channels,
            depths=config.depths,
            cond_channels=config.cond_channels,
            lstm_size=config.lstm_size,
            precision=config.precision,
            encoder=config.encoder,
            memory=config.memory,
            action_size=shape.get("action_size", 0),
        )
    )
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


REWARD_END = Part(
    name="reward_end",
    config=RewardEndConfig,
    build=_build,
    init=Purpose.REWARD_END_INIT,
    data=lambda config, _: Extent(
        config.sequence_steps,
        padded=True,
        balance=config.balance,
        event_places=(0, config.sequence_steps - 1),
    ),
    loss=reward_end_loss,
    compiled=lambda net: (net,),
)
