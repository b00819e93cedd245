"""Recorded episodes of the user's own that take the place of the emulator's references."""

import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.collect import STILL_STRIDE
from diamond.data.reference_files import Reference, save_references
from diamond.data.trajectory_files import FRAMES_NAME, natural, read_array
from diamond.envs.real_game import EpisodeKey, GameEnv
from diamond.errors import RequestError, StoreError
from diamond.weights.checkpoint_folders import new_folder

FLAG = "--frames"
ACTIONS_NAME = "actions"
FORM = (
    f"an .npz file for each episode, with {FRAMES_NAME!r} (t, h, w, 3) uint8 and {ACTIONS_NAME!r} "
    "(t,) integers: action i, an index into the model's actions, leads from frame i to frame i + 1"
)
NO_EMULATOR_SEED = -1
"""Of the first episode that no emulator can play again; the next ones count down."""


def keep_recorded(
    folder: Path, env: GameEnv, view: ViewConfig, starts: int | None, home: Path
) -> tuple[str, int]:
    """Check recorded episodes and copy them into a home, where the references stage finds them.

    One start in each episode: its first 16 frames are the context, the others are scored.

    Args:
        folder: A folder of files of the form `FORM`, used in natural order of their names.
        env: The game, for its action codes and the size of its screen.
        view: What the model sees of the screen.
        starts: Episodes to use, None for all.
        home: Folder for everything that runs make.

    Returns:
        The digest of the episodes, which names them in the home, and their number.

    Raises:
        RequestError: An episode is not of that form, too short, of another size, or has an action
            that the model does not know.
        StoreError: The home cannot be written.
    """
    paths = _files(folder)
    if starts is not None and starts > len(paths):
        raise RequestError(
            f"--starts {starts}: {FLAG} {str(folder)!r} has {len(paths)} episodes, one start in "
            "each\n  leave --starts out to use all"
        )
    references = [_reference(path, index, env, view) for index, path in enumerate(paths[:starts])]
    shapes = {np.shape(reference.native)[1:] for reference in references}
    if len(shapes) > 1:
        raise RequestError(f"{FLAG} {str(folder)!r} has episodes of different sizes: {shapes}")
    hasher = sha256()
    for reference in references:
        frames = np.ascontiguousarray(reference.native)
        hasher.update(repr((frames.shape, reference.action_codes)).encode())
        hasher.update(frames.data)
    digest = hasher.hexdigest()
    target = recorded_folder(home, digest)
    if not target.is_dir():
        with new_folder(target, "give a home that can be written with --home") as whole:
            save_references(references, whole)
            whole.rename(target)
    return digest, len(references)


def recorded_folder(home: Path, digest: str) -> Path:
    """Where a home keeps recorded episodes, by their digest."""
    return home / "recorded" / digest


def take_recorded(home: Path, digest: str, folder: Path) -> None:
    """Copy the recorded episodes of a home into the folder of a references stage.

    Raises:
        StoreError: The home does not have them.
    """
    source = recorded_folder(home, digest)
    if not source.is_dir():
        raise StoreError(
            f"the recorded episodes {str(source)!r} are missing\n"
            f"  run the command with {FLAG} again: it puts them back"
        )
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RequestError(f"{FLAG} {str(folder)!r}: there is no such folder\n  give {FORM}")
    entries = natural(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    others = [entry.name for entry in entries if entry.suffix.lower() != ".npz"]
    if others or not entries:
        told = f"holds {others[0]!r}" if others else "is empty"
        raise RequestError(f"{FLAG} {str(folder)!r} {told}\n  give {FORM}")
    return entries


def _reference(path: Path, index: int, env: GameEnv, view: ViewConfig) -> Reference:
    where, codes = f"{FLAG} {str(path)!r}", env.action_codes
    frames, actions = read_array(path, FLAG), read_array(path, FLAG, ACTIONS_NAME)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise RequestError(
            f"{where}: {FRAMES_NAME!r} is {frames.dtype} {frames.shape}\n  give {FORM}"
        )
    if actions.shape != frames.shape[:1] or not np.issubdtype(actions.dtype, np.integer):
        raise RequestError(
            f"{where}: {ACTIONS_NAME!r} is {actions.dtype} {actions.shape}, there are "
            f"{len(frames)} frames\n  give {FORM}"
        )
    if len(frames) <= CONTEXT_FRAMES:
        raise RequestError(
            f"{where} has {len(frames)} frames\n  allowed: {CONTEXT_FRAMES + 1} or more, the first "
            f"{CONTEXT_FRAMES} are context and not scored"
        )
    sizes = (env.native_size, (view.height, view.width))
    if frames.shape[1:3] not in sizes:
        allowed = " or ".join(f"{height} x {width}" for height, width in dict.fromkeys(sizes))
        raise RequestError(
            f"{where} has frames of {frames.shape[1]} x {frames.shape[2]} pixels\n"
            f"  allowed: {allowed}: the whole screen, or what the model sees; nothing else is "
            "resized"
        )
    wrong = actions[(actions < 0) | (actions >= len(codes))]
    if wrong.size:
        raise RequestError(
            f"{where} has the action {int(wrong[0])}\n"
            f"  allowed: 0 to {len(codes) - 1}, the {len(codes)} actions of the model"
        )
    return Reference(
        EpisodeKey(NO_EMULATOR_SEED - index, 0),
        _codes(actions[:-1], codes),
        0,
        len(frames) - CONTEXT_FRAMES,
        frames,
        frames[::STILL_STRIDE],
        rewards=None,
        final=frames[:0],
    )


def _codes(actions: NDArray[np.integer], codes: Sequence[int]) -> tuple[int, ...]:
    return tuple(codes[int(action)] for action in actions)
