"""Imagining from held-out starts, pass after pass, so that what was interrupted goes on.

A pass is one trajectory of every start: the rollout, a further sample of it, or the rollout under
other actions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.config.run import CONTEXT_FRAMES
from diamond.config.scoring import Defect, SamplesConfig
from diamond.data.action_space import ActionArray
from diamond.data.counterfactuals import BranchView
from diamond.data.defects import shuffled, spoilt
from diamond.data.frame_files import write_stack
from diamond.data.reference_files import View
from diamond.engine.output_names import COUNTERFACTUAL_FILE, FRAMES_FILE, SAMPLES_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.training_checkpoint import Saved
from diamond.families import trees
from diamond.families.interface import WorldModel
from diamond.records import to_bytes, to_unit
from diamond.rng import KeyedNoise
from diamond.world.imagination import replay_actions

CHECKSUM = "frames_checksum"
"""Name in a checkpoint: CRC-32 of the frames imagined so far."""


MAP_SUFFIX = ".npy"
"""Of the memory map that becomes a file of deflated frames."""


@dataclass(frozen=True)
class Pass:
    """One trajectory of every start.

    Attributes:
        file: Where its frames go.
        sample: Number of the sample: its noise, and its place in the file of samples.
        actions: (starts, horizon) int64 or (starts, horizon, k) float32, those after the context.
    """

    file: str
    sample: int
    actions: ActionArray

    @property
    def num_steps(self) -> int:
        """Env steps of each trajectory."""
        return int(self.actions.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Starts, and env steps of each trajectory."""
        return len(self.actions), self.num_steps


@dataclass(frozen=True)
class Starts:
    """Real starts, and what is imagined from each.

    Attributes:
        passes: Each with as many trajectories as there are starts.
        first: Number of the first start: the noise of a start is that of its number.
    """

    world: WorldModel[Any]
    view: View
    passes: Sequence[Pass]
    first: int = 0


def passes_of(
    view: View,
    samples: SamplesConfig | None,
    others: BranchView | None,
    defect: Defect = "none",
) -> list[Pass]:
    """The passes of a rollouts stage in their order: the rollout first.

    Args:
        samples: How many samples over how many env steps; sample 0 is the rollout.
        others: The counterfactuals: other actions under the noise of sample 0.
        defect: Whether each start has the actions of another one.
    """
    recorded = shuffled(view.actions[:, CONTEXT_FRAMES - 1 :], defect)
    passes = [Pass(FRAMES_FILE, 0, recorded)]
    if samples is not None:
        near = recorded[:, : samples.horizon_steps]
        passes += [Pass(SAMPLES_FILE, index, near) for index in range(1, samples.num_samples)]
    if others is not None:
        passes.append(Pass(COUNTERFACTUAL_FILE, 0, shuffled(others.actions, defect)))
    return passes


def roll(
    context: StageContext, groups: Sequence[Starts], defect: Defect = "none"
) -> dict[str, float]:
    """Imagine every pass; writes the files that they name, uint8.

    Args:
        groups: From where, and what is imagined.
        defect: What is done to frames before they are stored; imagination goes on undisturbed.

    Returns:
        Timings of the stage: milliseconds a frame of one trajectory.
    """
    passes = [(group, one) for group in groups for one in group.passes]
    total = sum(one.num_steps for _, one in passes)
    saved = context.resume()
    out = _Frames(context, groups)
    done, checksum = out.resumable(saved)
    out.open("r+" if done else "w+")
    began_at = done
    device = context.device
    before = context.seconds()
    for group, one, first in out.remaining(done):
        start = _begin(group, device)
        state = start
        if first:
            assert saved is not None
            state = trees.with_tensors(
                start, {name: tensor.to(device) for name, tensor in saved.tensors.items()}
            )
        actions = torch.from_numpy(one.actions).to(device)
        starts = tuple(range(group.first, group.first + len(one.actions)))

        def noise_at(
            time_step: int, starts: tuple[int, ...] = starts, sample: int = one.sample
        ) -> KeyedNoise:
            return KeyedNoise(context.seed, starts, time_step, sample)

        for index, now, step in replay_actions(group.world, state, actions, noise_at, first):
            frames = to_bytes(step.frame).cpu().numpy()
            out.of(one)[:, index] = frames
            checksum = crc32(frames.tobytes(), checksum)
            done += 1
            context.progress(done, total, f"of {len(starts)} starts")
            if context.checkpoint_due():
                out.flush()
                state = trees.tensors(now) | {CHECKSUM: torch.tensor(checksum)}
                context.checkpoint(state, done, total)
    seconds = (context.seconds() - before) * total / max(1, total - began_at)
    out.finish(defect)
    return {"ms_per_frame": 1000 * seconds / sum(prod(one.size) for _, one in passes)}


def _begin(group: Starts, device: torch.device) -> Any:
    """The state after the real contexts."""
    view = group.view
    real = to_unit(torch.from_numpy(view.context)).to(device)
    actions = torch.from_numpy(view.actions[:, : CONTEXT_FRAMES - 1]).to(device)
    return group.world.start(real, actions, torch.from_numpy(view.padded).to(device))


class _Frames:
    """The frames of a stage, in memory maps until they are deflated at the end.

    Mutable: the maps are opened and written to.
    """

    def __init__(self, context: StageContext, groups: Sequence[Starts]) -> None:
        self._folder = context.folder
        self._passes = [(group, one) for group in groups for one in group.passes]
        self._last = {one.file: group.view.context[:, -1] for group, one in self._passes}
        frame_shape = groups[0].view.context.shape[2:]
        self._shapes = {
            one.file: (*one.size, *frame_shape)
            for _, one in self._passes
            if one.file != SAMPLES_FILE
        }
        samples = [one.size for _, one in self._passes if one.file == SAMPLES_FILE]
        if samples:
            num_starts, num_steps = samples[0]
            size = (num_starts, len(samples) + 1, num_steps, *frame_shape)
            self._shapes[SAMPLES_FILE] = size
        self._open: dict[str, NDArray[np.uint8]] = {}

    def open(self, mode: str) -> None:
        self._open = {
            name: np.lib.format.open_memmap(self._map(name), mode=mode, dtype=np.uint8, shape=shape)
            for name, shape in self._shapes.items()
        }

    def of(self, one: Pass) -> NDArray[np.uint8]:
        """Where the frames (starts, horizon, h, w, 3) of a pass belong."""
        frames = self._open[one.file]
        return frames[:, one.sample] if one.file == SAMPLES_FILE else frames

    def remaining(self, done: int) -> Iterator[tuple[Starts, Pass, int]]:
        """The passes that are not over after `done` time steps of all, and where each begins."""
        for group, one in self._passes:
            first = min(max(0, done), one.num_steps)
            done -= one.num_steps
            if first < one.num_steps:
                yield group, one, first

    def resumable(self, saved: Saved | None) -> tuple[int, int]:
        """Time steps done and their checksum; (0, 0) unless the frames are still as written."""
        if saved is None:
            return 0, 0
        try:
            found = {name: _read(self._map(name)) for name in self._shapes}
        except (FileNotFoundError, ValueError):
            return 0, 0
        if {name: frames.shape for name, frames in found.items()} != self._shapes:
            return 0, 0
        self._open = found
        done, checksum = int(saved.counters["done"]), 0
        left = done
        for _, one in self._passes:
            for index in range(min(max(0, left), one.num_steps)):
                checksum = crc32(self.of(one)[:, index].tobytes(), checksum)
            left -= one.num_steps
        return (done, checksum) if checksum == int(saved.tensors[CHECKSUM]) else (0, 0)

    def finish(self, defect: Defect) -> None:
        """Deflate the frames into the files of the stage. Sample 0 is the rollout."""
        if SAMPLES_FILE in self._open:
            samples = self._open[SAMPLES_FILE]
            samples[:, 0] = self._open[FRAMES_FILE][:, : samples.shape[2]]
        for name, frames in self._open.items():
            each = zip(frames, self._last[name], strict=True)
            write_stack(self._folder / name, (spoilt(one, last, defect) for one, last in each))
        for name in self._shapes:
            self._map(name).unlink()

    def _map(self, name: str) -> Path:
        """Where frames are while they are imagined."""
        return (self._folder / name).with_suffix(MAP_SUFFIX)

    def flush(self) -> None:
        """Bring the frames to the disk."""
        for frames in self._open.values():
            frames.flush()  # type: ignore[attr-defined]


def _read(path: Path) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return frames
