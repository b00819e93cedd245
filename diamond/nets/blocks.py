"""Building blocks of the networks: norms, attention, residual blocks.

No knowledge of diffusion or of stages.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.config.networks import Precision

GROUP_SIZE = 32
NORM_EPS = 1e-5
ATTENTION_HEAD_DIM = 8

Recurrent = tuple[Tensor, Tensor]
"""Hidden and cell state of an LSTM, each (b, units)."""


def arithmetic(like: Tensor, precision: Precision) -> torch.autocast:
    """The arithmetic of convolutions and linear maps on the device of `like`, inside of it.

    Weights stay in float32. What is sensitive stays outside: noise levels, recurrent states, heads.
    """
    low = precision == "bfloat16"
    return torch.autocast(like.device.type, dtype=torch.bfloat16, enabled=low)


def forget(memory: Recurrent, rows: Tensor) -> Recurrent:
    """A recurrent state that is zero in the rows (b,) bool."""
    kept = ~rows[:, None]
    return memory[0] * kept, memory[1] * kept


def num_groups(channels: int) -> int:
    """Groups of a group norm.

    One for every 32 channels, fewer where they do not divide the channels.
    """
    return max(g for g in range(1, max(1, channels // GROUP_SIZE) + 1) if channels % g == 0)


def num_heads(channels: int) -> int:
    """Heads of self-attention.

    One for every 8 channels, fewer where they do not divide the channels.
    """
    most = max(1, channels // ATTENTION_HEAD_DIM)
    return max(h for h in range(1, most + 1) if channels % h == 0)


def action_embedding(num_actions: int, action_size: int, width: int) -> nn.Module:
    """A vector for each action, or a linear map of the numbers that an action is.

    Args:
        num_actions: Actions to choose from; 0 where an action is several numbers.
        action_size: How many numbers.

    Returns:
        Maps (...) int64, or (..., action_size) float32, to (..., width).
    """
    return nn.Embedding(num_actions, width) if num_actions else nn.Linear(action_size, width)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1 and halves it at stride 2."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def activate(fresh: Tensor) -> Tensor:
    """SiLU of a tensor that nothing else reads; in its own memory where no gradient is recorded."""
    return F.silu(fresh, inplace=not torch.is_grad_enabled())


def joined(fresh: Tensor, skip: Tensor) -> Tensor:
    """The sum of a tensor that nothing else reads, whose memory it takes, and a skip like it.

    No gradient needs what is overwritten: a convolution's is one of its input and its weights.
    """
    # Under autocast a skip may be of higher precision than what it is added to.
    return fresh.add_(skip) if fresh.dtype == skip.dtype else fresh + skip


def group_norm(channels: int) -> nn.GroupNorm:
    """A group norm with learnt scale and shift."""
    return nn.GroupNorm(num_groups(channels), channels, eps=NORM_EPS)


class AdaGroupNorm(nn.Module):
    """Group norm whose scale and shift are a linear function of a conditioning vector."""

    def __init__(self, channels: int, cond_channels: int) -> None:
        super().__init__()
        self.num_groups = num_groups(channels)
        self.linear = nn.Linear(cond_channels, 2 * channels)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Normalise x (b, c, h, w) and modulate it by cond (b, d)."""
        scale, shift = self.linear(cond)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = F.group_norm(x, self.num_groups, eps=NORM_EPS)
        # A gradient needs the normalised values; nothing needs what the shift is added to.
        out = out * (1 + scale) if torch.is_grad_enabled() else out.mul_(1 + scale)
        return out.add_(shift)


class SelfAttention2d(nn.Module):
    """Multi-head self-attention over pixels, added to its normalised input; zero at first.

    Source: released code of arXiv:2405.12399, whose skip carries the normalised input, not the
        input itself (docs/deviations.md).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = num_heads(channels)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.out = nn.Conv2d(channels, channels, kernel_size=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the h*w positions of x (b, c, h, w)."""
        b, c, h, w = x.shape
        normalised = self.norm(x)
        qkv = self.qkv(normalised).reshape(b, 3, self.num_heads, c // self.num_heads, h * w)
        q, k, v = (part.transpose(-2, -1) for part in qkv.unbind(dim=1))
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = normalised + self.out(attended.transpose(-2, -1).reshape(b, c, h, w))
        return out


class ResBlock(nn.Module):
    """Two 3x3 convolutions with adaptive norms around a skip; the second one starts at zero."""

    def __init__(
        self, in_channels: int, out_channels: int, cond_channels: int, attention: bool
    ) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.norm1 = AdaGroupNorm(in_channels, cond_channels)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm2 = AdaGroupNorm(out_channels, cond_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.attention = SelfAttention2d(out_channels) if attention else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Map x (b, in, h, w) to (b, out, h, w) under cond (b, d)."""
        hidden = self.conv1(activate(self.norm1(x, cond)))
        hidden = self.conv2(activate(self.norm2(hidden, cond)))
        out: Tensor = self.attention(joined(hidden, self.skip(x)))
        return out


class PlainResBlock(nn.Module):
    """One 3x3 convolution behind a norm, with a skip; used by the actor-critic."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.norm = group_norm(in_channels)
        self.conv = conv3x3(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (b, in, h, w) to (b, out, h, w)."""
        return joined(self.conv(activate(self.norm(x))), self.skip(x))


class Downsample(nn.Module):
    """Halve height and width by a strided convolution with orthogonal initialisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels, stride=2)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (b, c, h, w) to (b, c, h/2, w/2)."""
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Double height and width by nearest neighbours, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (b, c, h, w) to (b, c, 2h, 2w)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class FourierFeatures(nn.Module):
    """Random Fourier features of a scalar, frequencies fixed at initialisation."""

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", nn.init.normal_(torch.empty(1, channels // 2)))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (b,) to (b, channels)."""
        angles = 2 * math.pi * x[:, None] @ self.weight
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


def initialise_lstm(lstm: nn.LSTM | nn.LSTMCell) -> None:
    """Xavier input weights, orthogonal recurrent weights, forget-gate bias 1, other biases 0."""
    for name, parameter in lstm.named_parameters():
        if "weight_ih" in name:
            nn.init.xavier_uniform_(parameter)
        elif "weight_hh" in name:
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            if "bias_ih" in name:
                hidden = parameter.shape[0] // 4
                nn.init.ones_(parameter.data[hidden : 2 * hidden])
