"""What `diamond import-frames` found in a recording, by value; a plan reads it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.config.recording import Digest

RECORDINGS_FOLDER = "recordings"
"""In a home: a folder for each recording, by its name."""
RECORDING_FILE = "recording.json"


class DiscreteActions(Record):
    """One of several actions leads from each frame to the next."""

    kind: Literal["discrete"] = "discrete"
    names: tuple[str, ...] = Field(min_length=1, description="a word for each action")
    counts: tuple[int, ...] = Field(description="how often each was taken")


class ContinuousActions(Record):
    """Several numbers lead from each frame to the next."""

    kind: Literal["continuous"] = "continuous"
    names: tuple[str, ...] = Field(min_length=1, description="a word for each number")
    low: tuple[float, ...] = Field(description="the lowest value of each number")
    high: tuple[float, ...] = Field(description="the highest value of each number")


ActionsField = Annotated[DiscreteActions | ContinuousActions, Field(discriminator="kind")]


class RecordedPart(Record):
    """An episode of a recording, or a piece of one that was cut at the split."""

    name: str
    num_frames: int = Field(ge=1)
    held_out: bool = Field(description="no world model is trained on it: arms are scored on it")


class Alignment(Record):
    """How well frames and actions fit, by the lag between them."""

    lag: int = Field(description="env steps at which they fit; 0: action i leads to frame i+1")
    lags: tuple[int, ...]
    scores: tuple[float, ...] = Field(
        description="for each lag, how the change from frame i to frame i+1 and action i+lag go "
        "together, beyond what the actions around it say: a correlation on held-out pairs, 0: not"
    )
    told: bool = Field(description="whether that lag is surely ahead of chance and of later lags")


class Recording(Record):
    """A recording in a home."""

    name: str
    digest: Digest = Field(
        description="SHA-256 of frames, actions, rewards, ends and split: what makes a result"
    )
    source: str = Field(description="where it came from, as the user wrote it")
    kind: str = Field(description="npz, npy, hdf5, minari, video, png")
    height: int = Field(ge=1, description="rows of a frame, pixels")
    width: int = Field(ge=1, description="columns of a frame, pixels")
    frame_rate: float | None = Field(description="frames a second, null where the files do not say")
    parts: tuple[RecordedPart, ...] = Field(min_length=1)
    split: str = Field(description="how held-out episodes were chosen, in words")
    actions: ActionsField
    rewards: bool = Field(description="whether every action has a reward")
    ends: bool = Field(description="whether it is known which action ended the game")
    shift: int = Field(description="env steps by which the actions were moved on import")
    alignment: Alignment | None
    remarks: tuple[str, ...] = Field(description="what a reader of results must know of the files")


def recording_folder(home: Path, name: str) -> Path:
    """Where a home keeps a recording."""
    return home / RECORDINGS_FOLDER / name
