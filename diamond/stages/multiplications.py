"""Multiplications of networks, from a config alone; no seconds here."""

from diamond.config.networks import PolicyConfig
from diamond.config.scoring import InverseDynamicsConfig

BACKWARD = 3.0
"""Forward and backward pass together cost about three forward passes."""


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
