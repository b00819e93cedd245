"""The networks of DIAMOND's world model from their configs, and the world model of a checkpoint."""

from pathlib import Path

import torch

from diamond.config.checkpoint import Checkpoint
from diamond.config.networks import DenoiserConfig, OutcomeConfig, SamplerConfig
from diamond.nets.outcome_net import OutcomeNet, OutcomeNetShape
from diamond.weights import filled, read_weights
from diamond.world.denoiser import Denoiser
from diamond.world.diamond_world import DiamondWorld


def build_denoiser(config: DenoiserConfig, shape: dict[str, int]) -> Denoiser:
    """A fresh denoiser, weights in the layout that convolutions are fastest in."""
    denoiser = Denoiser(config, shape["num_actions"])
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return denoiser


def build_outcome(config: OutcomeConfig, shape: dict[str, int]) -> OutcomeNet:
    """A fresh reward/end model, weights in the layout that convolutions are fastest in."""
    outcome = OutcomeNet(
        OutcomeNetShape(
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
    outcome.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return outcome


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
    outcome = filled(
        lambda: build_outcome(checkpoint.outcome, shape),
        read_weights(folder, "outcome", checkpoint.weights.outcome),
        device,
    )
    return DiamondWorld(denoiser, outcome, sampler)
