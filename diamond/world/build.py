"""World models from checkpoints."""

from pathlib import Path
from typing import Any, cast

import torch

from diamond.config.checkpoint_record import Checkpoint
from diamond.config.worlds import WorldConfig
from diamond.families.interface import Material, WorldModel, implementation_of
from diamond.part import C, N, Part
from diamond.tensor_files import filled, read_weights


def part_of_checkpoint(
    part: Part[N, C], folder: Path, checkpoint: Checkpoint, device: torch.device
) -> N:
    """The network of a checkpoint folder, ready to use.

    Args:
        folder: Where its weights are.
        checkpoint: What the folder says of itself.

    Raises:
        WeightsError: The weights are missing, damaged or those of another network.
    """
    config = cast("C", checkpoint.section(part.name))
    weights = read_weights(folder, part.name, checkpoint.weights.weights[part.name])
    return filled(lambda: part.build(config, checkpoint.shape()), weights, device)


def world_of_checkpoint(
    folder: Path, checkpoint: Checkpoint, config: WorldConfig, device: torch.device
) -> WorldModel[Any]:
    """The world model of a checkpoint folder, which draws frames as `config` says.

    Raises:
        WeightsError: As `part_of_checkpoint`.
    """
    implementation = implementation_of(checkpoint.world.family)
    networks = {
        part.name: part_of_checkpoint(part, folder, checkpoint, device)
        for part in implementation.parts
    }
    return implementation.build(Material(networks, config))
