"""The world model of DIAMOND from its parts, and from a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diamond.config.checkpoint import Checkpoint
from diamond.config.networks import SamplerConfig
from diamond.nets.reward_end_net import REWARD_END
from diamond.part import AnyPart, C, N, Part
from diamond.weights import filled, read_weights
from diamond.world.denoiser import DENOISER
from diamond.world.diamond_world import DiamondWorld

WORLD_PARTS: tuple[AnyPart, ...] = (DENOISER, REWARD_END)
"""What is trained, in this order."""


def build_world(networks: Mapping[str, Any], sampler: SamplerConfig) -> DiamondWorld:
    """The world model of trained networks, by the names of their parts."""
    return DiamondWorld(networks[DENOISER.name], networks[REWARD_END.name], sampler)


def part_of_checkpoint(
    part: Part[N, C], folder: Path, checkpoint: Checkpoint, device: torch.device
) -> N:
    """The network of a checkpoint folder, ready to use.

    Args:
        part: Which one.
        folder: Where its weights are.
        checkpoint: What the folder says of itself.
        device: Where it goes.

    Raises:
        WeightsError: The weights are missing, damaged or those of another network.
    """
    config: C = getattr(checkpoint, part.name)
    weights = read_weights(folder, part.name, getattr(checkpoint.weights, part.name))
    return filled(lambda: part.build(config, checkpoint.shape()), weights, device)


def world_of_checkpoint(
    folder: Path, checkpoint: Checkpoint, sampler: SamplerConfig, device: torch.device
) -> DiamondWorld:
    """The world model of a checkpoint folder, which draws frames as `sampler` says.

    Raises:
        WeightsError: As `part_of_checkpoint`.
    """
    networks = {
        part.name: part_of_checkpoint(part, folder, checkpoint, device) for part in WORLD_PARTS
    }
    return build_world(networks, sampler)
