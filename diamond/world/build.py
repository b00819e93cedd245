"""The networks of DIAMOND's world model from their configs, and the world model of a checkpoint."""

from pathlib import Path

import torch

from diamond.config.checkpoint import Checkpoint
from diamond.config.networks import DenoiserConfig, RewardEndConfig, SamplerConfig
from diamond.nets.reward_end_net import RewardEndNet, RewardEndNetShape
from diamond.weights import filled, read_weights
from diamond.world.denoiser import Denoiser
from diamond.world.diamond_world import DiamondWorld


def build_denoiser(config: DenoiserConfig, shape: dict[str, int]) -> Denoiser:
    """A fresh denoiser, weights in the layout that convolutions are fastest in."""
    denoiser = Denoiser(config, shape["num_actions"])
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return denoiser


def build_reward_end(config: RewardEndConfig, shape: dict[str, int]) -> RewardEndNet:
    """A fresh reward/end model, weights in the layout that convolutions are fastest in."""
    reward_end = RewardEndNet(
        RewardEndNetShape(
            num_actions=shape["num_actions"],
            height=shape["height"],
            width=shape["width"],
            channels=config.channels,
            depths=config.depths,
            cond_channels=config.cond_channels,
            lstm_size=config.lstm_size,
            precision=config.precision,
        )
    )
    reward_end.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return reward_end


def world_of_checkpoint(
    folder: Path, checkpoint: Checkpoint, sampler: SamplerConfig, device: torch.device
) -> DiamondWorld:
    """The world model of a checkpoint folder.

    Args:
        folder: Where its weights are.
        checkpoint: What the folder says of itself.
        sampler: How frames are drawn.
        device: Where the networks go.

    Raises:
        WeightsError: The weights are missing, damaged or those of other networks.
    """
    shape = checkpoint.shape()
    denoiser = filled(
        lambda: build_denoiser(checkpoint.denoiser, shape),
        read_weights(folder, "denoiser", checkpoint.weights.denoiser),
        device,
    )
    reward_end = filled(
        lambda: build_reward_end(checkpoint.reward_end, shape),
        read_weights(folder, "reward_end", checkpoint.weights.reward_end),
        device,
    )
    return DiamondWorld(denoiser, reward_end, sampler)
