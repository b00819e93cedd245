"""Real frames that stages of a home hold, as episodes of a recording.

Frames are decoded when they are asked for; one episode at a time is in memory.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from diamond.arrays import ByteArray
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.dataset import FRAMES_FILE
from diamond.data.frame_files import Frames, StoredFrames
from diamond.data.reference_files import Reference, is_recorded, load_references
from diamond.recordings.episodes import RecordedEpisode

ROWS = ("actions", "rewards", "ends")


@dataclass(frozen=True)
class StageEpisodes:
    """The episodes of a stage.

    Attributes:
        episodes: At least two frames each.
        origins: What is known of where each comes from, by name; one for each episode.
        num_single: Episodes of one frame, which no action leads to or from; they are not among the
            others.
    """

    episodes: tuple[RecordedEpisode, ...]
    origins: tuple[Mapping[str, int], ...]
    num_single: int = 0


def training_episodes(folder: Path, frame_rate: float) -> StageEpisodes:
    """The episodes of a set that `FrameSet.save` wrote; a lost life ends one.

    Args:
        folder: Of the set.
        frame_rate: Env steps in a second of play.
    """
    bounds = json.loads((folder / "episodes.json").read_text())["bounds"]
    rows = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ROWS}
    names = _names(len(bounds) - 1)
    found = []
    for number, (first, end) in enumerate(pairwise(bounds)):
        steps = slice(first, end - 1)
        if end - first > 1:
            episode = RecordedEpisode(
                names[number],
                end - first,
                _reader(StoredFrames(folder / FRAMES_FILE, number)),
                rows["actions"][steps],
                rows["rewards"][steps],
                rows["ends"][steps].astype(np.bool_),
                frame_rate,
            )
            found.append(episode)
    return StageEpisodes(tuple(found), ({},) * len(found), len(names) - len(found))


def held_out_episodes(folder: Path, codes: Sequence[int], frame_rate: float) -> StageEpisodes:
    """The references of a folder: context, what followed, and the frame after the end.

    Frames that only pad a context are left out.

    Args:
        folder: Where `save_references` wrote.
        codes: The action set: position in it is the action index.
        frame_rate: Env steps in a second of play.
    """
    references = load_references(folder)
    index_of = {code: index for index, code in enumerate(codes)}
    names = _names(len(references))
    episodes = tuple(
        _held_out(name, reference, index_of, frame_rate)
        for name, reference in zip(names, references, strict=True)
    )
    return StageEpisodes(episodes, tuple(map(_origin, references)))


def _held_out(
    name: str, reference: Reference, index_of: Mapping[int, int], frame_rate: float
) -> RecordedEpisode:
    padded, final = reference.num_padded, np.asarray(reference.final)
    num_frames = CONTEXT_FRAMES - padded + reference.num_valid_steps + len(final)
    first = max(0, reference.offset)
    steps = slice(first, first + num_frames - 1)
    actions = np.array([index_of[code] for code in reference.action_codes[steps]], dtype=np.int64)
    rewards = None
    if reference.rewards is not None:
        rewards = np.array(reference.rewards[steps], dtype=np.float32)
    ends = None
    if not is_recorded([reference]):
        ends = np.zeros(num_frames - 1, dtype=np.bool_)
        ends[-1] = len(final) > 0
    frames = _reader(reference.native, padded, final)
    return RecordedEpisode(name, num_frames, frames, actions, rewards, ends, frame_rate)


def _origin(reference: Reference) -> Mapping[str, int]:
    """What the game was started with, and how far it was played before the first frame."""
    if is_recorded([reference]):
        return {}
    return {
        "emulator_seed": reference.key.emulator_seed,
        "num_noops": reference.key.num_noops,
        "first_env_step": max(0, reference.offset),
    }


def _reader(
    stored: Frames, first: int = 0, more: ByteArray | None = None
) -> Callable[[], Iterator[ByteArray]]:
    return lambda: chain(np.asarray(stored)[first:], () if more is None else more)


def _names(number: int) -> list[str]:
    """Names of episodes whose order is that of their letters."""
    width = len(str(max(0, number - 1)))
    return [f"episode-{index:0{width}d}" for index in range(number)]
