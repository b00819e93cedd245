"""The actor-critic network: convolutional encoder, LSTM cell, linear actor and critic."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diamond.config.networks import Precision
from diamond.nets.blocks import (
    PlainResBlock,
    Recurrent,
    arithmetic,
    conv3x3,
    forget,
    initialise_lstm,
)
from diamond.records import Seen


@dataclass(frozen=True)
class ActorCriticShape:
    """Sizes of the network; see `PolicyConfig` for their meaning and ranges."""

    num_actions: int
    height: int
    width: int
    channels: Sequence[int]
    lstm_size: int
    frame_channels: int = 3
    precision: Precision = "float32"


class ActorCriticNet(nn.Module):
    """Action logits and a value from a frame and a recurrent state; both heads start at zero.

    Source: arXiv:2405.12399, appendix D.
    """

    def __init__(self, shape: ActorCriticShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = [conv3x3(shape.frame_channels, shape.channels[0])]
        for level, width in enumerate(shape.channels):
            layers += [PlainResBlock(shape.channels[max(0, level - 1)], width), nn.MaxPool2d(2)]
        self.encoder = nn.Sequential(*layers)
        halvings = len(shape.channels)
        features = shape.channels[-1] * (shape.height >> halvings) * (shape.width >> halvings)
        self.lstm = nn.LSTMCell(features, shape.lstm_size)
        self.actor = nn.Linear(shape.lstm_size, shape.num_actions)
        self.critic = nn.Linear(shape.lstm_size, 1)
        for parameter in (*self.actor.parameters(), *self.critic.parameters()):
            nn.init.zeros_(parameter)
        initialise_lstm(self.lstm)

    def initial(self, batch_size: int, like: Tensor) -> Recurrent:
        """A zero recurrent state on the device of `like`."""
        zeros = like.new_zeros(batch_size, self.shape.lstm_size)
        return zeros, zeros

    def forward(self, frames: Tensor, recurrent: Recurrent) -> tuple[Tensor, Tensor, Recurrent]:
        """Act on frames (b, c, h, w) in [-1, 1].

        Returns:
            Action logits (b, num_actions), values (b,), the next recurrent state.
        """
        hidden, cell = self.lstm(self._features(frames), recurrent)
        return self.actor(hidden), self.critic(hidden).squeeze(1), (hidden, cell)

    def remember(self, frames: Tensor, padded: Tensor) -> Recurrent:
        """The recurrent state after frames (b, t, c, h, w) from a zero one; t may be 0.

        It is zero after the first `padded` (b,) int64 of them.
        """
        b, t = frames.shape[:2]
        memory = self.initial(b, frames)
        if t > 0:
            seen = self._features(frames.flatten(0, 1)).view(b, t, -1)
            for index, features in enumerate(seen.unbind(1)):
                memory = forget(self.lstm(features, memory), padded > index)
        return memory

    def over(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Act again on frames (b, t, c, h, w); each is encoded once, all of them together.

        Returns:
            Action logits (b, t, num_actions) and values (b, t).
        """
        b, t = seen.begins.shape
        features = self._features(seen.frames.flatten(0, 1)).view(b, t, -1)
        hidden, cell = seen.memory[0][:, 0], seen.memory[1][:, 0]
        found: list[Tensor] = []
        for index in range(t):
            anew = seen.begins[:, index, None]
            hidden = torch.where(anew, seen.memory[0][:, index], hidden)
            cell = torch.where(anew, seen.memory[1][:, index], cell)
            hidden, cell = self.lstm(features[:, index], (hidden, cell))
            found.append(hidden)
        units = torch.stack(found, dim=1)
        return self.actor(units), self.critic(units).squeeze(-1)

    def _features(self, frames: Tensor) -> Tensor:
        with arithmetic(frames, self.shape.precision):
            features: Tensor = self.encoder(frames)
        return features.float().flatten(start_dim=1)
