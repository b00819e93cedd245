"""Trained networks as files: build them from the config of their stage and load their weights."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diamond.config.recording import ViewConfig
from diamond.config.worlds import WorldConfig, find_family, world_section
from diamond.data.action_space import ActionSpace
from diamond.engine.output_names import SHAPE_FILE, WEIGHTS_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.stage_manifest import stage_manifest
from diamond.families.interface import Material, WorldModel, implementation_of
from diamond.part import AnyPart, C, N, Part
from diamond.tensor_files import filled
from diamond.training.policy_part import POLICY


def agent_parts(family: str) -> tuple[AnyPart, ...]:
    """What an agent is made of, in the order of training."""
    return (*implementation_of(family).parts, POLICY)


def read_shape(folder: Path) -> dict[str, int]:
    """What a frames stage tells networks: `ActionSpace.shape`, height and width."""
    config = stage_manifest(folder)["config"]
    view = ViewConfig.model_validate(config["view"])
    return ActionSpace.load(folder).shape | {"height": view.height, "width": view.width}


def save_network(module: nn.Module, shape: dict[str, int], folder: Path) -> None:
    """Write weights.safetensors and shape.json."""
    save_weights(module, folder / WEIGHTS_FILE)
    (folder / SHAPE_FILE).write_text(json.dumps(shape) + "\n")


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the weights of a network."""
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    save_file(weights, path)


class LoadedWorld(NamedTuple):
    """A trained world model, its section of the run, and its networks by part; see `Material`."""

    model: WorldModel[Any]
    config: WorldConfig
    networks: Mapping[str, nn.Module]


def load_world(
    context: StageContext, backgrounds: Callable[[], Tensor] | None = None
) -> LoadedWorld:
    """The world model of a stage that reads its parts, or an agent.

    Args:
        context: Its config has the family and the sections that say how frames are drawn.
        backgrounds: As in `Material`.
    """
    family = find_family(context.config["family"])
    implementation = implementation_of(context.config["family"])
    networks: dict[str, nn.Module] = {}
    sections = dict(context.config)
    for part, stage in zip(implementation.parts, family.stages, strict=True):
        if part.name == family.rewards_by and not context.reads_part(stage.name):
            continue
        networks[part.name] = load_part(context, part, stage.name)
        context.make_fast(*part.compiled(networks[part.name]), trains=False)
        sections |= {part.name: context.upstream_config(stage.name)[part.name]}
    absent = {part.name for part in implementation.parts} - networks.keys()
    config = world_section(sections, absent)
    return LoadedWorld(
        implementation.build(Material(networks, config, backgrounds)), config, networks
    )


def load_part(context: StageContext, part: Part[N, C], stage: str = "") -> N:
    """The trained network of a stage that reads the part, or an agent.

    Args:
        context: Of the stage that reads it.
        stage: What trained it, where its name is not that of the part.
    """
    folder = context.part_folder(part.name, stage or part.name)
    config, shape = part.section(context.upstream_config(stage or part.name)), saved_shape(folder)
    weights = load_file(folder / WEIGHTS_FILE)
    return filled(lambda: part.build(config, shape), weights, context.device)


def num_parameters(networks: Iterable[nn.Module]) -> int:
    """Number of trained parameters of networks."""
    return sum(parameter.numel() for net in networks for parameter in net.parameters())


def saved_shape(folder: Path) -> dict[str, int]:
    """What a stage's network was told of its data: see `read_shape`."""
    shape: dict[str, int] = json.loads((folder / SHAPE_FILE).read_text())
    return shape
