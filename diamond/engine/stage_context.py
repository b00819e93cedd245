"""What a stage is given.

Folders, config, seed, and where to report progress, events and checkpoints.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diamond.engine.arithmetic import compile_network
from diamond.engine.devices import named_device
from diamond.engine.files import digest
from diamond.engine.output_names import EVENTS_FILE
from diamond.engine.stage_attempt import Attempt
from diamond.engine.stage_manifest import stage_manifest
from diamond.engine.stopping import Stopping
from diamond.engine.store import StageResult
from diamond.engine.training_checkpoint import Saved, load_checkpoint, save_checkpoint
from diamond.errors import StageReleasedError
from diamond.tracking.event_log import EventLog, read_lines

CHECKPOINT_SECONDS = 20.0
SAVE_SECONDS = 60.0
"""Time that a stage which saves itself has to come to its next checkpoint when it is to end."""
Progress = Callable[[int, int, str], None]
"""Told units done, units in all, and a note such as the current loss."""


@dataclass
class StageContext:
    """One stage at work. Mutable: it keeps the clock of its checkpoints.

    Attributes:
        attempt: The folders of this attempt, and the claim that fences it.
        config: The stage's own config section, plain data.
        upstream: Folder per stage that is read.
        seed: Data seed or run seed.
        checkpoint_seconds: Least time between checkpoints.
        compiled: Whether torch compiles the networks of the world model.
        stopping: Whether the process is to end: then the next checkpoint is the last.
    """

    attempt: Attempt
    config: Mapping[str, Any]
    upstream: Mapping[str, Path]
    seed: int
    device: torch.device
    tell: Progress
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    compiled: bool = False
    stopping: Stopping = field(default_factory=Stopping)
    events: EventLog = field(init=False)
    _began: float = field(init=False)
    _last: float = field(init=False)
    _before: float = field(init=False, default=0.0)
    _saves: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Start the clock and open the event log."""
        self.events = EventLog(self.folder / EVENTS_FILE)
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
    def folder(self) -> Path:
        """Where outputs go."""
        return self.attempt.result

    @property
    def home(self) -> Path:
        """The home that the stage is kept in."""
        return self.attempt.folder.parents[4]

    def reads_part(self, stage: str) -> bool:
        """Whether the part that a stage trains is read: of the stage itself, or of an agent."""
        return stage in self.upstream or "agent" in self.upstream

    def part_folder(self, part: str, stage: str) -> Path:
        """The folder of a trained part that is read: that of its stage, or inside an agent."""
        return self.upstream[stage] if stage in self.upstream else self.upstream["agent"] / part

    def upstream_config(self, stage: str) -> Mapping[str, Any]:
        """The config section of a stage that is read; an agent's holds those of its parts."""
        owner = stage if stage in self.upstream else "agent"
        return stage_manifest(self.upstream[owner])["config"]

    def resume(self) -> Saved | None:
        """The state to continue from, or None; events after it are cut off.

        A checkpoint, or its events, that is not as it was written is not continued from.
        """
        saved = load_checkpoint(self.attempt.folder)
        if saved is not None:
            num_bytes = int(saved.counters["event_bytes"])
            lines = read_lines(self.folder / EVENTS_FILE, num_bytes)
            if sha256(lines).hexdigest() == saved.counters["event_digest"]:
                self.events.truncate(num_bytes)
                self._before = float(saved.counters["seconds"])
                return saved
        self.begin_anew()
        return None

    def begin_after(self, lines: bytes, seconds: float) -> None:
        """Begin where another stage stopped: its event lines and its time come before one's own."""
        self.events.replace(lines)
        self._before = seconds

    def begin_anew(self) -> None:
        """Forget a checkpoint that cannot be used, and its events."""
        self.events.truncate(0)
        self._before = 0.0

    def progress(self, done: int, total: int, note: str) -> None:
        """Say how far the stage is.

        Raises:
            StageReleasedError: The process is to end, and no checkpoint is at hand to wait for.
        """
        self.tell(done, total, note)
        if self.stopping.asked and (not self._saves or self.stopping.seconds > SAVE_SECONDS):
            raise StageReleasedError("the process was asked to end")

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old enough for another, or another is the last."""
        self._saves = True
        is_old = time.monotonic() - self._last >= self.checkpoint_seconds
        return is_old or self.stopping.asked

    def checkpoint(
        self,
        tensors: Mapping[str, Tensor],
        done: int,
        total: int,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Save the state after `done` of `total` units with the events so far, and further data.

        Raises:
            OvertakenError: Another process took the stage over.
            StageReleasedError: The process is to end; the state is saved.
        """
        self.attempt.claim.check(on_disk=True)
        counters = {
            "done": done,
            "total": total,
            "event_bytes": self.events.commit(),
            "event_digest": digest(self.folder / EVENTS_FILE),
            "seconds": self.seconds(),
        }
        save_checkpoint(self.attempt.folder, tensors, counters | dict(extra or {}))
        self._last = time.monotonic()
        if self.stopping.asked:
            raise StageReleasedError("the process was asked to end")

    def seconds(self) -> float:
        """Time at work on this stage, those before an interruption included."""
        return self._before + time.monotonic() - self._began

    def result(self, **timings: float) -> StageResult:
        """Close the event log and report the time taken."""
        self.events.commit()
        return StageResult({"seconds": round(self.seconds(), 3)} | timings)
