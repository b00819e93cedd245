"""Multiplications of the networks of DIAMOND, from a config alone."""

from diamond.config.run import RunConfig
from diamond.families.diamond.config import (
    DenoiserConfig,
    DiamondConfig,
    RewardEndConfig,
    diamond_of,
)
from diamond.families.diamond.levels import calls_per_sample


def unet_multiplications(config: DenoiserConfig, height: int, width: int) -> float:
    """Multiplications of one denoiser call for one frame."""
    cond, last = config.cond_channels, len(config.channels) - 1
    height, width = height // config.patch, width // config.patch
    total = 9.0 * height * width * config.channels[0] * 3 * config.patch**2 * (config.history + 2)
    multiple = 1 << last
    height, width = -height % multiple + height, -width % multiple + width
    for level, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        pixels = (height >> level) * (width >> level)
        above = config.channels[max(0, level - 1)]
        total += _block(above, channels, pixels, cond)
        total += (depth - 1) * _block(channels, channels, pixels, cond)
        total += depth * _block(2 * channels, channels, pixels, cond)
        total += _block(above + channels, above, pixels, cond)
        if level < last:
            total += 9 * channels**2 * (pixels + pixels // 4)
    bottom, pixels = config.channels[-1], (height >> last) * (width >> last)
    total += 2 * _block(bottom, bottom, pixels, cond) + 2 * cond**2
    return total + 2 * config.middle_attention * _attention(bottom, pixels)


def reward_end_multiplications(config: RewardEndConfig, height: int, width: int) -> float:
    """Multiplications of the reward/end model for one env step."""
    if config.encoder == "strided":
        return _strided_multiplications(config, height, width)
    cond, last = config.cond_channels, len(config.channels) - 1
    total = 9.0 * height * width * 6 * config.channels[0]
    for level, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        pixels = (height >> level) * (width >> level)
        total += _block(config.channels[max(0, level - 1)], channels, pixels, cond)
        total += (depth - 1) * _block(channels, channels, pixels, cond)
        total += 9 * channels**2 * (pixels // 4) if level < last else 0
    bottom, pixels = config.channels[-1], (height >> last) * (width >> last)
    total += 2 * (_block(bottom, bottom, pixels, cond) + _attention(bottom, pixels))
    return total + 4 * config.lstm_size * (pixels * bottom + config.lstm_size)


def _block(ins: int, outs: int, pixels: int, cond: int) -> float:
    """A residual block: its convolutions, its skip, its two conditioned norms."""
    skip = ins * outs if ins != outs else 0
    return pixels * (9 * outs * (ins + outs) + skip) + 2 * cond * (ins + outs)


def _attention(channels: int, pixels: int) -> float:
    """Self-attention over pixels: four maps of channels, and two products of pixels."""
    return pixels * (4 * channels**2 + 2 * pixels * channels)


def _strided_multiplications(config: RewardEndConfig, height: int, width: int) -> float:
    total, above = 0.0, 6
    for channels in config.channels:
        height, width = (height + 1) // 2, (width + 1) // 2
        total += 9.0 * height * width * above * channels
        above = channels
    gates = 4 if config.memory == "lstm" else 1
    return total + gates * config.lstm_size * (height * width * above + config.lstm_size)


def denoiser_multiplications(config: RunConfig) -> float:
    """Multiplications of one denoiser call for one frame of a run."""
    return unet_multiplications(diamond_of(config).denoiser, config.view.height, config.view.width)


def frame_multiplications(config: RunConfig) -> float:
    """Multiplications of one imagined frame with its reward and end."""
    world, view = diamond_of(config), config.view
    reward_end = reward_end_multiplications(world.reward_end, view.height, view.width)
    return calls_per_frame(world) * denoiser_multiplications(config) + reward_end


def calls_per_frame(world: DiamondConfig) -> int:
    """Denoiser calls for one imagined frame."""
    return calls_per_sample(world.sampler.steps, world.sampler.order)
