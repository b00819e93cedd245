"""The two convolutional backbones.

The U-Net of the denoiser and the encoder of the reward/end model.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.nets.blocks import Downsample, ResBlock, Upsample, conv3x3


class UNet(nn.Module):
    """U-Net with additive-free skips: every block of the way up reads one output of the way down.

    Source: Ho et al. 2020 as used by DIAMOND (arXiv:2405.12399, appendix D).
    """

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        cond_channels: int,
        middle_attention: bool,
    ) -> None:
        """Build one level per entry of `channels`, with `depths` blocks on the way down."""
        super().__init__()
        down, up = [], []
        for level, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            above = channels[max(0, level - 1)]
            ins = [above] + [width] * (depth - 1)
            down.append(_blocks(ins, [width] * depth, cond_channels, False))
            ins = [2 * width] * depth + [above + width]
            up.append(_blocks(ins, [width] * depth + [above], cond_channels, False))
        bottom = channels[-1]
        self.down = nn.ModuleList(down)
        self.middle = _blocks([bottom] * 2, [bottom] * 2, cond_channels, middle_attention)
        self.up = nn.ModuleList(reversed(up))
        self.downsamples = nn.ModuleList(Downsample(width) for width in channels[:-1])
        self.upsamples = nn.ModuleList(Upsample(width) for width in reversed(channels[:-1]))

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Map x (b, channels[0], h, w) under cond (b, d) to the same shape.

        Any h and w, padded inside.
        """
        height, width = x.shape[-2:]
        multiple = 2 ** len(self.downsamples)
        pad_h = math.ceil(height / multiple) * multiple - height
        pad_w = math.ceil(width / multiple) * multiple - width
        x = F.pad(x, (0, pad_w, 0, pad_h))
        skips: list[list[Tensor]] = []
        for level, blocks in enumerate(self.down):
            if level > 0:
                x = self.downsamples[level - 1](x)
            outputs = [x]
            for block in _iterate(blocks):
                x = block(x, cond)
                outputs.append(x)
            skips.append(outputs)
        for block in _iterate(self.middle):
            x = block(x, cond)
        for level, blocks in enumerate(self.up):
            if level > 0:
                x = self.upsamples[level - 1](x)
            outputs = skips.pop()
            for block in _iterate(blocks):
                x = block(torch.cat((x, outputs.pop()), dim=1), cond)
        return x[..., :height, :width]


class ConditionedEncoder(nn.Module):
    """Downsampling stack of residual blocks, attention in the last, for the reward/end model."""

    def __init__(
        self, in_channels: int, channels: Sequence[int], depths: Sequence[int], cond_channels: int
    ) -> None:
        super().__init__()
        self.conv_in = conv3x3(in_channels, channels[0])
        self.levels = nn.ModuleList()
        for level, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            ins = [channels[max(0, level - 1)]] + [width] * (depth - 1)
            self.levels.append(_blocks(ins, [width] * depth, cond_channels, False))
        self.downsamples = nn.ModuleList(Downsample(width) for width in channels[:-1])
        self.last = _blocks([channels[-1]] * 2, [channels[-1]] * 2, cond_channels, True)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Map x (b, in, h, w) under cond (b, d) to (b, channels[-1], h / 2^(n-1), w / 2^(n-1))."""
        x = self.conv_in(x)
        for level, blocks in enumerate(self.levels):
            if level > 0:
                x = self.downsamples[level - 1](x)
            for block in _iterate(blocks):
                x = block(x, cond)
        for block in _iterate(self.last):
            x = block(x, cond)
        return x


def _blocks(
    ins: Sequence[int], outs: Sequence[int], cond_channels: int, attention: bool
) -> nn.ModuleList:
    return nn.ModuleList(
        ResBlock(i, o, cond_channels, attention) for i, o in zip(ins, outs, strict=True)
    )


def _iterate(blocks: nn.Module) -> nn.ModuleList:
    assert isinstance(blocks, nn.ModuleList)
    return blocks
