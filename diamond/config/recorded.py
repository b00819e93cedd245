"""What `diamond import-frames` found in a recording, by value; a plan reads it."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from diamond.config.base import Record
from diamond.config.recording import Digest
from diamond.config.run import CONTEXT_FRAMES

SHORT_PART_FRAMES = 24
"""Fewer frames have no room for a whole context and a few steps after it."""
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
    ended: bool = Field(default=False, description="whether its last action ended the game")


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


class RecordedFrames(Record):
    """What a plan has to know of a recording; the request of a study keeps it.

    A plan is laid out again where the recording is not.
    """

    name: str
    digest: Digest
    height: int
    width: int
    num_actions: int = Field(ge=0, description="discrete actions; 0 of continuous ones")
    rewards: bool = Field(description="whether it says both rewards and ends")
    training: tuple[int, ...] = Field(description="frames of each part that is trained on")
    held_out: tuple[int, ...] = Field(
        description="frames of each held-out part, without the one after an end"
    )

    @property
    def longest_horizon(self) -> int:
        """Most env steps that any held-out start has after it."""
        return max((num - _num_context(num) for num in self.held_out), default=0)

    def windows(self, horizon: int) -> tuple["Window", ...]:
        """The held-out starts that there are: context and horizon end to end in every part.

        The first ones of all parts come before the second ones. The last one of a part may be
        shorter than the horizon. Half of a part of fewer than 24 frames is its context.

        Args:
            horizon: Env steps after a start.
        """
        found = []
        for part, num_frames in enumerate(self.held_out):
            real = _num_context(num_frames)
            if real:
                found.append(Window(part, 0, min(real + horizon, num_frames), real))
            stride = CONTEXT_FRAMES + horizon
            found += [
                Window(part, first, min(stride, num_frames - first), CONTEXT_FRAMES)
                for first in range(real + horizon, num_frames - CONTEXT_FRAMES, stride)
            ]
        return tuple(sorted(found, key=lambda one: (one.first, one.part)))


class Window(NamedTuple):
    """A held-out start, as frames of a part.

    Attributes:
        part: Number among the held-out parts.
        first: Its first frame in the part.
        num_frames: Its frames, the context among them.
        num_context: Those of the context, at most 16; others are padded in front.
    """

    part: int
    first: int
    num_frames: int
    num_context: int


def _num_context(num_frames: int) -> int:
    return CONTEXT_FRAMES if num_frames >= SHORT_PART_FRAMES else num_frames // 2


def plan_facts(recording: Recording) -> RecordedFrames:
    """What a plan has to know of a recording."""
    actions, parts = recording.actions, recording.parts
    return RecordedFrames(
        name=recording.name,
        digest=recording.digest,
        height=recording.height,
        width=recording.width,
        num_actions=len(actions.names) if actions.kind == "discrete" else 0,
        rewards=recording.rewards and recording.ends,
        training=tuple(one.num_frames for one in parts if not one.held_out),
        held_out=tuple(one.num_frames - one.ended for one in parts if one.held_out),
    )


def recording_folder(home: Path, name: str) -> Path:
    """Where a home keeps a recording."""
    return home / RECORDINGS_FOLDER / name
