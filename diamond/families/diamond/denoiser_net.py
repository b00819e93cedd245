"""The network F inside the denoiser: a U-Net over past frames and a noisy next frame.

It knows no noise law.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.networks import Precision
from diamond.families.diamond.unet import UNet
from diamond.nets.blocks import (
    FourierFeatures,
    action_embedding,
    activate,
    arithmetic,
    conv3x3,
    group_norm,
)


@dataclass(frozen=True)
class DenoiserNetShape:
    """Sizes of the network; see `DenoiserConfig` for their meaning and ranges."""

    num_actions: int
    history: int
    channels: Sequence[int]
    depths: Sequence[int]
    cond_channels: int
    patch: int
    middle_attention: bool
    sees_past_noise: bool = False
    frame_channels: int = 3
    action_size: int = 0
    precision: Precision = "float32"


class DenoiserNet(nn.Module):
    """U-Net conditioned on noise level and actions (adaptive norms) and past frames (channels).

    It may be told the noise of the past frames too, in the way of their own noise level.

    Source: arXiv:2405.12399, section 3.1 and appendix D; the noise of past frames, the branch csgo
        of its code. Differs: `patch` > 1 folds pixels into
        channels before the U-Net (docs/deviations.md).
    """

    def __init__(self, shape: DenoiserNetShape) -> None:
        super().__init__()
        self.shape = shape
        folded = shape.frame_channels * shape.patch**2
        self.noise_features = FourierFeatures(shape.cond_channels)
        self.action_embedding = action_embedding(
            shape.num_actions, shape.action_size, shape.cond_channels // shape.history
        )
        self.cond = nn.Sequential(
            nn.Linear(shape.cond_channels, shape.cond_channels),
            nn.SiLU(),
            nn.Linear(shape.cond_channels, shape.cond_channels),
        )
        self.conv_in = conv3x3((shape.history + 1) * folded, shape.channels[0])
        self.unet = UNet(shape.channels, shape.depths, shape.cond_channels, shape.middle_attention)
        self.norm_out = group_norm(shape.channels[0])
        self.conv_out = conv3x3(shape.channels[0], folded)
        nn.init.zeros_(self.conv_out.weight)
        # Made last: a network with it begins with the weights of one without.
        self.past_noise_features = (
            FourierFeatures(shape.cond_channels) if shape.sees_past_noise else None
        )

    def forward(
        self,
        noisy: Tensor,
        c_noise: Tensor,
        past: Tensor,
        actions: Tensor,
        c_past: Tensor | None = None,
    ) -> Tensor:
        """Predict the training target of one frame.

        Args:
            noisy: Rescaled noisy next frame (b, c, h, w).
            c_noise: Noise level as a scalar of order one (b,).
            past: Rescaled past frames, oldest first (b, k * c, h, w).
            actions: Actions between them, the last one leads to the next frame (b, k) int64; or of
                numbers (b, k, action_size) float32.
            c_past: Noise of the past frames as a scalar from 0 to 1 (b,); given to a network that
                sees it, and to no other.

        Returns:
            The output of the network (b, c, h, w), float32 in any precision.
        """
        embedded = self.noise_features(c_noise) + self.action_embedding(actions).flatten(
            start_dim=1
        )
        assert (c_past is None) == (self.past_noise_features is None)
        if self.past_noise_features is not None:
            embedded = embedded + self.past_noise_features(c_past)
        cond = self.cond(embedded)
        x = torch.cat((past, noisy), dim=1)
        if self.shape.patch > 1:
            x = F.pixel_unshuffle(x, self.shape.patch)
        with arithmetic(x, self.shape.precision):
            x = self.unet(self.conv_in(x), cond)
            x = self.conv_out(activate(self.norm_out(x)))
        x = x.float()
        return F.pixel_shuffle(x, self.shape.patch) if self.shape.patch > 1 else x
