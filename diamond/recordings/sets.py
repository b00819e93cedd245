"""What stages read of a recording: the training set, and held-out references."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from diamond.config.environments import Environment, RecordingConfig
from diamond.config.recorded import ContinuousActions, Window, plan_facts
from diamond.config.recording import ReferencesConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ActionSpace
from diamond.data.collect import STILL_STRIDE, Progress, silent
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import Reference, view_recorded
from diamond.envs.open_game import action_codes
from diamond.envs.real_game import EpisodeKey
from diamond.recordings.recording_files import StoredPart, StoredRecording, open_recording

CHUNK_FRAMES = 256
"""Native frames in memory at a time."""
NO_EMULATOR_SEED = -1
"""Of the first held-out part, which no emulator can play again; the next ones count down."""


def action_space(recording: StoredRecording) -> ActionSpace:
    """The actions of a recording: indices, or numbers with the ranges that it has."""
    actions = recording.record.actions
    if isinstance(actions, ContinuousActions):
        return ActionSpace(low=actions.low, high=actions.high)
    return ActionSpace(tuple(range(len(actions.names))))


def played_actions(home: Path, game: str, environment: Environment) -> ActionSpace:
    """The actions of a game, or of the recording that stands in its place.

    Raises:
        StoreError: The home does not have the recording, or it is damaged.
    """
    if isinstance(environment, RecordingConfig):
        return action_space(open_recording(home, str(environment.digest)))
    return ActionSpace(action_codes(game, environment))


def frame_set(
    recording: StoredRecording,
    view: ViewConfig,
    num_frames: int,
    *,
    held_out: bool = False,
    pads_starts: bool = True,
    progress: Progress = silent,
) -> FrameSet:
    """The first frames of the parts that are trained on, or of the held-out ones.

    Args:
        view: Crop and size; of frames that have this size already nothing is cropped.
        num_frames: Frames at most; the last episode is cut where the set is full.
        held_out: Which parts.
        pads_starts: As in `FrameSet`.
        progress: Told (frames read, frames wanted).

    Raises:
        StoreError: The recording is damaged.
    """
    parts = [part for part in recording.parts if part.held_out == held_out]
    total = min(num_frames, sum(part.num_frames for part in parts))
    space = action_space(recording)
    frames = np.empty((total, view.height, view.width, 3), dtype=np.uint8)
    actions = space.nothing(total)
    rewards, ends = np.zeros(total, dtype=np.float32), np.zeros(total, dtype=np.uint8)
    bounds = [0]
    for part in parts:
        first, end = bounds[-1], min(total, bounds[-1] + part.num_frames)
        if first == end:
            break
        for row in range(first, end, CHUNK_FRAMES):
            last = min(end, row + CHUNK_FRAMES)
            frames[row:last] = view_recorded(part.frames(row - first, last - first), view)
            progress(last, total)
        rows, steps = slice(first, end - 1), slice(0, end - 1 - first)
        actions[rows] = space.encode(part.actions[steps].tolist())
        if part.rewards is not None and part.ends is not None:
            rewards[rows], ends[rows] = part.rewards[steps], part.ends[steps]
        bounds.append(end)
    edges = np.asarray(bounds, dtype=np.int64)
    return FrameSet(frames, actions, rewards, ends, edges, pads_starts)


def recorded_references(
    recording: StoredRecording,
    config: ReferencesConfig,
    codes: Sequence[int] | None,
    progress: Progress = silent,
) -> Iterator[Reference]:
    """The held-out starts of a recording; see `RecordedFrames.windows`.

    Args:
        config: How many starts from which number on, and the horizon.
        codes: The game's code of every discrete action, where the recording is of a game.
        progress: Told (starts read, starts wanted).

    Raises:
        StoreError: The recording is damaged.
    """
    parts = [part for part in recording.parts if part.held_out]
    windows = plan_facts(recording.record).windows(config.horizon_steps)
    chosen = windows[config.first_start :][: config.num_starts]
    for done, window in enumerate(chosen):
        yield _reference(parts[window.part], window, codes)
        progress(done + 1, len(chosen))


def _reference(part: StoredPart, window: Window, codes: Sequence[int] | None) -> Reference:
    first, end = window.first, window.first + window.num_frames
    native = part.frames(first, end)
    padded = CONTEXT_FRAMES - window.num_context
    ends_here = part.ends is not None and end < part.num_frames and bool(part.ends[end - 1])
    rows = slice(first, end if ends_here else end - 1)
    taken = part.actions[rows].tolist()
    return Reference(
        EpisodeKey(NO_EMULATOR_SEED - window.part, 0),
        tuple(map(tuple, taken)) if part.actions.ndim == 2 else _codes(taken, codes),
        -padded,
        window.num_frames - window.num_context,
        np.concatenate([np.repeat(native[:1], padded, axis=0), native]),
        native[::STILL_STRIDE],
        rewards=None
        if part.rewards is None or part.ends is None
        else tuple(map(float, part.rewards[rows])),
        final=part.frames(end, end + 1) if ends_here else native[:0],
    )


def _codes(actions: Sequence[int], codes: Sequence[int] | None) -> tuple[int, ...]:
    return tuple(actions) if codes is None else tuple(codes[action] for action in actions)
