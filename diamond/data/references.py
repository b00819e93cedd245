"""Held-out references on disk.

What replays an episode, its native frames, and how an arm reads them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond.config.run import CONTEXT_FRAMES, ViewConfig
from diamond.envs.atari import SCREEN_HEIGHT, SCREEN_WIDTH, EpisodeKey
from diamond.envs.view import apply_view_all


@dataclass(frozen=True)
class Reference:
    """One held-out episode as the emulator played it.

    Attributes:
        key: Emulator seed and no-ops.
        action_codes: Emulator code of every action from the reset on.
        offset: Env steps before the context begins.
        num_valid_steps: Real steps after the context; later ones would be after the end or a lost
            life.
        native: (16 + num_valid_steps, 210, 160, 3) uint8, context and what followed; recorded
            episodes may have the size that the arm sees.
        stills: (m, 210, 160, 3) uint8, every 8th frame from the reset on, for the background; of
            the size of `native`.
    """

    key: EpisodeKey
    action_codes: tuple[int, ...]
    offset: int
    num_valid_steps: int
    native: NDArray[np.uint8]
    stills: NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """References as an arm sees them, in batch form.

    Attributes:
        context: (n, 16, h, w, 3) uint8 real frames before the rollout.
        actions: (n, 16 + horizon - 1) int64 action indices; action i leads from frame i to frame i
            + 1.
        targets: (n, horizon, h, w, 3) uint8 real frames; zero where not valid.
        valid: (n, horizon) bool, false after the real episode ended or a life was lost.
        backgrounds: (n, h, w, 3) uint8, the median of the recorded real episode.
    """

    context: NDArray[np.uint8]
    actions: NDArray[np.int64]
    targets: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    backgrounds: NDArray[np.uint8]


def save_references(references: Iterable[Reference], folder: Path) -> None:
    """Write episodes.json, native.npy and stills.npy, frames of all episodes in a row."""
    kept = list(references)
    _save_frames([reference.native for reference in kept], folder / "native.npy")
    _save_frames([reference.stills for reference in kept], folder / "stills.npy")
    episodes = [
        {
            "emulator_seed": reference.key.emulator_seed,
            "num_noops": reference.key.num_noops,
            "action_codes": list(reference.action_codes),
            "offset": reference.offset,
            "num_valid_steps": reference.num_valid_steps,
            "num_stills": len(reference.stills),
        }
        for reference in kept
    ]
    (folder / "episodes.json").write_text(json.dumps(episodes) + "\n")


def load_references(folder: Path) -> list[Reference]:
    """Open references written by `save_references`; frames stay on disk until they are read."""
    native = np.load(folder / "native.npy", mmap_mode="r", allow_pickle=False)
    stills = np.load(folder / "stills.npy", mmap_mode="r", allow_pickle=False)
    references, row, still = [], 0, 0
    for episode in json.loads((folder / "episodes.json").read_text()):
        num_frames = CONTEXT_FRAMES + episode["num_valid_steps"]
        num_stills = episode["num_stills"]
        references.append(
            Reference(
                EpisodeKey(episode["emulator_seed"], episode["num_noops"]),
                tuple(episode["action_codes"]),
                episode["offset"],
                episode["num_valid_steps"],
                native[row : row + num_frames],
                stills[still : still + num_stills],
            )
        )
        row += num_frames
        still += num_stills
    return references


def _save_frames(parts: Sequence[NDArray[np.uint8]], path: Path) -> None:
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    row = 0
    for part in parts:
        out[row : row + len(part)] = part
        row += len(part)
    out.flush()


def view_references(
    references: Sequence[Reference], view: ViewConfig, codes: Sequence[int], horizon: int
) -> View:
    """Read references at an arm's crop and resolution.

    Args:
        references: The episodes.
        view: Crop and size.
        codes: The action set: position in it is the action index.
        horizon: Env steps after the context.

    Raises:
        ValueError: An episode has an action outside the action set.
    """
    num = len(references)
    shape = (view.height, view.width, 3)
    context = np.empty((num, CONTEXT_FRAMES, *shape), dtype=np.uint8)
    targets = np.zeros((num, horizon, *shape), dtype=np.uint8)
    actions = np.zeros((num, CONTEXT_FRAMES + horizon - 1), dtype=np.int64)
    valid = np.zeros((num, horizon), dtype=np.bool_)
    backgrounds = np.empty((num, *shape), dtype=np.uint8)
    index_of = {code: index for index, code in enumerate(codes)}
    for i, reference in enumerate(references):
        missing = set(reference.action_codes) - set(index_of)
        if missing:
            raise ValueError(
                f"references use the actions {sorted(missing)}, "
                f"not in the action set {tuple(codes)}"
            )
        seen = _seen(reference.native, view)
        backgrounds[i] = median_background(_seen(reference.stills, view))
        num_valid = min(horizon, reference.num_valid_steps)
        context[i] = seen[:CONTEXT_FRAMES]
        targets[i, :num_valid] = seen[CONTEXT_FRAMES : CONTEXT_FRAMES + num_valid]
        valid[i, :num_valid] = True
        last = reference.offset + CONTEXT_FRAMES + num_valid - 1
        window = reference.action_codes[reference.offset : last]
        actions[i, : len(window)] = [index_of[code] for code in window]
    return View(context, actions, targets, valid, backgrounds)


def _seen(frames: NDArray[np.uint8], view: ViewConfig) -> NDArray[np.uint8]:
    """Frames as an arm sees them; recorded ones may be of its own size already."""
    if frames.shape[1:3] == (view.height, view.width) != (SCREEN_HEIGHT, SCREEN_WIDTH):
        return frames
    return apply_view_all(frames, view)


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
