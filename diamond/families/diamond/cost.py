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
    """Multiplications of one denoiser call for one frame, convolutions only."""
    height, width = height // config.patch, width // config.patch
    folded = 3 * config.patch**2
    total = 9.0 * height * width * config.channels[0] * folded * (config.history + 2)
    for level, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        pixels = (height >> level) * (width >> level)
        above = config.channels[max(0, level - 1)]
        down = 9 * channels * (above + (2 * depth - 1) * channels)
        up = depth * 9 * channels * (3 * channels) + 9 * above * (2 * above + channels)
        total += pixels * (down + up)
    bottom = config.channels[-1]
    last = len(config.channels) - 1
    return total + 4 * 9 * bottom**2 * (height >> last) * (width >> last)


def reward_end_multiplications(config: RewardEndConfig, height: int, width: int) -> float:
    """Multiplications of the reward/end model for one env step."""
    if config.encoder == "strided":
        return _strided_multiplications(config, height, width)
    total = 9.0 * height * width * 6 * config.channels[0]
    for level, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        pixels = (height >> level) * (width >> level)
        total += pixels * 18 * depth * channels**2
    last = len(config.channels) - 1
    pixels = (height >> last) * (width >> last)
    lstm = 4 * config.lstm_size * (pixels * config.channels[-1] + config.lstm_size)
    return total + pixels * 36 * config.channels[-1] ** 2 + lstm


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
