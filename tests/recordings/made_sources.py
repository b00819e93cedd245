"""Recordings in memory: a square that actions move, in episodes of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diamond.arrays import BoolArray, ByteArray, IntArray
from diamond.config.recorded import RecordedFrames, Recording
from diamond.recordings.episodes import RecordedEpisode, Source
from diamond.recordings.examined import Wanted, examine
from diamond.recordings.writing import write_recording

SIZE = 32
MOVES = ((0, 0), (0, 2), (0, -2), (2, 0), (-2, 0))
NAMES = ("stay", "right", "left", "down", "up")


@dataclass(frozen=True)
class Moved:
    """Frames (t, 32, 32, 3) and the actions (t - 1,) between them."""

    frames: ByteArray
    actions: IntArray


def moved(seed: int, num_frames: int, max_hold: int = 8) -> Moved:
    """A square on a ring that follows random held actions, on a ground of noise that stays."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
    frames = np.repeat(ground[None], num_frames, axis=0)
    place = rng.integers(0, SIZE, 2)
    held: list[int] = []
    while len(held) < num_frames - 1:
        held += [int(rng.integers(len(MOVES)))] * int(rng.integers(1, max_hold + 1))
    actions = np.array(held[: num_frames - 1], dtype=np.int64)
    for t in range(num_frames):
        rows, columns = ((place[axis] + np.arange(6)) % SIZE for axis in (0, 1))
        frames[t][np.ix_(rows, columns)] = (200, 120, 40)
        if t < num_frames - 1:
            place = (place + MOVES[actions[t]]) % SIZE
    return Moved(frames, actions)


def episode(
    name: str, one: Moved, ends: BoolArray | None = None, rewarded: bool = True
) -> RecordedEpisode:
    """An episode of a source; its rewards count the actions."""
    rewards = np.arange(len(one.actions), dtype=np.float32) if rewarded else None
    return RecordedEpisode(
        name, len(one.frames), lambda: iter(one.frames), one.actions, rewards, ends
    )


def source(lengths: Sequence[int] = (20, 24, 30), kind: str = "npz") -> Source:
    """Episodes of given lengths, each with its rewards and an end."""
    made = []
    for seed, length in enumerate(lengths):
        ends = np.zeros(length - 1, dtype=np.bool_)
        ends[-1] = True
        made.append(episode(f"e{seed}", moved(seed, length), ends))
    return Source(kind, tuple(made), NAMES)


def keep(given: Source, home: Path, name: str = "mine", hold_out: str = "0.5") -> Recording:
    """Keep a source in a home."""
    found = examine(given, Wanted(name, "files", hold_out))
    write_recording(found.prepared, found.recording, home)
    return found.recording


def facts(**changed: Any) -> RecordedFrames:
    """What a plan knows of a recording that is nowhere."""
    known: dict[str, Any] = {
        "name": "mine",
        "digest": "0" * 64,
        "height": 210,
        "width": 160,
        "num_actions": 4,
        "rewards": True,
        "training": (150, 150, 100),
        "held_out": (150, 40, 12),
    }
    return RecordedFrames.model_validate(known | changed)
