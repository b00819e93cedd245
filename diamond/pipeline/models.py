"""Trained networks as files: build them from the config of their stage and load their weights."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from diamond.config.networks import DenoiserConfig, PolicyConfig, RewardEndConfig, SamplerConfig
from diamond.config.run import InverseDynamicsConfig, ViewConfig
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.nets.inverse_dynamics_net import InverseDynamicsNet, InverseDynamicsShape
from diamond.nets.reward_end_net import RewardEndNet
from diamond.pipeline.context import StageContext
from diamond.pipeline.outputs import ACTIONS_FILE, SHAPE_FILE, WEIGHTS_FILE
from diamond.pipeline.store import stage_manifest
from diamond.weights import Network, filled
from diamond.world.build import build_denoiser, build_reward_end
from diamond.world.diamond_world import DiamondWorld


def read_shape(folder: Path) -> dict[str, int]:
    """Number of actions, height and width of a frames stage."""
    config = stage_manifest(folder)["config"]
    view = ViewConfig.model_validate(config["view"])
    codes = json.loads((folder / ACTIONS_FILE).read_text())
    return {"num_actions": len(codes), "height": view.height, "width": view.width}


def build_policy(config: PolicyConfig, shape: dict[str, int]) -> ActorCriticNet:
    """A fresh actor-critic."""
    return ActorCriticNet(
        ActorCriticShape(
            num_actions=shape["num_actions"],
            height=shape["height"],
            width=shape["width"],
            channels=config.channels,
            lstm_size=config.lstm_size,
            precision=config.precision,
        )
    )


def build_inverse_dynamics(
    config: InverseDynamicsConfig, shape: dict[str, int]
) -> InverseDynamicsNet:
    """A fresh inverse dynamics network."""
    return InverseDynamicsNet(
        InverseDynamicsShape(
            num_actions=shape["num_actions"],
            height=shape["height"],
            width=shape["width"],
            channels=config.channels,
            num_features=config.num_features,
        )
    )


def save_network(module: nn.Module, shape: dict[str, int], folder: Path) -> None:
    """Write weights.safetensors and shape.json."""
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / SHAPE_FILE).write_text(json.dumps(shape) + "\n")


def load_world(context: StageContext, sampler: SamplerConfig) -> DiamondWorld:
    """The world model of a stage that reads `denoiser` and `reward_end`, or an agent."""
    denoiser_folder = context.upstream_folder("denoiser")
    denoiser_config = DenoiserConfig.model_validate(context.upstream_config("denoiser")["denoiser"])
    denoiser = _loaded(partial(build_denoiser, denoiser_config), denoiser_folder, context.device)
    reward_end = load_reward_end(context)
    context.make_fast(denoiser.net, reward_end, trains=False)
    return DiamondWorld(denoiser, reward_end, sampler)


def load_reward_end(context: StageContext) -> RewardEndNet:
    """The reward/end model of a stage that reads `reward_end`, or an agent."""
    folder = context.upstream_folder("reward_end")
    config = RewardEndConfig.model_validate(context.upstream_config("reward_end")["reward_end"])
    return _loaded(partial(build_reward_end, config), folder, context.device)


def load_inverse_dynamics(context: StageContext) -> InverseDynamicsNet:
    """The judge of a stage that reads `inverse_dynamics`."""
    folder = context.upstream["inverse_dynamics"]
    section = context.upstream_config("inverse_dynamics")["inverse_dynamics"]
    config = InverseDynamicsConfig.model_validate(section)
    return _loaded(partial(build_inverse_dynamics, config), folder, context.device)


def load_policy(context: StageContext) -> ActorCriticNet:
    """The actor-critic of a stage that reads `policy`, or an agent."""
    folder = context.upstream_folder("policy")
    config = PolicyConfig.model_validate(context.upstream_config("policy")["policy"])
    return _loaded(partial(build_policy, config), folder, context.device)


def _loaded(
    build: Callable[[dict[str, int]], Network], folder: Path, device: torch.device
) -> Network:
    shape = saved_shape(folder)
    return filled(lambda: build(shape), load_file(folder / WEIGHTS_FILE), device)


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
