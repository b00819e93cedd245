"""The inverse dynamics network: which action led from one frame to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.scoring import InverseDynamicsConfig
from diamond.nets.blocks import conv3x3, group_norm
from diamond.part import Draw, Extent, Losses, Part
from diamond.seeds import Purpose


@dataclass(frozen=True)
class InverseDynamicsShape:
    """Sizes of the network; see `InverseDynamicsConfig` for their meaning and ranges."""

    num_actions: int
    height: int
    width: int
    channels: Sequence[int]
    num_features: int
    frame_channels: int = 3
    action_size: int = 0


class InverseDynamicsNet(nn.Module):
    """Strided convolutions over a frame and the change to the next one, then one hidden layer.

    Its outputs are a logit for each action; or, where an action is several numbers, these.

    Source: Baker et al. 2022 (arXiv:2206.11795), section 3, for the idea of reading actions off
        frames; the network is our own, and small.
    """

    def __init__(self, shape: InverseDynamicsShape) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        last, rows, columns = 2 * shape.frame_channels, shape.height, shape.width
        for width in shape.channels:
            layers += [conv3x3(last, width, stride=2), group_norm(width), nn.SiLU()]
            last, rows, columns = width, (rows + 1) // 2, (columns + 1) // 2
        self.encoder = nn.Sequential(*layers)
        self.hidden = nn.Linear(last * rows * columns, shape.num_features)
        self.num_outputs = shape.num_actions or shape.action_size
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(shape.num_features, self.num_outputs))

    def features(self, before: Tensor, after: Tensor) -> Tensor:
        """The last hidden layer, before its activation.

        Args:
            before: Frames before the actions (b, c, h, w) in [-1, 1].
            after: Frames after them, the same shape and range.

        Returns:
            (b, num_features).
        """
        maps = self.encoder(torch.cat((before, after - before), dim=1))
        out: Tensor = self.hidden(maps.flatten(start_dim=1))
        return out

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Outputs (b, num_outputs) for the actions that led from one frame to the next."""
        out: Tensor = self.head(self.features(before, after))
        return out

    def named(self, outputs: Tensor) -> Tensor:
        """The actions that outputs (..., num_outputs) say.

        Returns:
            (...) int64, the most likely ones; or (..., action_size).
        """
        return outputs.argmax(dim=-1) if self.shape.num_actions else outputs


def inverse_dynamics_loss(
    net: InverseDynamicsNet, config: InverseDynamicsConfig, draw: Draw
) -> Losses:
    """Cross-entropy, of numbers squared error, of the action between frames of fresh pairs."""
    pairs = draw.segments(config.batch_size, Purpose.INVERSE_DYNAMICS_PAIRS)
    outputs = net(pairs.frames[:, 0], pairs.frames[:, 1])
    actions = pairs.actions[:, 0]
    if not net.shape.num_actions:
        return F.mse_loss(outputs, actions), {}
    accuracy = (net.named(outputs.detach()) == actions).float().mean()
    return F.cross_entropy(outputs, actions), {"accuracy": accuracy}


def _build(config: InverseDynamicsConfig, shape: Mapping[str, int]) -> InverseDynamicsNet:
    return InverseDynamicsNet(
        InverseDynamicsShape(
            shape["num_actions"],
            shape["height"],
            shape["width"],
            channels=config.channels,
            num_features=config.num_features,
            action_size=shape.get("action_size", 0),
        )
    )


INVERSE_DYNAMICS = Part(
    name="inverse_dynamics",
    config=InverseDynamicsConfig,
    build=_build,
    init=Purpose.INVERSE_DYNAMICS_INIT,
    data=lambda config, _: Extent(1),
    loss=inverse_dynamics_loss,
)
