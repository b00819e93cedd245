"""Real frames that a home keeps, in stages and in recordings, as episodes to be written out.

Frames are decoded when they are asked for.
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
from diamond.data.reference_files import Reference, load_references
from diamond.recordings.episodes import RecordedEpisode
from diamond.recordings.recording_files import StoredPart, StoredRecording

ROWS = ("actions", "rewards", "ends")
Origin = Mapping[str, int | str]
"""Where an episode comes from: numbers and words by name."""


@dataclass(frozen=True)
class KeptEpisodes:
    """The episodes of a stage or of a recording.

    Attributes:
        episodes: Of two frames or more each; the order of their names is theirs.
        origins: What is known of where each comes from.
        num_single: Episodes of one frame, which no action leads to or from; they are not among the
            others.
    """

    episodes: tuple[RecordedEpisode, ...]
    origins: tuple[Origin, ...]
    num_single: int = 0


def training_episodes(folder: Path, frame_rate: float) -> KeptEpisodes:
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
    return KeptEpisodes(tuple(found), ({},) * len(found), len(names) - len(found))


def held_out_episodes(folder: Path, codes: Sequence[int], frame_rate: float) -> KeptEpisodes:
    """The references of a game in a folder: context, what followed, and the frame after the end.

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
    return KeptEpisodes(episodes, tuple(map(_origin, references)))


def recording_episodes(recording: StoredRecording) -> KeptEpisodes:
    """The parts of a recording, the held-out ones among them."""
    parts = recording.parts
    names = _names(len(parts))
    found = [
        RecordedEpisode(
            name,
            part.num_frames,
            _stored_reader(part),
            part.actions,
            part.rewards,
            part.ends,
            recording.record.frame_rate,
        )
        for name, part in zip(names, parts, strict=True)
        if part.num_frames > 1
    ]
    origins = [
        {"recorded_as": part.name, "part": "held out" if part.held_out else "training"}
        for part in parts
        if part.num_frames > 1
    ]
    return KeptEpisodes(tuple(found), tuple(origins), len(parts) - len(found))


def _stored_reader(part: StoredPart) -> Callable[[], Iterator[ByteArray]]:
    """Reads a part frame by frame."""
    return lambda: (part.frames(n, n + 1)[0] for n in range(part.num_frames))


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
    ends = np.zeros(num_frames - 1, dtype=np.bool_)
    ends[-1] = len(final) > 0
    frames = _reader(reference.native, padded, final)
    return RecordedEpisode(name, num_frames, frames, actions, rewards, ends, frame_rate)


def _origin(reference: Reference) -> Origin:
    """What the game was started with, and how far it was played before the first frame."""
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
