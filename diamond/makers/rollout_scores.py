"""The stages that judge: rollouts, and their fidelity to frames and policy."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from diamond.config.environments import read_environment
from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.config.scoring import RolloutsConfig
from diamond.config.worlds import find_family
from diamond.data.action_space import ActionSpace
from diamond.data.counterfactuals import BranchView, view_branches
from diamond.data.frame_files import read_stack
from diamond.data.reference_files import (
    Reference,
    View,
    backgrounds_of,
    load_references,
    view_references,
)
from diamond.engine.output_names import (
    DRAWN_EVENTS_FILE,
    FRAMES_FILE,
    OFF_DATA_EVENTS_FILE,
    OFF_DATA_FOLDER,
    OFF_DATA_FRAMES_FILE,
    OFF_DATA_SCORES_FILE,
    SCORES_FILE,
)
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult
from diamond.envs.palette import COLOURS
from diamond.fidelity.cells import score_cells
from diamond.fidelity.extras import load_extras
from diamond.fidelity.nearest import make_bank
from diamond.fidelity.trajectory_metrics import RealTrajectory, score_trajectories
from diamond.makers.imagination_gap import score_gap
from diamond.makers.imagined_events import draw_events
from diamond.makers.learned_judges import first_start, judge_policy, judge_rollouts
from diamond.makers.rollout_passes import Starts, passes_of, roll
from diamond.makers.sample_scores import score_counterfactuals, score_samples
from diamond.records import to_unit
from diamond.weights.trained_networks import LoadedWorld, load_world, num_parameters


def _references(context: StageContext, num_starts: int) -> list[Reference]:
    return load_references(context.upstream["references"])[:num_starts]


def _off_data(context: StageContext) -> list[Reference]:
    """The starts of the better player; none where the references have none."""
    folder = context.upstream["references"] / OFF_DATA_FOLDER
    return load_references(folder) if folder.is_dir() else []


def _view(context: StageContext, references: Sequence[Reference], horizon: int) -> View:
    """References at the crop and resolution of a stage."""
    space = ActionSpace.load(context.upstream["references"])
    view = ViewConfig.model_validate(context.config["view"])
    return view_references(references, view, space, horizon)


def _backgrounds(context: StageContext, references: Sequence[Reference]) -> NDArray[np.uint8]:
    return backgrounds_of(references, ViewConfig.model_validate(context.config["view"]))


def read_branches(context: StageContext, num_starts: int, horizon: int) -> BranchView | None:
    """The counterfactuals of a stage at its own crop and resolution; None where there are none."""
    space = ActionSpace.load(context.upstream["references"])
    view = ViewConfig.model_validate(context.config["view"])
    return view_branches(_references(context, num_starts), view, space, horizon)


def make_rollouts(context: StageContext) -> StageResult:
    """Imagine under recorded actions, several samples of it, and under other actions.

    Writes uint8 frames, start by start: frames.npz (horizon, h, w, 3); samples.npz (samples,
    horizon, h, w, 3) where the config asks for samples; counterfactual.npz (horizon, h, w, 3) where
    the references have counterfactuals; off_data.npz (horizon, h, w, 3) of the starts off the data;
    drawn_events.safetensors where the world tells rewards and the references know theirs.
    """
    config = RolloutsConfig.model_validate(context.config["rollouts"])
    family = find_family(context.config["family"])
    references = _references(context, config.num_starts)
    view = _view(context, references, config.horizon_steps)
    others = read_branches(context, config.num_starts, config.horizon_steps)
    passes = passes_of(view, config.samples, others, config.defect)
    world, first = _world(context, references), first_start(context)
    # Before the passes: those go on where they were interrupted.
    tells_rewards = family.rewards_by in world.networks
    if tells_rewards and not np.isnan(view.rewards).any():
        cells = _shows_cells(context)
        draw_events(context, world.model, view, first, DRAWN_EVENTS_FILE, with_frames=cells)
    groups = [Starts(world.model, view, passes, first)]
    if further := _off_data(context):
        seen = _view(context, further, config.horizon_steps)
        (rollout,) = passes_of(seen, None, None, config.defect)
        off_data = replace(rollout, file=OFF_DATA_FRAMES_FILE)
        model = world.model if family.is_trained else _world(context, further).model
        if tells_rewards:
            cells = _shows_cells(context)
            draw_events(context, model, seen, first, OFF_DATA_EVENTS_FILE, with_frames=cells)
        groups.append(Starts(model, seen, [off_data], first))
    timings = roll(context, groups, config.defect)
    if family.is_trained:
        drawing = [world.networks[stage.part] for stage in family.drawing]
        timings |= {
            "denoiser_calls_per_frame": float(family.calls_per_frame(world.config)),
            "num_parameters": float(num_parameters(drawing)),
        }
    return context.result(**timings)


def _world(context: StageContext, references: list[Reference]) -> LoadedWorld:
    """The world model of a stage; one without training may show the backgrounds of the starts."""
    return load_world(context, lambda: to_unit(torch.from_numpy(_backgrounds(context, references))))


def score_rollouts(context: StageContext) -> StageResult:
    """Compare rollouts with references.

    Writes scores.safetensors, one (starts, horizon) array a metric; (1, 1) for one of all frames.
    Those of starts off the data are in off_data.safetensors.
    """
    context.resume()
    rollouts = context.upstream["rollouts"]
    imagined, references, view = _read(context)
    scores = _score(context, references, view, imagined, DRAWN_EVENTS_FILE)
    others = read_branches(context, *imagined.shape[:2])
    scores |= score_samples(rollouts, view) | score_counterfactuals(rollouts, view, others)
    save_file(scores, context.folder / SCORES_FILE)
    if further := _off_data(context):
        view = _view(context, further, imagined.shape[1])
        imagined = read_stack(rollouts / OFF_DATA_FRAMES_FILE)
        scores = _score(context, further, view, imagined, OFF_DATA_EVENTS_FILE)
        save_file(scores, context.folder / OFF_DATA_SCORES_FILE)
    return context.result()


def _read(context: StageContext) -> tuple[NDArray[np.uint8], list[Reference], View]:
    """The rollouts that a stage reads, their references, and these as the arm sees them."""
    imagined = read_stack(context.upstream["rollouts"] / FRAMES_FILE)
    references = _references(context, len(imagined))
    return imagined, references, _view(context, references, imagined.shape[1])


def _score(
    context: StageContext,
    references: list[Reference],
    view: View,
    imagined: NDArray[np.uint8],
    events: str,
) -> dict[str, NDArray[np.float64]]:
    """The scores of one rollout of each start, and of the drawn events in the file of a name."""
    num_starts, horizon = imagined.shape[:2]
    keys = [reference.key for reference in references]
    episodes = [keys.index(key) for key in keys]
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
            context.progress(start + 1, num_starts, "")

    total = sum(CONTEXT_FRAMES + min(horizon, r.num_valid_steps) for r in references)
    extras = load_extras(context.config.get("fidelity", {}), context.device)
    scores = score_trajectories(pairs(), make_bank(real_parts(), total), context.device, extras)
    scores |= judge_rollouts(context, view, imagined, context.upstream["rollouts"] / events)
    if _shows_cells(context):
        scores |= score_cells(view, imagined, COLOURS)
    return scores


def _shows_cells(context: StageContext) -> bool:
    environment = read_environment(context.upstream_config("references")["environment"])
    return ViewConfig.model_validate(context.config["view"]).shows_cells(environment.cells)


def score_policy(context: StageContext) -> StageResult:
    """Compare what the policy makes of rollouts and of references, as `score_rollouts` does.

    Beside that, what it earns from there.
    """
    context.resume()
    rollouts = context.upstream["rollouts"]
    imagined, references, view = _read(context)
    scores = judge_policy(context, view, imagined) | score_gap(context, view, references)
    save_file(scores, context.folder / SCORES_FILE)
    if further := _off_data(context):
        view = _view(context, further, imagined.shape[1])
        scores = judge_policy(context, view, read_stack(rollouts / OFF_DATA_FRAMES_FILE))
        save_file(scores, context.folder / OFF_DATA_SCORES_FILE)
    return context.result()
