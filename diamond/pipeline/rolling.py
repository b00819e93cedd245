"""Imagining from held-out starts, pass after pass, so that what was interrupted goes on.

A pass is one trajectory of every start: the rollout, a further sample of it, or the rollout under
other actions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.config.run import CONTEXT_FRAMES, SamplesConfig
from diamond.data.counterfactuals import BranchView
from diamond.data.frame_files import write_stack
from diamond.data.references import View
from diamond.families import trees
from diamond.families.interface import S, WorldModel
from diamond.pipeline.checkpoint import Saved
from diamond.pipeline.context import StageContext
from diamond.pipeline.outputs import COUNTERFACTUAL_FILE, FRAMES_FILE, SAMPLES_FILE
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
        actions: (starts, horizon) int64 indices of the actions after the context.
    """

    file: str
    sample: int
    actions: NDArray[np.int64]

    @property
    def num_steps(self) -> int:
        """Env steps of each trajectory."""
        return int(self.actions.shape[1])


def passes_of(view: View, samples: SamplesConfig | None, others: BranchView | None) -> list[Pass]:
    """The passes of a rollouts stage in their order: the rollout first.

    Args:
        view: The references.
        samples: How many samples over how many env steps; sample 0 is the rollout.
        others: The counterfactuals: other actions under the noise of sample 0.
    """
    recorded = view.actions[:, CONTEXT_FRAMES - 1 :]
    passes = [Pass(FRAMES_FILE, 0, recorded)]
    if samples is not None:
        near = recorded[:, : samples.horizon_steps]
        passes += [Pass(SAMPLES_FILE, index, near) for index in range(1, samples.num_samples)]
    if others is not None:
        passes.append(Pass(COUNTERFACTUAL_FILE, 0, others.actions))
    return passes


def roll(
    context: StageContext,
    world: WorldModel[S],
    view: View,
    passes: Sequence[Pass],
    first_start: int = 0,
) -> dict[str, float]:
    """Imagine every pass; writes the files that they name, uint8.

    Args:
        context: The stage.
        world: The world model.
        view: The references.
        passes: What is imagined.
        first_start: Number of the first start: the noise of a start is that of its number.

    Returns:
        Timings of the stage: milliseconds a frame of one trajectory.
    """
    num_starts, total = len(view.context), sum(one.num_steps for one in passes)
    saved = context.resume()
    out = _Frames(context, view.context.shape[2:], passes)
    done, checksum = out.resumable(saved)
    out.open("r+" if done else "w+")
    began_at = done
    device, starts = context.device, tuple(range(first_start, first_start + num_starts))
    real = to_unit(torch.from_numpy(view.context)).to(device)
    context_actions = torch.from_numpy(view.actions[:, : CONTEXT_FRAMES - 1]).to(device)
    start = world.start(real, context_actions, torch.from_numpy(view.padded).to(device))
    before = context.seconds()
    for one, first in out.remaining(done):
        state = start
        if first:
            assert saved is not None
            state = trees.with_tensors(
                start, {name: tensor.to(device) for name, tensor in saved.tensors.items()}
            )
        actions = torch.from_numpy(one.actions).to(device)

        def noise_at(time_step: int, sample: int = one.sample) -> KeyedNoise:
            return KeyedNoise(context.seed, starts, time_step, sample)

        for index, now, step in replay_actions(world, state, actions, noise_at, first):
            frames = to_bytes(step.frame).cpu().numpy()
            out.of(one)[:, index] = frames
            checksum = crc32(frames.tobytes(), checksum)
            done += 1
            context.progress(done, total, f"{num_starts} starts")
            if context.checkpoint_due():
                out.flush()
                context.checkpoint(trees.tensors(now) | {CHECKSUM: torch.tensor(checksum)}, done)
    out.finish()
    seconds = (context.seconds() - before) * total / max(1, total - began_at)
    return {"ms_per_frame": 1000 * seconds / (num_starts * total)}


class _Frames:
    """The frames of a stage, in memory maps until they are deflated at the end.

    Mutable: the maps are opened and written to.
    """

    def __init__(
        self, context: StageContext, frame_shape: tuple[int, ...], passes: Sequence[Pass]
    ) -> None:
        self._folder = context.folder
        self._passes = passes
        num_starts = len(passes[0].actions)
        self._shapes = {
            one.file: (num_starts, one.num_steps, *frame_shape)
            for one in passes
            if one.file != SAMPLES_FILE
        }
        samples = [one for one in passes if one.file == SAMPLES_FILE]
        if samples:
            size = (num_starts, len(samples) + 1, samples[0].num_steps, *frame_shape)
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

    def remaining(self, done: int) -> Iterator[tuple[Pass, int]]:
        """The passes that are not over after `done` time steps of all, and where each begins."""
        for one in self._passes:
            first = min(max(0, done), one.num_steps)
            done -= one.num_steps
            if first < one.num_steps:
                yield one, first

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
        for one in self._passes:
            for index in range(min(max(0, left), one.num_steps)):
                checksum = crc32(self.of(one)[:, index].tobytes(), checksum)
            left -= one.num_steps
        return (done, checksum) if checksum == int(saved.tensors[CHECKSUM]) else (0, 0)

    def finish(self) -> None:
        """Deflate the frames into the files of the stage. Sample 0 is the rollout."""
        if SAMPLES_FILE in self._open:
            samples = self._open[SAMPLES_FILE]
            samples[:, 0] = self._open[FRAMES_FILE][:, : samples.shape[2]]
        for name, frames in self._open.items():
            write_stack(self._folder / name, frames)
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
