"""Where imagined games begin: after real frames, recorded now or before."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import torch

from diamond.config.checkpoint_record import Checkpoint
from diamond.config.environments import RecordingConfig
from diamond.config.presets import paper
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet
from diamond.data.segments import SegmentSampler, draw_starts
from diamond.errors import RequestError
from diamond.part import Extent
from diamond.records import RealStarts

NUM_FRAMES = 2000
"""Real frames that are recorded when none are given."""
DATA_SEED = 0

Starts = Callable[[int, torch.Generator], RealStarts]
"""Draws so many real starts."""


@dataclass(frozen=True)
class RecordedStarts:
    """Uniform draws from recorded frames.

    Attributes:
        segments: Of as many real env steps as a start has frames.
    """

    segments: SegmentSampler
    device: torch.device

    def __call__(self, num: int, generator: torch.Generator) -> RealStarts:
        """Draw starts with a CPU generator; see `Starts`."""
        return draw_starts(self.segments, num, generator).to(self.device)


def starts_of_checkpoint(
    agent: Checkpoint, history: int, frames: Path | None, device: torch.device
) -> RecordedStarts:
    """Uniform draws of as many consecutive real frames as the agent was warmed up with.

    Args:
        agent: Its game, view, action set and burn-in.
        history: Frames that its world model starts from at least.
        frames: Folder with the outputs of a `frames` stage; None records `NUM_FRAMES` frames of
            the game with the presets' collector, the same ones every time.

    Raises:
        RequestError: The folder holds no frames, damaged ones, or those of another view.
    """
    dataset = _record(agent) if frames is None else _load(agent, frames)
    num_frames = max(history, agent.policy.burn_in_frames)
    return RecordedStarts(SegmentSampler(dataset, Extent(num_frames)), device)


def _record(agent: Checkpoint) -> FrameSet:
    if isinstance(agent.environment, RecordingConfig):
        raise RequestError(
            f"the checkpoint was trained on {agent.game}, a recording: there is no game to start "
            "in\n  give starts=, the folder of its `frames` stage: mlruns/stages/frames/<key>"
        )
    config = paper(agent.game).frames.model_copy(update={"num_frames": NUM_FRAMES})
    return collect_frames(agent.game, agent.environment, agent.view, config, DATA_SEED)


def _load(agent: Checkpoint, folder: Path) -> FrameSet:
    how = "give the folder of a `frames` stage, mlruns/stages/frames/<key>, of the same game"
    try:
        _check_digests(folder)
        dataset = FrameSet.load(folder)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(
            f"there are no recorded frames in {str(folder)!r}: {error}\n  {how}"
        ) from error
    seen = dataset.frames.shape[1:3]
    if seen != (agent.view.height, agent.view.width):
        raise RequestError(
            f"the frames in {str(folder)!r} are {seen[0]} x {seen[1]}, "
            f"the checkpoint's {agent.view.height} x {agent.view.width}\n  {how}"
        )
    if dataset.actions.ndim > 1:
        raise RequestError(
            f"an action of the frames in {str(folder)!r} is {dataset.actions.shape[1]} numbers, "
            f"the checkpoint knows {agent.weights.num_actions} actions\n  {how}"
        )
    if dataset.actions.max() >= agent.weights.num_actions:
        raise RequestError(
            f"the frames in {str(folder)!r} know action {dataset.actions.max()}, "
            f"the checkpoint {agent.weights.num_actions} actions\n  {how}"
        )
    return dataset


def _check_digests(folder: Path) -> None:
    """Refuse outputs that are not as their stage wrote them; a folder of one's own has no digests.

    Raises:
        OSError: A file is missing.
        ValueError: A file differs from its digest, or the manifest is no JSON.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return
    for name, expected in json.loads(manifest.read_text())["outputs"].items():
        with (folder / name).open("rb") as stream:
            if file_digest(stream, "sha256").hexdigest() != expected:
                raise ValueError(f"{name} differs from its digest, run the study again")
