"""DIAMOND in one file: learn a game by heart from frames, then learn to play it in imagination.

    python examples/minimal.py

Real frames train two networks: a diffusion model draws the next frame from the last four and the
actions, another model reads rewards and ends off frames. Together they are a world model: a policy
is trained inside it and sees no real frame but those that its dreams begin with. Held-out frames
tell how true the dreams are. About five minutes on two cores; the picture is dreams.png.

Source: arXiv:2405.12399.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diamond.config.overrides import override
from diamond.config.presets import tiny
from diamond.config.run import RunConfig
from diamond.data.action_space import ActionSpace
from diamond.data.collect import collect_frames, collect_references
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import View, view_references
from diamond.data.segments import SegmentSampler
from diamond.envs.open_game import data_shape, open_game
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.families.diamond.world import DiamondWorld
from diamond.fidelity.pixel_oracle import psnr
from diamond.part import AnyPart
from diamond.records import to_bytes, to_unit
from diamond.rng import KeyedNoise
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import begin_part
from diamond.world.imagination import replay_actions

SEED, TOLD = 0, 5
"""Seed of everything; the imagined env step that is scored."""


def recipe() -> RunConfig:
    """Small networks on 10,000 frames of Boxing, 32 x 32 pixels; 16 held-out starts."""
    config = override(tiny("Boxing"), {"denoiser.updates": 2_000})
    few = {"num_starts": 16, "horizon_steps": 10, "counterfactuals": None}
    return config.model_copy(update={"references": config.references.model_copy(update=few)})


def fit(part: AnyPart, config: RunConfig, frames: FrameSet, given: Any = None) -> Any:
    """Train a network on segments of real frames, of a policy on dreams that begin with them."""
    section = part.section(config.sections())
    net = part.fresh(section, data_shape(config.game, config.environment, config.view), SEED)
    source = SegmentSampler(frames, part.data(section, given))
    training = begin_part(part, net, section, source, SEED, given)
    for update, values in training.updates(section.updates):
        if update % max(1, section.updates // 4) == 0:
            print(f"{part.name:10} update {update:5}  loss {values['loss']:7.4f}", flush=True)
    return training.state.result()


def held_out_episodes(config: RunConfig) -> View:
    """Episodes that no network was trained on: 16 frames of context and what followed."""
    played = collect_references(config.game, config.environment, config.references, SEED)
    space = ActionSpace(open_game(config.game, config.environment).action_codes)
    return view_references(list(played), config.view, space, config.references.horizon_steps)


def imagine(world: DiamondWorld, real: View) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Dream on from the context under the actions that were really taken: (starts, t, h, w, 3)."""
    context, actions = to_unit(torch.from_numpy(real.context)), torch.from_numpy(real.actions)
    past, starts = context.shape[1] - 1, range(len(context))
    state = world.start(context, actions[:, :past], torch.from_numpy(real.padded))
    steps = replay_actions(
        world, state, actions[:, past:], lambda time: KeyedNoise(SEED, starts, time)
    )
    frames: list[Tensor] = [to_bytes(step.frame) for _, _, step in steps]
    return torch.stack(frames, dim=1).numpy()


def mean_psnr(real: View, frames: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Decibels between real frames and others at one env step, over the starts that have it."""
    pairs = zip(real.targets[:, TOLD - 1] / 255, frames[:, TOLD - 1] / 255, strict=True)
    return float(np.mean([psnr(*pair) for pair in pairs], where=real.valid[:, TOLD - 1]))


def main(config: RunConfig, picture: Path) -> None:
    """Collect, train, imagine, score; the picture has pairs of rows, real above imagined."""
    frames = collect_frames(config.game, config.environment, config.view, config.frames, SEED)
    denoiser = fit(DENOISER, config, frames)
    reward_end = fit(REWARD_END, config, frames)
    world = DiamondWorld(denoiser, reward_end, diamond_of(config).sampler)
    fit(POLICY, config, frames, world)

    real = held_out_episodes(config)
    imagined = imagine(world, real)
    rows = [row for pair in zip(real.targets[:4], imagined[:4], strict=True) for row in pair]
    strip = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(strip.repeat(4, axis=0).repeat(4, axis=1)).save(picture)

    still = np.repeat(real.context[:, -1:], imagined.shape[1], axis=1)
    print(f"PSNR at t={TOLD}: imagined {mean_psnr(real, imagined):.2f} dB")
    print(f"          copy last {mean_psnr(real, still):.2f} dB")


if __name__ == "__main__":
    main(recipe(), Path("dreams.png"))
