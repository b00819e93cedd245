"""Checkpoint folders of small untrained agents, and real frames that their dreams begin with."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from diamond.config.base import canonical
from diamond.config.checkpoint_record import AGENT_FIELDS, CHECKPOINT_FILE, Checkpoint
from diamond.config.presets import smoke
from diamond.config.run import ImportedConfig, RunConfig
from diamond.data.collect import collect_frames
from diamond.engine.files import digest
from diamond.envs.open_game import open_game
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.training.policy_part import POLICY


def write_agent(folder: Path, config: RunConfig | None = None, scale: float = 0.1) -> Path:
    """Write a checkpoint whose every weight takes part: normal numbers of a given scale."""
    config = config or smoke("Breakout")
    view = config.view
    num_actions = len(open_game(config.game, config.environment).action_codes)
    shape = {"num_actions": num_actions, "height": view.height, "width": view.width}
    networks: Mapping[str, nn.Module] = {
        "denoiser": DENOISER.build(diamond_of(config).denoiser, shape),
        "reward_end": REWARD_END.build(diamond_of(config).reward_end, shape),
        "policy": POLICY.build(config.policy, shape),
    }
    generator = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True)
    for part, network in networks.items():
        state = {
            name: scale * torch.randn(tensor.shape, generator=generator)
            for name, tensor in network.state_dict().items()
        }
        save_file(state, folder / f"{part}.safetensors")
    checkpoint = Checkpoint(
        format=3,
        source="made for a test",
        source_sha256="0" * 64,
        weights=ImportedConfig(
            num_actions=num_actions,
            weights={part: digest(folder / f"{part}.safetensors") for part in networks},
        ),
        **{field: getattr(config, field) for field in AGENT_FIELDS},
    )
    (folder / CHECKPOINT_FILE).write_text(json.dumps(canonical(checkpoint)))
    return folder


def write_frames(folder: Path, num_frames: int = 300) -> Path:
    """Write real frames of smoke's Breakout as a `frames` stage does, so that nobody records."""
    config = smoke("Breakout")
    frames = config.frames.model_copy(update={"num_frames": num_frames})
    place = config.game, config.environment, config.view
    folder.mkdir(parents=True)
    collect_frames(*place, frames, 0, lambda done, total: None).save(folder)
    return folder
