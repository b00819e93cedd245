"""The reward/end network: encoder of (frame, next frame, action), LSTM over time, two heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.networks import Precision
from diamond.families.diamond.config import RewardEndConfig
from diamond.families.diamond.unet import ConditionedEncoder
from diamond.nets.blocks import Recurrent, arithmetic, forget, initialise_lstm
from diamond.part import Draw, Extent, Losses, Part
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


class RewardEndNet(nn.Module):
    """Predicts the clipped reward {-1, 0, 1} and the end {0, 1} of every env step.

    Source: arXiv:2405.12399, section 3.3 and appendix D.
    """

    def __init__(self, shape: RewardEndNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = ConditionedEncoder(
            2 * shape.frame_channels, shape.channels, shape.depths, shape.cond_channels
        )
        self.action_embedding = nn.Embedding(shape.num_actions, shape.cond_channels)
        halvings = len(shape.channels) - 1
        rows, columns = _halved(shape.height, halvings), _halved(shape.width, halvings)
        self.lstm = nn.LSTM(shape.channels[-1] * rows * columns, shape.lstm_size, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(shape.lstm_size, shape.lstm_size),
            nn.SiLU(),
            nn.Linear(shape.lstm_size, NUM_REWARD_CLASSES + NUM_END_CLASSES, bias=False),
        )
        initialise_lstm(self.lstm)

    def forward(
        self, frames: Tensor, actions: Tensor, following: Tensor, recurrent: Recurrent | None
    ) -> tuple[Tensor, Tensor, Recurrent]:
        """Predict rewards and ends of t env steps.

        Args:
            frames: Frames before the actions (b, t, c, h, w) in [-1, 1].
            actions: (b, t) int64.
            following: Frames after the actions (b, t, c, h, w).
            recurrent: State before the first step, None for zeros.

        Returns:
            Reward logits (b, t, 3) for -1, 0, 1; end logits (b, t, 2); state after the last step;
            all float32 in any precision.
        """
        b, t = actions.shape
        pairs = torch.cat((frames, following), dim=2).flatten(0, 1)
        with arithmetic(pairs, self.shape.precision):
            features = self.encoder(pairs, self.action_embedding(actions.flatten())).float()
        state = None if recurrent is None else (recurrent[0][None], recurrent[1][None])
        hidden, (h, c) = self.lstm(features.reshape(b, t, -1), state)
        logits = self.head(hidden)
        return logits[..., :NUM_REWARD_CLASSES], logits[..., NUM_REWARD_CLASSES:], (h[0], c[0])

    def remember(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Recurrent:
        """The state after real frames, from zeros where the real ones begin; see `RealStarts`."""
        # Starts come in any number: a compiled network would be compiled anew for each.
        if actions.shape[1] > 0 and not padded.any():
            return self.forward(frames[:, :-1], actions, frames[:, 1:], None)[2]
        zeros = frames.new_zeros(len(frames), self.shape.lstm_size)
        memory = zeros, zeros
        for index in range(actions.shape[1]):
            now, following = frames[:, index : index + 1], frames[:, index + 1 : index + 2]
            _, _, memory = self.forward(now, actions[:, index : index + 1], following, memory)
            memory = forget(memory, padded > index)
        return memory


def _halved(side: int, times: int) -> int:
    for _ in range(times):
        side = (side + 1) // 2
    return side


def reward_end_loss(net: RewardEndNet, config: RewardEndConfig, draw: Draw) -> Losses:
    """Cross-entropy of clipped rewards and ends on fresh segments with their true final frames.

    Both are means over the env steps of all segments; padding comes after them, so that the LSTM
    has not read it anywhere a loss is taken.
    """
    segments = draw.segments(config.batch_size, Purpose.REWARD_END_SEGMENTS)
    rewards, ends, _ = net(segments.frames[:, :-1], segments.actions, segments.frames[:, 1:], None)
    reward_classes = (segments.rewards.sign().long() + 1).masked_fill(~segments.valid, PADDING)
    end_classes = segments.ends.masked_fill(~segments.valid, PADDING)
    reward_loss = F.cross_entropy(
        rewards.flatten(0, 1), reward_classes.flatten(), ignore_index=PADDING
    )
    end_loss = F.cross_entropy(ends.flatten(0, 1), end_classes.flatten(), ignore_index=PADDING)
    parts = {"reward_loss": reward_loss.detach(), "end_loss": end_loss.detach()}
    return reward_loss + end_loss, parts


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
        )
    )
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


REWARD_END = Part(
    name="reward_end",
    config=RewardEndConfig,
    build=_build,
    init=Purpose.REWARD_END_INIT,
    data=lambda config, _: Extent(config.sequence_steps, padded=True),
    loss=reward_end_loss,
    compiled=lambda net: (net,),
)
