"""The network of the toy, its loss, and the world model that is made of it."""

from enum import StrEnum
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.families.interface import Implementation, Material, Step
from diamond.part import Draw, Extent, Losses, Part
from diamond.rng import Noise, categorical

from .family import NetworkConfig


class Purpose(StrEnum):
    """The random numbers of the toy."""

    INIT = "toy/init"
    SEGMENTS = "toy/segments"


class Network(nn.Module):
    """The change of the frame; logits of the reward classes -1, 0, 1 and of the end."""

    def __init__(self, num_actions: int, width: int) -> None:
        super().__init__()
        self.num_actions = num_actions
        self.hidden = nn.Conv2d(4, width, 3, padding=1)
        self.change = nn.Conv2d(width, 3, 3, padding=1)
        self.said = nn.Linear(width, 5)

    def forward(self, frame: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (b, 3, h, w) and actions (b,) to following frames and logits (b, 5)."""
        plane = (action.float() / self.num_actions)[:, None, None, None]
        seen = torch.cat([frame, plane.expand(-1, 1, *frame.shape[2:])], dim=1)
        hidden = F.relu(self.hidden(seen))
        return (frame + self.change(hidden)).clamp(-1, 1), self.said(hidden.mean(dim=(2, 3)))


def loss(net: Network, config: NetworkConfig, draw: Draw) -> Losses:
    """Squared error of the frame, cross-entropy of its reward and end."""
    segments = draw.segments(config.batch_size, Purpose.SEGMENTS)
    frame, logits = net(segments.frames[:, 0], segments.actions[:, 0])
    picture = F.mse_loss(frame, segments.frames[:, 1])
    rewards = F.cross_entropy(logits[:, :3], segments.rewards[:, 0].sign().long() + 1)
    ends = F.cross_entropy(logits[:, 3:], segments.ends[:, 0])
    return picture + rewards + ends, {"picture_loss": picture.detach()}


NETWORK = Part(
    name="network",
    config=NetworkConfig,
    build=lambda config, shape: Network(shape["num_actions"], config.width),
    init=Purpose.INIT,
    data=lambda config, given: Extent(1),
    loss=loss,
)


class ToyState(NamedTuple):
    """The last frame (b, 3, h, w)."""

    last: Tensor


class ToyWorld:
    """The network, step by step."""

    history = 1

    def __init__(self, net: Network) -> None:
        self._net = net

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> ToyState:
        """Remember the last frame."""
        return ToyState(frames[:, -1])

    @torch.no_grad()
    def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
        """The next frame; its reward and end are drawn."""
        frame, logits = self._net(state.last, action)
        reward = categorical(logits[:, :3], noise.uniform("toy/reward", len(action)).to(frame))
        end = categorical(logits[:, 3:], noise.uniform("toy/end", len(action)).to(frame))
        return ToyState(frame), Step(frame, (reward - 1).float(), end.bool())

    def frame(self, state: ToyState) -> Tensor:
        """The last frame."""
        return state.last


def build(material: Material) -> ToyWorld:
    """The world model of the trained network."""
    net: Any = material.networks["network"]
    return ToyWorld(net)


TOY_WORLD = Implementation((NETWORK,), build)


class SmallNet(nn.Module):
    """A network in place of DIAMOND's U-Net: two convolutions, told noise, past and action."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.action = nn.Embedding(shape.num_actions, 8)
        self.noise = nn.Linear(1, 8)
        self.first = nn.Conv2d(3 * (shape.history + 1), 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(
        self, noisy: Tensor, c_noise: Tensor, past: Tensor, actions: Tensor, told: Tensor | None
    ) -> Tensor:
        """As `diamond.families.diamond.denoiser_net.DenoiserNet`."""
        said = self.noise(c_noise[:, None]) + self.action(actions[:, -1])
        hidden = self.first(torch.cat([noisy, past], dim=1)) + said[:, :, None, None]
        output: Tensor = self.last(F.silu(hidden))
        return output
