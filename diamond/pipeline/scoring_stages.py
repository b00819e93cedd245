"""The stages that judge: rollouts, their fidelity, and returns in the real game."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from diamond.ablation.stages import TRAINED_PLAYER
from diamond.config.levels import calls_per_sample
from diamond.config.networks import SamplerConfig
from diamond.config.run import (
    CONTEXT_FRAMES,
    EmulatorConfig,
    EvaluationConfig,
    Family,
    RolloutsConfig,
    ViewConfig,
)
from diamond.data.references import Reference, View, load_references, view_references
from diamond.fidelity.nearest import make_bank
from diamond.fidelity.trajectories import RealTrajectory, score_trajectories
from diamond.pipeline.checkpoint import Saved
from diamond.pipeline.context import StageContext
from diamond.pipeline.models import load_policy, load_world, num_parameters
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE, RETURNS_FILE, SCORES_FILE
from diamond.pipeline.store import StageResult
from diamond.records import to_bytes, to_unit
from diamond.rng import KeyedNoise
from diamond.training.evaluation import Episode, play_episodes, random_actor, sampled_actor
from diamond.world.baselines import copy_last_world, median_background_world
from diamond.world.imagination import replay_actions
from diamond.world.interface import S, WorldModel

CHECKSUM = "frames_checksum"
"""Name in a checkpoint: CRC-32 of the frames imagined so far."""


def read_view(context: StageContext, num_starts: int, horizon: int) -> View:
    """The references of a stage at its own crop and resolution."""
    references = load_references(context.upstream["references"])[:num_starts]
    return _view(context, references, horizon)


def _view(context: StageContext, references: Sequence[Reference], horizon: int) -> View:
    codes = json.loads((context.upstream["references"] / ACTIONS_FILE).read_text())
    view = ViewConfig.model_validate(context.config["view"])
    return view_references(references, view, codes, horizon)


def make_rollouts(context: StageContext) -> StageResult:
    """Imagine under recorded actions; writes frames.npy (starts, horizon, h, w, 3) uint8."""
    config = RolloutsConfig.model_validate(context.config["rollouts"])
    family: Family = context.config["family"]
    view = read_view(context, config.num_starts, config.horizon_steps)
    match family:
        case "diamond":
            sampler = SamplerConfig.model_validate(context.config["sampler"])
            seconds = _roll(context, load_world(context, sampler), view)
            costs = {
                "denoiser_calls_per_frame": float(calls_per_sample(sampler.steps, sampler.order)),
                "num_parameters": float(num_parameters(context.upstream_folder("denoiser"))),
            }
        case "copy_last":
            seconds, costs = _roll(context, copy_last_world(), view), {}
        case "median_background":
            backgrounds = to_unit(torch.from_numpy(view.backgrounds))
            seconds, costs = _roll(context, median_background_world(backgrounds), view), {}
    frames = config.num_starts * config.horizon_steps
    return context.result(ms_per_frame=1000 * seconds / frames, **costs)


def _roll(context: StageContext, world: WorldModel[S], view: View) -> float:
    num_starts, horizon = view.valid.shape
    path = context.folder / FRAMES_FILE
    starts = tuple(range(num_starts))
    actions = torch.from_numpy(view.actions).to(context.device)
    real = to_unit(torch.from_numpy(view.context)).to(context.device)
    state = world.start(real, actions[:, : CONTEXT_FRAMES - 1])
    saved = context.resume()
    first, checksum = 0, 0
    if saved is not None and _frames_are_whole(path, view, saved):
        first = int(saved.counters["done"])
        checksum = int(saved.tensors[CHECKSUM])
        state = state.with_tensors(
            {name: t.to(context.device) for name, t in saved.tensors.items()}
        )
    mode = "r+" if first else "w+"
    frames = np.lib.format.open_memmap(path, mode=mode, dtype=np.uint8, shape=view.targets.shape)
    before = context.seconds()
    future = actions[:, CONTEXT_FRAMES - 1 :]
    for index, now, step in replay_actions(
        world, state, future, lambda t: KeyedNoise(context.seed, starts, t), first
    ):
        frames[:, index] = to_bytes(step.frame).cpu().numpy()
        checksum = crc32(frames[:, index].tobytes(), checksum)
        context.progress(index + 1, horizon, f"{num_starts} starts")
        if context.checkpoint_due():
            frames.flush()
            context.checkpoint(now.tensors() | {CHECKSUM: torch.tensor(checksum)}, index + 1)
    frames.flush()
    seconds: float = (context.seconds() - before) * horizon / max(1, horizon - first)
    return seconds


def _frames_are_whole(path: Path, view: View, saved: Saved) -> bool:
    """Whether the frames that a checkpoint counts on are still what was written."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError):
        return False
    if frames.shape != view.targets.shape:
        return False
    checksum = 0
    for index in range(int(saved.counters["done"])):
        checksum = crc32(frames[:, index].tobytes(), checksum)
    return checksum == int(saved.tensors[CHECKSUM])


def score_rollouts(context: StageContext) -> StageResult:
    """Compare rollouts with references.

    Writes scores.safetensors, one (starts, horizon) array a metric. One start at a time is read.
    """
    context.resume()
    imagined = np.load(
        context.upstream["rollouts"] / FRAMES_FILE, mmap_mode="r", allow_pickle=False
    )
    num_starts, horizon = imagined.shape[:2]
    references = load_references(context.upstream["references"])[:num_starts]
    keys = [reference.key for reference in references]
    episodes = [keys.index(key) for key in keys]

    def views() -> Iterator[tuple[int, View]]:
        for reference, episode in zip(references, episodes, strict=True):
            yield episode, _view(context, [reference], horizon)

    def real_parts() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for episode, view in views():
            yield episode, np.concatenate([view.context[0], view.targets[0][view.valid[0]]])

    def pairs() -> Iterator[tuple[RealTrajectory, NDArray[np.uint8]]]:
        for start, (episode, view) in enumerate(views()):
            real = RealTrajectory(
                view.targets[0], view.valid[0], view.context[0, -1], view.backgrounds[0], episode
            )
            yield real, imagined[start]
            context.progress(start + 1, num_starts, "trajectories")

    total = sum(CONTEXT_FRAMES + min(horizon, r.num_valid_steps) for r in references)
    scores = score_trajectories(pairs(), make_bank(real_parts(), total), context.device)
    save_file(scores, context.folder / SCORES_FILE)
    return context.result()


def play_real_game(context: StageContext) -> StageResult:
    """Play the real game with sampled actions; writes returns.json."""
    context.resume()
    emulator = EmulatorConfig.model_validate(context.config["emulator"])
    view = ViewConfig.model_validate(context.config["view"])
    config = EvaluationConfig.model_validate(context.config["evaluation"])
    trained = context.config["player"] == TRAINED_PLAYER
    actor = sampled_actor(load_policy(context), context.device) if trained else random_actor()

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "env steps at most")

    game = context.config["game"]
    episodes = play_episodes(game, (emulator, view, config), actor, context.seed, progress)
    (context.folder / RETURNS_FILE).write_text(json.dumps(_returns(episodes)) + "\n")
    return context.result(env_steps=float(sum(episode.num_steps for episode in episodes)))


def _returns(episodes: list[Episode]) -> list[dict[str, float | int | bool]]:
    return [
        {"return": e.total_reward, "num_steps": e.num_steps, "truncated": e.truncated}
        for e in episodes
    ]
