"""Held-out references on disk.

What replays an episode, its native frames, and how an arm reads them.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ActionArray, ActionSpace
from diamond.data.frame_files import Frames, FrameWriter, StoredFrames
from diamond.envs.real_game import EpisodeKey
from diamond.envs.view import apply_view, apply_view_all

NATIVE_FILE = "native.npz"
STILLS_FILE = "stills.npz"
FINALS_FILE = "finals.npz"
BRANCH_FILE = "counterfactual.npz"


@dataclass(frozen=True)
class Branch:
    """What the game showed from the last context frame of a reference on, under other actions.

    Attributes:
        action_codes: The game's code of every action after the context, for the whole horizon.
        native: (m, h, w, 3) uint8, the frames after the context; later ones would be after the
            end of this branch or a life lost in it.
    """

    action_codes: tuple[int, ...]
    native: Frames


@dataclass(frozen=True)
class Reference:
    """One held-out episode as the game was played.

    Attributes:
        key: Seed and no-ops; the seed of recorded episodes is negative.
        action_codes: The game's code of every action from the reset on; or, of each, a tuple of k
            numbers as they were recorded.
        offset: Env steps before the context begins; negative where so many frames of it are
            padding: its first real frame, repeated.
        num_valid_steps: Real steps after the context; later ones would be after the end or a lost
            life.
        native: (16 + num_valid_steps, h, w, 3) uint8, context and what followed; recorded
            episodes may have the size that the arm sees.
        stills: (m, h, w, 3) uint8, every 8th frame from the reset on, or all where contexts are
            padded or the game cannot be replayed, for the background; of the size of `native`.
        rewards: What every action from the reset on earned, as the game gave it; None where that
            was not recorded.
        final: (1, h, w, 3) uint8, the frame after the action that ended the episode or lost a
            life; (0, h, w, 3) where the recording was not ended so.
        branch: The counterfactual; None where none was recorded.
    """

    key: EpisodeKey
    action_codes: tuple[Any, ...]
    offset: int
    num_valid_steps: int
    native: Frames
    stills: Frames
    rewards: tuple[float, ...] | None
    final: Frames
    branch: Branch | None = None

    @property
    def num_padded(self) -> int:
        """Frames at the front of the context that are padding."""
        return max(0, -self.offset)


@dataclass(frozen=True)
class View:
    """References as an arm sees them, in batch form.

    Attributes:
        context: (n, 16, h, w, 3) uint8 real frames before the rollout.
        actions: (n, 16 + horizon - 1) int64 action indices, or (n, 16 + horizon - 1, k) float32
            scaled numbers; action i leads from frame i to frame i + 1.
        targets: (n, horizon, h, w, 3) uint8 real frames where valid, and the final frame where
            `ends`; zero elsewhere.
        valid: (n, horizon) bool, false after the real episode ended or a life was lost.
        rewards: (n, horizon) float64, what the action that led to the frame earned, NaN where the
            episode does not say; zero where
            neither `valid` nor `ends`.
        ends: (n, horizon) bool, true at the one env step, right after the valid ones, that ended
            the episode or lost a life.
        padded: (n,) int64, frames at the front of each context that are padding: copies of its
            first real frame, with action 0 after each.
    """

    context: NDArray[np.uint8]
    actions: ActionArray
    targets: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    rewards: NDArray[np.float64]
    ends: NDArray[np.bool_]
    padded: NDArray[np.int64]


def future_codes(reference: Reference) -> tuple[Any, ...]:
    """The recorded actions after the context; the first one leads to the first imagined frame."""
    return reference.action_codes[reference.offset + CONTEXT_FRAMES - 1 :]


def save_references(references: Iterable[Reference], folder: Path) -> None:
    """Write episodes.json, and the frames of all episodes to native, stills and finals.npz.

    Where there are counterfactuals, their frames are in counterfactual.npz. Frames go to the disk
    as they come: only one reference is in memory.
    """
    episodes: list[dict[str, object]] = []
    with ExitStack() as files:
        native = files.enter_context(FrameWriter(folder / NATIVE_FILE))
        stills = files.enter_context(FrameWriter(folder / STILLS_FILE))
        finals = files.enter_context(FrameWriter(folder / FINALS_FILE))
        others: FrameWriter | None = None
        for number, reference in enumerate(references):
            native.write(number, reference.native)
            stills.write(number, reference.stills)
            finals.write(number, reference.final)
            episode: dict[str, object] = {
                "emulator_seed": reference.key.emulator_seed,
                "num_noops": reference.key.num_noops,
                "action_codes": list(reference.action_codes),
                "offset": reference.offset,
                "num_valid_steps": reference.num_valid_steps,
                "num_stills": len(reference.stills),
                "rewards": None if reference.rewards is None else list(reference.rewards),
                "ended": bool(len(reference.final)),
            }
            if reference.branch is not None:
                others = others or files.enter_context(FrameWriter(folder / BRANCH_FILE))
                others.write(number, reference.branch.native)
                episode["counterfactual"] = {
                    "action_codes": list(reference.branch.action_codes),
                    "num_valid_steps": len(reference.branch.native),
                }
            episodes.append(episode)
    (folder / "episodes.json").write_text(json.dumps(episodes) + "\n")


def load_references(folder: Path) -> list[Reference]:
    """Open references written by `save_references`; frames stay on disk until they are read."""
    references = []
    for number, episode in enumerate(json.loads((folder / "episodes.json").read_text())):
        branch, other = None, episode.get("counterfactual")
        if other is not None:
            frames = StoredFrames(folder / BRANCH_FILE, number)
            branch = Branch(tuple(other["action_codes"]), frames)
        references.append(
            Reference(
                EpisodeKey(episode["emulator_seed"], episode["num_noops"]),
                tuple(_hashable(code) for code in episode["action_codes"]),
                episode["offset"],
                episode["num_valid_steps"],
                StoredFrames(folder / NATIVE_FILE, number),
                StoredFrames(folder / STILLS_FILE, number),
                None if episode["rewards"] is None else tuple(episode["rewards"]),
                StoredFrames(folder / FINALS_FILE, number),
                branch,
            )
        )
    return references


def _hashable(code: Any) -> Any:
    return tuple(code) if isinstance(code, list) else code


def view_references(
    references: Sequence[Reference], view: ViewConfig, space: ActionSpace, horizon: int
) -> View:
    """Read references at an arm's crop and resolution.

    Args:
        references: The episodes.
        view: Crop and size.
        space: What may be done.
        horizon: Env steps after the context.

    Raises:
        ValueError: An episode has an action outside the action set.
    """
    num = len(references)
    shape = (view.height, view.width, 3)
    context = np.empty((num, CONTEXT_FRAMES, *shape), dtype=np.uint8)
    targets = np.zeros((num, horizon, *shape), dtype=np.uint8)
    actions = space.nothing(num, CONTEXT_FRAMES + horizon - 1)
    valid = np.zeros((num, horizon), dtype=np.bool_)
    rewards = np.zeros((num, horizon), dtype=np.float64)
    ends = np.zeros((num, horizon), dtype=np.bool_)
    for i, reference in enumerate(references):
        seen = view_frames(reference, reference.native, view)
        num_valid = min(horizon, reference.num_valid_steps)
        context[i] = seen[:CONTEXT_FRAMES]
        targets[i, :num_valid] = seen[CONTEXT_FRAMES : CONTEXT_FRAMES + num_valid]
        valid[i, :num_valid] = True
        num_steps = num_valid
        final = reference.final[:]
        if len(final) and num_valid < horizon:
            targets[i, num_valid] = apply_view(final[0], view)
            ends[i, num_valid] = True
            num_steps += 1
        last = reference.offset + CONTEXT_FRAMES + num_steps - 1
        window = space.encode(reference.action_codes)[max(0, reference.offset) : last]
        padded = reference.num_padded
        actions[i, padded : padded + len(window)] = window
        if reference.rewards is None:
            rewards[i] = np.nan
        else:
            rewards[i, :num_steps] = reference.rewards[last - num_steps : last]
    padding = np.array([reference.num_padded for reference in references], dtype=np.int64)
    return View(context, actions, targets, valid, rewards, ends, padding)


def backgrounds_of(references: Sequence[Reference], view: ViewConfig) -> NDArray[np.uint8]:
    """The median of each recorded real episode as an arm sees it, (n, h, w, 3) uint8."""
    return np.stack([median_background(view_frames(one, one.stills, view)) for one in references])


def view_frames(reference: Reference, stored: Frames, view: ViewConfig) -> NDArray[np.uint8]:
    """Frames of a reference as an arm sees them; recorded ones may be of its own size already."""
    frames = np.asarray(stored)
    return view_recorded(frames, view) if is_recorded([reference]) else apply_view_all(frames, view)


def view_recorded(native: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Apply the view to recorded frames (t, h, w, 3), whose size may be that of the view already.

    These were cropped before.
    """
    if native.shape[1:3] == (view.height, view.width):
        view = view.model_copy(update={"crop": None})
    return apply_view_all(native, view)


def is_recorded(references: Iterable[Reference]) -> bool:
    """Whether any was recorded by the user: no emulator plays it again."""
    return any(reference.key.emulator_seed < 0 for reference in references)


def median_background(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the per-pixel, per-channel median of an episode, rounded to the nearest level.

    Args:
        frames: The real frames of one episode, uint8 (t, h, w, 3), t >= 1.

    Returns:
        uint8 (h, w, 3).

    Raises:
        ValueError: When there are no frames or they are not uint8 RGB.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(
            f"frames must be uint8 (t, h, w, 3), t >= 1, got {frames.dtype} {frames.shape}"
        )
    background: NDArray[np.uint8] = np.rint(np.median(frames, axis=0)).astype(np.uint8)
    return background
