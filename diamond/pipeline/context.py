"""What a stage is given.

Folders, config, seed, and where to report progress, events and checkpoints.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diamond.pipeline.arithmetic import compile_network
from diamond.pipeline.checkpoint import Saved, load_checkpoint, save_checkpoint
from diamond.pipeline.devices import named_device
from diamond.pipeline.files import read_json
from diamond.pipeline.store import StageResult
from diamond.tracking.events import EventLog

CHECKPOINT_SECONDS = 20.0
Progress = Callable[[int, int, str], None]
"""Told units done, units in all, and a note such as the current loss."""


@dataclass
class StageContext:
    """One stage at work. Mutable: it keeps the clock of its checkpoints.

    Attributes:
        folder: Where outputs go.
        config: The stage's own config section, plain data.
        upstream: Folder per stage that is read.
        seed: Data seed or run seed.
        device: Where tensors live.
        progress: Progress of the stage.
        checkpoint_seconds: Least time between checkpoints.
        compiled: Whether torch compiles the networks of the world model.
    """

    folder: Path
    config: Mapping[str, Any]
    upstream: Mapping[str, Path]
    seed: int
    device: torch.device
    progress: Progress
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    compiled: bool = False
    events: EventLog = field(init=False)
    _began: float = field(init=False)
    _last: float = field(init=False)
    _before: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Start the clock and open the event log."""
        self.events = EventLog(self.folder / "events.jsonl")
        self._began = self._last = time.monotonic()

    @property
    def device_name(self) -> str:
        """What the stage runs on, as its manifest names it."""
        return named_device(str(self.device), self.compiled)

    def make_fast(self, *networks: nn.Module, trains: bool) -> None:
        """Compile networks of the world model where the workers are told to.

        Args:
            networks: On the stage's device.
            trains: Whether they are trained, or imagine alone.
        """
        if self.compiled:
            for network in networks:
                compile_network(network, trains)

    @property
    def home(self) -> Path:
        """The home that the stage is kept in."""
        return self.folder.parents[2]

    def upstream_folder(self, stage: str) -> Path:
        """The folder of a trained network that is read: a stage's own, or a part of an agent."""
        return self.upstream[stage] if stage in self.upstream else self.upstream["agent"] / stage

    def upstream_config(self, stage: str) -> dict[str, Any]:
        """The config section of a stage that is read; an agent's holds those of its parts."""
        owner = stage if stage in self.upstream else "agent"
        manifest = read_json(self.upstream[owner] / "manifest.json")
        config: dict[str, Any] = manifest["config"]
        return config

    def resume(self) -> Saved | None:
        """The state to continue from, or None; events after it are cut off."""
        saved = load_checkpoint(self.folder)
        self.events.truncate(0 if saved is None else int(saved.counters["event_bytes"]))
        if saved is not None:
            self._before = float(saved.counters["seconds"])
        return saved

    def begin_after(self, lines: bytes, seconds: float) -> None:
        """Begin where another stage stopped: its event lines and its time come before one's own."""
        self.events.replace(lines)
        self._before = seconds

    def begin_anew(self) -> None:
        """Forget a checkpoint that cannot be used, and its events."""
        self.events.truncate(0)
        self._before = 0.0

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return time.monotonic() - self._last >= self.checkpoint_seconds

    def checkpoint(
        self, tensors: Mapping[str, Tensor], done: int, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Save the state after `done` units with the events so far, and further plain data."""
        counters = {"done": done, "event_bytes": self.events.commit(), "seconds": self.seconds()}
        save_checkpoint(self.folder, tensors, counters | dict(extra or {}))
        self._last = time.monotonic()

    def seconds(self) -> float:
        """Time at work on this stage, those before an interruption included."""
        return self._before + time.monotonic() - self._began

    def result(self, **timings: float) -> StageResult:
        """Close the event log and report the time taken."""
        self.events.commit()
        return StageResult({"seconds": round(self.seconds(), 3)} | timings)
