"""The stages that judge: rollouts, their fidelity to frames and policy, returns in the game."""

import json
from collections.abc import Iterator, Sequence

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
    FidelityConfig,
    ReferencesConfig,
    RolloutsConfig,
    ViewConfig,
)
from diamond.data.counterfactuals import BranchView, view_branches
from diamond.data.references import Reference, View, load_references, view_references
from diamond.fidelity.lpips import find_lpips, load_lpips
from diamond.fidelity.nearest import make_bank
from diamond.fidelity.trajectories import RealTrajectory, score_trajectories
from diamond.pipeline.context import StageContext
from diamond.pipeline.futures import longest_future, score_counterfactuals, score_samples
from diamond.pipeline.judges import judge_policy, judge_rollouts
from diamond.pipeline.models import load_part, load_world, num_parameters
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE, RETURNS_FILE, SCORES_FILE
from diamond.pipeline.rolling import passes_of, roll
from diamond.pipeline.store import StageResult
from diamond.records import to_unit
from diamond.training.evaluation import Episode, play_episodes, random_actor, sampled_actor
from diamond.training.policy import POLICY
from diamond.world.baselines import copy_last_world, median_background_world


def read_view(context: StageContext, num_starts: int, horizon: int) -> View:
    """The references of a stage at its own crop and resolution."""
    references = load_references(context.upstream["references"])[:num_starts]
    return _view(context, references, horizon)


def _view(context: StageContext, references: Sequence[Reference], horizon: int) -> View:
    codes = json.loads((context.upstream["references"] / ACTIONS_FILE).read_text())
    view = ViewConfig.model_validate(context.config["view"])
    return view_references(references, view, codes, horizon)


def read_branches(context: StageContext, num_starts: int, horizon: int) -> BranchView | None:
    """The counterfactuals of a stage at its own crop and resolution; None where there are none."""
    folder = context.upstream["references"]
    codes = json.loads((folder / ACTIONS_FILE).read_text())
    view = ViewConfig.model_validate(context.config["view"])
    return view_branches(load_references(folder)[:num_starts], view, codes, horizon)


def make_rollouts(context: StageContext) -> StageResult:
    """Imagine under recorded actions, several samples of it, and under other actions.

    Writes frames.npy (starts, horizon, h, w, 3) uint8; samples.npy (starts, samples, horizon, h, w,
    3) where the config asks for samples; counterfactual.npy (starts, horizon, h, w, 3) where the
    references have counterfactuals.
    """
    config = RolloutsConfig.model_validate(context.config["rollouts"])
    family: Family = context.config["family"]
    view = read_view(context, config.num_starts, config.horizon_steps)
    others = read_branches(context, config.num_starts, config.horizon_steps)
    passes = passes_of(view, config.samples, others)
    played = ReferencesConfig.model_validate(context.upstream_config("references")["references"])
    match family:
        case "diamond":
            sampler = SamplerConfig.model_validate(context.config["sampler"])
            timings = roll(context, load_world(context, sampler), view, passes, played.first_start)
            timings |= {
                "denoiser_calls_per_frame": float(calls_per_sample(sampler.steps, sampler.order)),
                "num_parameters": float(num_parameters(context.upstream_folder("denoiser"))),
            }
        case "copy_last":
            timings = roll(context, copy_last_world(), view, passes, played.first_start)
        case "median_background":
            backgrounds = to_unit(torch.from_numpy(view.backgrounds))
            timings = roll(
                context, median_background_world(backgrounds), view, passes, played.first_start
            )
    return context.result(**timings)


def score_rollouts(context: StageContext) -> StageResult:
    """Compare rollouts with references.

    Writes scores.safetensors, one (starts, horizon) array a metric; (1, 1) for one of all frames.
    """
    context.resume()
    rollouts = context.upstream["rollouts"]
    imagined = np.load(rollouts / FRAMES_FILE, mmap_mode="r", allow_pickle=False)
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
    chosen = FidelityConfig.model_validate(context.config.get("fidelity", {}))
    lpips = None if chosen.lpips == "none" else load_lpips(find_lpips(), context.device)
    scores = score_trajectories(pairs(), make_bank(real_parts(), total), context.device, lpips)
    short = min(horizon, longest_future(rollouts))
    if short:
        view = _view(context, references, short)
        others = read_branches(context, num_starts, short)
        futures = score_samples(rollouts, view) | score_counterfactuals(rollouts, view, others)
        for name, values in futures.items():
            scores[name] = np.full((num_starts, horizon), np.nan)
            scores[name][:, :short] = values
    scores |= judge_rollouts(context, _view(context, references, horizon), imagined)
    save_file(scores, context.folder / SCORES_FILE)
    return context.result()


def score_policy(context: StageContext) -> StageResult:
    """Compare what the policy makes of rollouts and of references; writes scores.safetensors."""
    context.resume()
    imagined = np.load(
        context.upstream["rollouts"] / FRAMES_FILE, mmap_mode="r", allow_pickle=False
    )
    view = read_view(context, *imagined.shape[:2])
    save_file(judge_policy(context, view, imagined), context.folder / SCORES_FILE)
    return context.result()


def play_real_game(context: StageContext) -> StageResult:
    """Play the real game with sampled actions; writes returns.json."""
    context.resume()
    emulator = EmulatorConfig.model_validate(context.config["emulator"])
    view = ViewConfig.model_validate(context.config["view"])
    config = EvaluationConfig.model_validate(context.config["evaluation"])
    trained = context.config["player"] == TRAINED_PLAYER
    actor = sampled_actor(load_part(context, POLICY), context.device) if trained else random_actor()

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
