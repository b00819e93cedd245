"""Trained networks as files: build them from the config of their stage and load their weights."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from diamond.config.networks import SamplerConfig
from diamond.config.run import ViewConfig
from diamond.part import AnyPart, C, N, Part
from diamond.pipeline.context import StageContext
from diamond.pipeline.outputs import ACTIONS_FILE, SHAPE_FILE, WEIGHTS_FILE
from diamond.pipeline.store import stage_manifest
from diamond.training.policy import POLICY
from diamond.weights import filled
from diamond.world.build import WORLD_PARTS, build_world
from diamond.world.diamond_world import DiamondWorld

AGENT_PARTS: tuple[AnyPart, ...] = (*WORLD_PARTS, POLICY)
"""What an agent is made of, in the order of training."""


def read_shape(folder: Path) -> dict[str, int]:
    """Number of actions, height and width of a frames stage."""
    config = stage_manifest(folder)["config"]
    view = ViewConfig.model_validate(config["view"])
    codes = json.loads((folder / ACTIONS_FILE).read_text())
    return {"num_actions": len(codes), "height": view.height, "width": view.width}


def save_network(module: nn.Module, shape: dict[str, int], folder: Path) -> None:
    """Write weights.safetensors and shape.json."""
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / SHAPE_FILE).write_text(json.dumps(shape) + "\n")


def load_world(context: StageContext, sampler: SamplerConfig) -> DiamondWorld:
    """The world model of a stage that reads its parts, or an agent."""
    networks = {part.name: load_part(context, part) for part in WORLD_PARTS}
    for part in WORLD_PARTS:
        context.make_fast(*part.compiled(networks[part.name]), trains=False)
    return build_world(networks, sampler)


def load_part(context: StageContext, part: Part[N, C]) -> N:
    """The trained network of a stage that reads the part, or an agent."""
    folder = context.upstream_folder(part.name)
    config, shape = part.section(context.upstream_config(part.name)), saved_shape(folder)
    weights = load_file(folder / WEIGHTS_FILE)
    return filled(lambda: part.build(config, shape), weights, context.device)


def num_parameters(folder: Path) -> int:
    """Number of trained parameters in a stage's weights.

    Buffers of Fourier features are not counted.
    """
    weights = load_file(folder / WEIGHTS_FILE)
    return sum(tensor.numel() for name, tensor in weights.items() if "noise_features" not in name)


def saved_shape(folder: Path) -> dict[str, int]:
    """Number of actions, height and width of a stage's network."""
    shape: dict[str, Any] = json.loads((folder / SHAPE_FILE).read_text())
    return shape
