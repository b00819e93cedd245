"""The stages that judge: rollouts, and their fidelity to frames and policy."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from diamond.config.environments import read_environment
from diamond.config.run import (
    CONTEXT_FRAMES,
    ReferencesConfig,
    RolloutsConfig,
    ViewConfig,
)
from diamond.config.worlds import find_family
from diamond.data.counterfactuals import BranchView, view_branches
from diamond.data.frame_files import read_stack
from diamond.data.references import (
    Reference,
    View,
    backgrounds_of,
    load_references,
    view_references,
)
from diamond.envs.palette import COLOURS
from diamond.fidelity.cells import score_cells
from diamond.fidelity.extras import load_extras
from diamond.fidelity.nearest import make_bank
from diamond.fidelity.trajectories import RealTrajectory, score_trajectories
from diamond.pipeline.context import StageContext
from diamond.pipeline.futures import score_counterfactuals, score_samples
from diamond.pipeline.judges import judge_policy, judge_rollouts
from diamond.pipeline.models import load_world, num_parameters
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE, SCORES_FILE
from diamond.pipeline.rolling import passes_of, roll
from diamond.pipeline.store import StageResult
from diamond.records import to_unit


def _references(context: StageContext, num_starts: int) -> list[Reference]:
    return load_references(context.upstream["references"])[:num_starts]


def _view(context: StageContext, references: Sequence[Reference], horizon: int) -> View:
    """References at the crop and resolution of a stage."""
    codes = json.loads((context.upstream["references"] / ACTIONS_FILE).read_text())
    view = ViewConfig.model_validate(context.config["view"])
    return view_references(references, view, codes, horizon)


def _backgrounds(context: StageContext, references: Sequence[Reference]) -> NDArray[np.uint8]:
    return backgrounds_of(references, ViewConfig.model_validate(context.config["view"]))


def read_branches(context: StageContext, num_starts: int, horizon: int) -> BranchView | None:
    """The counterfactuals of a stage at its own crop and resolution; None where there are none."""
    folder = context.upstream["references"]
    codes = json.loads((folder / ACTIONS_FILE).read_text())
    view = ViewConfig.model_validate(context.config["view"])
    return view_branches(_references(context, num_starts), view, codes, horizon)


def make_rollouts(context: StageContext) -> StageResult:
    """Imagine under recorded actions, several samples of it, and under other actions.

    Writes uint8 frames, start by start: frames.npz (horizon, h, w, 3); samples.npz (samples,
    horizon, h, w, 3) where the config asks for samples; counterfactual.npz (horizon, h, w, 3) where
    the references have counterfactuals.
    """
    config = RolloutsConfig.model_validate(context.config["rollouts"])
    family = find_family(context.config["family"])
    references = _references(context, config.num_starts)
    view = _view(context, references, config.horizon_steps)
    others = read_branches(context, config.num_starts, config.horizon_steps)
    passes = passes_of(view, config.samples, others)
    played = ReferencesConfig.model_validate(context.upstream_config("references")["references"])
    world = load_world(
        context, lambda: to_unit(torch.from_numpy(_backgrounds(context, references)))
    )
    timings = roll(context, world.model, view, passes, played.first_start)
    if family.is_trained:
        drawing = [world.networks[stage.part] for stage in family.drawing]
        timings |= {
            "denoiser_calls_per_frame": float(family.calls_per_frame(world.config)),
            "num_parameters": float(num_parameters(drawing)),
        }
    return context.result(**timings)


def score_rollouts(context: StageContext) -> StageResult:
    """Compare rollouts with references.

    Writes scores.safetensors, one (starts, horizon) array a metric; (1, 1) for one of all frames.
    """
    context.resume()
    rollouts = context.upstream["rollouts"]
    imagined = read_stack(rollouts / FRAMES_FILE)
    num_starts, horizon = imagined.shape[:2]
    references = _references(context, num_starts)
    keys = [reference.key for reference in references]
    episodes = [keys.index(key) for key in keys]

    # Decoded once: frames on disk are compressed.
    view = _view(context, references, horizon)
    backgrounds = _backgrounds(context, references)

    def real_parts() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for start, episode in enumerate(episodes):
            real = view.targets[start][view.valid[start]]
            yield episode, np.concatenate([view.context[start], real])

    def pairs() -> Iterator[tuple[RealTrajectory, NDArray[np.uint8]]]:
        for start, episode in enumerate(episodes):
            real = RealTrajectory(
                view.targets[start],
                view.valid[start],
                view.context[start, -1],
                backgrounds[start],
                episode,
            )
            yield real, imagined[start]
            context.progress(start + 1, num_starts, "trajectories")

    total = sum(CONTEXT_FRAMES + min(horizon, r.num_valid_steps) for r in references)
    extras = load_extras(context.config.get("fidelity", {}), context.device)
    scores = score_trajectories(pairs(), make_bank(real_parts(), total), context.device, extras)
    others = read_branches(context, num_starts, horizon)
    scores |= score_samples(rollouts, view) | score_counterfactuals(rollouts, view, others)
    scores |= judge_rollouts(context, view, imagined)
    if _shows_cells(context):
        scores |= score_cells(view, imagined, COLOURS)
    save_file(scores, context.folder / SCORES_FILE)
    return context.result()


def _shows_cells(context: StageContext) -> bool:
    environment = read_environment(context.upstream_config("references")["environment"])
    return ViewConfig.model_validate(context.config["view"]).shows_cells(environment.cells)


def score_policy(context: StageContext) -> StageResult:
    """Compare what the policy makes of rollouts and of references; writes scores.safetensors."""
    context.resume()
    imagined = read_stack(context.upstream["rollouts"] / FRAMES_FILE)
    num_starts, horizon = imagined.shape[:2]
    view = _view(context, _references(context, num_starts), horizon)
    save_file(judge_policy(context, view, imagined), context.folder / SCORES_FILE)
    return context.result()
