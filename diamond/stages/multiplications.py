"""Multiplications of the networks, from a config alone; no seconds here."""

from dataclasses import dataclass

from diamond.config.levels import calls_per_sample
from diamond.config.networks import DenoiserConfig, PolicyConfig, RewardEndConfig
from diamond.config.run import InverseDynamicsConfig, RunConfig

BACKWARD = 3.0
"""Forward and backward pass together cost about three forward passes."""


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
    total = 9.0 * height * width * 6 * config.channels[0]
    for level, (channels, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        pixels = (height >> level) * (width >> level)
        total += pixels * 18 * depth * channels**2
    last = len(config.channels) - 1
    pixels = (height >> last) * (width >> last)
    lstm = 4 * config.lstm_size * (pixels * config.channels[-1] + config.lstm_size)
    return total + pixels * 36 * config.channels[-1] ** 2 + lstm


def policy_multiplications(config: PolicyConfig, height: int, width: int) -> float:
    """Multiplications of the actor-critic for one frame."""
    total = 27.0 * height * width * config.channels[0]
    for level, channels in enumerate(config.channels):
        pixels = (height >> level) * (width >> level)
        total += pixels * 9 * channels * config.channels[max(0, level - 1)]
    last = len(config.channels)
    features = (height >> last) * (width >> last) * config.channels[-1]
    return total + 4 * config.lstm_size * (features + config.lstm_size)


def inverse_dynamics_multiplications(
    config: InverseDynamicsConfig, height: int, width: int
) -> float:
    """Multiplications of the inverse dynamics model for one pair of frames."""
    total, last = 0.0, 6
    for channels in config.channels:
        height, width = (height + 1) // 2, (width + 1) // 2
        total += 9.0 * height * width * last * channels
        last = channels
    return total + height * width * last * config.num_features


@dataclass(frozen=True)
class Pass:
    """Multiplications of one pass of each network for one frame, and of one imagined frame."""

    denoiser: float
    reward_end: float
    policy: float
    imagined: float

    @staticmethod
    def of(config: RunConfig) -> "Pass":
        """Count the multiplications of a run's networks."""
        height, width = config.view.height, config.view.width
        denoiser = unet_multiplications(config.denoiser, height, width)
        reward_end = reward_end_multiplications(config.reward_end, height, width)
        policy = policy_multiplications(config.policy, height, width)
        calls = calls_per_sample(config.sampler.steps, config.sampler.order)
        return Pass(denoiser, reward_end, policy, calls * denoiser + reward_end)
