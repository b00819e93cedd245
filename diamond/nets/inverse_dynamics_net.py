"""The inverse dynamics network: which action led from one frame to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diamond.nets.blocks import conv3x3, group_norm


@dataclass(frozen=True)
class InverseDynamicsShape:
    """Sizes of the network; see `InverseDynamicsConfig` for their meaning and ranges."""

    num_actions: int
    height: int
    width: int
    channels: Sequence[int]
    num_features: int
    frame_channels: int = 3


class InverseDynamicsNet(nn.Module):
    """Strided convolutions over a frame and the change to the next one, then one hidden layer.

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
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(shape.num_features, shape.num_actions))

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
        """Logits of the actions (b, num_actions) that led from one frame to the next."""
        out: Tensor = self.head(self.features(before, after))
        return out
