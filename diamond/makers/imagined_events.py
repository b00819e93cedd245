"""Imagining real events from the real frames shortly before them, and what becomes of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from diamond.arrays import BoolArray, ByteArray, FloatArray, IntArray
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.reference_files import View
from diamond.engine.stage_context import StageContext
from diamond.envs.palette import COLOURS
from diamond.families.interface import S, WorldModel
from diamond.fidelity.cells import nearest_colours
from diamond.fidelity.event_recall import Imagined, event_scores, find_events
from diamond.fidelity.reward_end import PredictedRewardEnds
from diamond.records import RealStarts, to_bytes, to_unit
from diamond.rng import KeyedNoise
from diamond.stages.rollouts import EVENT_LEADS, event_steps
from diamond.world.imagination import replay_actions

BATCH_ROWS = 64
"""Env steps that are imagined together."""
FRAMES = "frames"


class _Drawn(NamedTuple):
    """What followed so many starts: rewards and ends (m, t), the first frames (m, h, w, 3)."""

    rewards: NDArray[np.int8]
    ends: BoolArray
    frames: ByteArray


def draw_events(
    context: StageContext,
    world: WorldModel[S],
    view: View,
    first_start: int,
    file: str,
    with_frames: bool,
) -> None:
    """Imagine the events of references, and as many other env steps.

    Writes a file of safetensors: rewards_<lead> int8 and ends_<lead> bool (rows, env steps) for
    each number of env steps before them, and frames uint8 (rows, h, w, 3), those of the nearest,
    where they are asked for.

    Args:
        view: The references, with rewards.
        first_start: Number of the first start; noise is keyed by it and the time step.
        with_frames: Whether frames are kept.
    """
    events = find_events(view)
    found: dict[str, NDArray[np.generic]] = {}
    for lead in EVENT_LEADS:
        rows = np.flatnonzero(events.reached(lead))
        shape = len(rows), event_steps(lead)
        rewards, ends = np.zeros(shape, np.int8), np.zeros(shape, np.bool_)
        frames = np.zeros((len(rows), *view.targets.shape[2:]), np.uint8)
        for first in range(0, len(rows), BATCH_ROWS):
            context.progress(first, len(rows), f"from {lead} env steps before")
            part = slice(first, first + BATCH_ROWS)
            places = _Places(events.starts[rows[part]], events.steps[rows[part]], lead)
            rewards[part], ends[part], frames[part] = _draw(
                context, world, view, places, first_start
            )
        found |= {f"rewards_{lead}": rewards, f"ends_{lead}": ends}
        if with_frames and lead == EVENT_LEADS[0]:
            found[FRAMES] = frames
    save_file(found, context.folder / file)


def score_events(file: Path, view: View, real: PredictedRewardEnds) -> dict[str, FloatArray]:
    """How many events a rollouts stage drew; nothing where it drew none.

    Args:
        file: Where it wrote them.
        view: The references over its horizon.
        real: What the reward/end model says of the real frames.

    Returns:
        (1, 1) by name.
    """
    if not file.exists():
        return {}
    drawn, events = load_file(file), find_events(view)
    near, far = (
        Imagined(drawn[f"rewards_{lead}"].astype(np.int64), drawn[f"ends_{lead}"])
        for lead in EVENT_LEADS
    )
    exact = None
    if FRAMES in drawn:
        shown = view.targets[events.starts, events.steps]
        same = nearest_colours(drawn[FRAMES], COLOURS) == nearest_colours(shown, COLOURS)
        exact = same.all(axis=(1, 2))
    return event_scores(events, near, far, view, real, exact)


class _Places(NamedTuple):
    """Env steps that are imagined from so many before: rows of the references, time steps."""

    starts: IntArray
    steps: IntArray
    lead: int

    @property
    def first(self) -> IntArray:
        """(m,) where the real frames before each begin, counted from the first context frame."""
        return self.steps - self.lead + 1


def _draw(
    context: StageContext, world: WorldModel[S], view: View, places: _Places, first_start: int
) -> _Drawn:
    """Imagine from the real frames before some env steps."""
    names = [f"{first_start + start}/{step}" for start, step in zip(*places[:2], strict=True)]
    lead, num_steps = places.lead, event_steps(places.lead)

    def noise_at(time_step: int) -> KeyedNoise:
        return KeyedNoise(context.seed, names, time_step, lead)

    starts, actions = _before(view, places, num_steps)
    state = world.start(*starts.to(context.device))
    steps = [
        step for _, _, step in replay_actions(world, state, actions.to(context.device), noise_at)
    ]
    return _Drawn(
        torch.stack([step.reward for step in steps], dim=1).to(torch.int8).cpu().numpy(),
        torch.stack([step.end for step in steps], dim=1).cpu().numpy(),
        to_bytes(steps[0].frame).cpu().numpy(),
    )


def _before(view: View, places: _Places, num_steps: int) -> tuple[RealStarts, torch.Tensor]:
    """The real frames before some env steps, and the recorded actions (m, num_steps) after them.

    Beyond the horizon the last action is repeated: what follows it is not looked at.
    """
    real = np.stack([_shown(view, *row) for row in zip(places.starts, places.first, strict=True)])
    rows = places.first[:, None] + np.arange(CONTEXT_FRAMES - 1 + num_steps)
    actions = torch.from_numpy(
        view.actions[places.starts[:, None], rows.clip(max=view.actions.shape[1] - 1)]
    )
    padded = torch.from_numpy((view.padded[places.starts] - places.first).clip(min=0))
    before = CONTEXT_FRAMES - 1
    return RealStarts(to_unit(torch.from_numpy(real)), actions[:, :before], padded), actions[
        :, before:
    ]


def _shown(view: View, start: int, first: int) -> ByteArray:
    """So many real frames as a context has, from one of a reference on."""
    later = view.targets[start, max(0, first - CONTEXT_FRAMES) : first]
    return np.concatenate([view.context[start, first:], later])
