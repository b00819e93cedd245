"""Frames for film strips: real and imagined ones of a few starts, read from the store."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diamond.ablation.plan import Arm, Plan, Run
from diamond.data.references import View, load_references, view_references
from diamond.pipeline.arms import find_stage, view_of
from diamond.pipeline.files import read_json
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE
from diamond.pipeline.scores import report_steps
from diamond.pipeline.store import Store

MAX_STRIPS = 3


@dataclass(frozen=True)
class StripFrames:
    """Frames of one start at the report steps, all of the size of the finest arm.

    Attributes:
        game: The game.
        start: Number of the held-out start, which is also its episode's.
        steps: Time steps of the columns.
        rows: (name, frames (len(steps), h, w, 3) uint8), the real ones first.
    """

    game: str
    start: int
    steps: tuple[int, ...]
    rows: tuple[tuple[str, NDArray[np.uint8]], ...]


def load_strips(plan: Plan, store: Store) -> list[StripFrames]:
    """Read the strips of every game: the first starts whose real episode lasts to the horizon."""
    strips: list[StripFrames] = []
    for game in plan.request.games:
        arms = [
            arm
            for arm in plan.arms
            if arm.game == game and _rollouts(arm.runs[0], store) is not None
        ]
        if arms:
            strips += _game_strips(game, arms, store)
    return strips


def _game_strips(game: str, arms: list[Arm], store: Store) -> list[StripFrames]:
    finest = max(arms, key=lambda arm: view_of(arm).height * view_of(arm).width)
    view = _view(finest.runs[0], store)
    size = view.targets.shape[2:4]
    horizon = view.valid.shape[1]
    steps = tuple(report_steps(horizon))
    columns = [step - 1 for step in steps]
    lengths = view.valid.sum(axis=1)
    chosen = sorted(np.argsort(-lengths, kind="stable")[:MAX_STRIPS].tolist())
    found = []
    for start in chosen:
        # A real row goes black where the episode has ended: nothing is scored there.
        rows = [("real", view.targets[start][columns])]
        for arm in arms:
            imagined = _rollouts(arm.runs[0], store)
            assert imagined is not None
            rows.append((arm.name, _enlarged(imagined[start][columns], size)))
        found.append(StripFrames(game, start, steps, tuple(rows)))
    return found


def _enlarged(frames: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames (t, h, w, 3) at a size, by repetition: a pixel keeps its value."""
    rows, columns = (
        np.arange(side) * own // side for side, own in zip(size, frames.shape[1:3], strict=True)
    )
    enlarged: NDArray[np.uint8] = frames[:, rows][:, :, columns]
    return enlarged


def _view(run: Run, store: Store) -> View:
    spec = find_stage(run, "references")
    assert spec is not None
    folder = store.folder(spec.stage, spec.key)
    rollouts = run.config.rollouts
    references = load_references(folder)[: rollouts.num_starts]
    codes = read_json(folder / ACTIONS_FILE)
    return view_references(references, run.config.view, codes, rollouts.horizon_steps)


def _rollouts(run: Run, store: Store) -> NDArray[np.uint8] | None:
    spec = find_stage(run, "rollouts")
    if spec is None or store.status(spec) != "done":
        return None
    path = store.folder(spec.stage, spec.key) / FRAMES_FILE
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return frames
