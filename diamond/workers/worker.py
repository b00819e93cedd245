"""A process that makes stages: it reads lines that name one, makes it, and reports JSON lines.

It gets nothing in memory: manifests in the home say all. It ends when its standard input closes, so
that it does not outlive the process that started it, and when a signal asks: it saves the stage
that it makes and lets go of it.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from diamond.engine.arithmetic import machine_of, prepare_process, release_memory
from diamond.engine.devices import named_device
from diamond.engine.failure import cause_of, is_lasting, trace_of
from diamond.engine.provenance import code_version
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_context import CHECKPOINT_SECONDS, Progress, StageContext
from diamond.engine.stage_manifest import Maker
from diamond.engine.stopping import Stopping
from diamond.engine.store import StageResult, Store
from diamond.errors import DiamondError, OvertakenError, StageFailedError, StageReleasedError
from diamond.plan.stage_keys import StageName
from diamond.stages.registry import find_stage_record
from diamond.workers.child_processes import ASKED_TO_END, Job, Message, check_code

END_SECONDS = 5.0
"""Time to save a stage for a process whose parent is gone."""
PROGRESS_SECONDS = 0.25
Emit = Callable[[Message], None]
TAKEN_BY = "diamond.weights.checkpoint_folders:take_imported"
Make = Callable[[StageContext], StageResult]


@dataclass(frozen=True)
class Manner:
    """How a process makes a stage; none of it is part of the stage's key.

    Attributes:
        compiled: Whether torch compiles the networks of the world model.
        over: Token of a claim on the stage that was seen to stand still.
        stopping: Tells when the process is asked to end.
    """

    compiled: bool = False
    over: str | None = None
    stopping: Stopping = field(default_factory=Stopping)


def run_stage(
    store: Store,
    stage: StageName,
    key: str,
    emit: Emit,
    checkpoint_seconds: float,
    manner: Manner | None = None,
) -> None:
    """Make one stage, unless another process is at it.

    Args:
        key: Key; its manifest exists and everything it reads is done.
        emit: Told messages of type ``progress``, ``overtaken`` (by another process), and at the end
            ``finished``, which says whether the stage was ``made`` here, or ``held``.
        checkpoint_seconds: Least time between checkpoints.
        manner: How else.

    Raises:
        StageReleasedError: This process was asked to end; what it had is saved.
        DiamondError: The stage stopped for a reason that the manifest now holds.
    """
    if store.has_all_files(stage, key):
        emit({"type": "finished", "made": False})
        return
    _check_prepared(store, stage, key)
    manner = manner or Manner()
    claim = Claim(store.work(stage, key))
    if not claim.try_acquire(manner.over):
        emit({"type": "held", "note": str(claim.holder())})
        return
    made = False
    # It may have been finished since, and the claim be on what is left of the work.
    if not store.has_all_files(stage, key):
        try:
            with claim.kept_alive():
                made = _make(store, stage, key, claim, (emit, checkpoint_seconds, manner))
        except OvertakenError as error:
            emit({"type": "overtaken", "note": str(error)})
            if not store.has_all_files(stage, key):
                emit({"type": "held", "note": str(claim.holder())})
                return
    store.clear_work(stage, key)
    emit({"type": "finished", "made": made})


def _check_prepared(store: Store, stage: StageName, key: str) -> None:
    """Make sure that a stage is prepared and did not fail since a command asked for it.

    Raises:
        StageFailedError: It did, or it has no manifest.
    """
    manifest = store.manifest(stage, key)
    if manifest is None:
        raise StageFailedError(
            f"{str(store.work(stage, key))!r} has no manifest as it was written\n"
            "  run the command again"
        )
    if manifest["state"] == "failed":
        raise StageFailedError(manifest["error"])


def _make(
    store: Store, stage: StageName, key: str, claim: Claim, options: tuple[Emit, float, Manner]
) -> bool:
    """Make a stage in an attempt of one's own; whether it was this one that was published."""
    emit, checkpoint_seconds, manner = options
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = named_device(str(device), manner.compiled)
        maker: Maker = {"device": named, "machine": machine_of(device), "code": code_version()}
        attempt = store.begin(stage, key, claim, maker)
        manifest = attempt.manifest
        context = StageContext(
            attempt,
            manifest["config"],
            {name: store.folder(name, other) for name, other in manifest["upstream"].items()},
            manifest["seed"],
            device,
            _fenced(claim, _throttled(emit)),
            checkpoint_seconds,
            manner.compiled,
            manner.stopping,
        )
        result = function_of(stage, context.config)(context)
        return store.publish(stage, key, attempt, result)
    except StageReleasedError:
        raise
    except Exception as error:
        # Whoever took over removed this attempt: what fails then fails for that.
        claim.check(on_disk=True)
        store.mark_failed(stage, key, cause_of(error), is_lasting(error))
        raise


def function_of(stage: StageName, config: Mapping[str, Any]) -> Make:
    """What makes a stage; a worker loads what its own stages need.

    Args:
        config: What it reads itself: its family, and whether its weights come from a checkpoint.
    """
    record = find_stage_record(stage, config.get("family", ""))
    made_by = TAKEN_BY if "imported" in config else record.made_by
    module, _, function = made_by.partition(":")
    make: Make = getattr(import_module(module), function)
    return make


def main() -> None:
    """Serve stages until standard input closes, or a signal asks to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpoint-seconds", type=float, default=CHECKPOINT_SECONDS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--gpu-share", type=int, default=1)
    parser.add_argument("--code", type=json.loads, required=True)
    options = parser.parse_args()
    # Only this module may write to the pipe; a stray print must not break the protocol.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    stopping = Stopping()

    def emit(message: Message) -> None:
        try:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()
        except BrokenPipeError:
            # Nobody listens any more: what is being made is saved, not failed.
            stopping.ask()

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: _ask_to_end(stopping))
    prepare_process(options.threads, options.gpu_share)
    try:
        check_code(options.code)
    except DiamondError as error:
        emit({"type": "refused", "error": str(error)})
        return
    jobs = _read_jobs(stopping)
    emit({"type": "ready"})
    _serve(Store(options.home), jobs, emit, options, stopping)


def _serve(
    store: Store,
    jobs: "SimpleQueue[Job]",
    emit: Emit,
    options: argparse.Namespace,
    stopping: Stopping,
) -> None:
    while True:
        job = jobs.get()
        stopping.is_idle = False
        try:
            run_stage(
                store,
                job["stage"],
                job["key"],
                emit,
                options.checkpoint_seconds,
                Manner(options.compile, job["over"], stopping),
            )
        except StageReleasedError:
            raise SystemExit(ASKED_TO_END) from None
        except Exception as error:
            emit({"type": "failed", "error": cause_of(error), "trace": trace_of(error)})
        release_memory()
        stopping.is_idle = True
        if stopping.asked:
            raise SystemExit(ASKED_TO_END)


def _ask_to_end(stopping: Stopping) -> None:
    """End now where there is nothing to save, else at the next checkpoint."""
    stopping.ask()
    if stopping.is_idle:
        raise SystemExit(ASKED_TO_END)


def _read_jobs(stopping: Stopping) -> "SimpleQueue[Job]":
    jobs: SimpleQueue[Job] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(json.loads(line))
        stopping.ask()
        if not stopping.is_idle:
            time.sleep(END_SECONDS)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return jobs


def _fenced(claim: Claim, progress: Progress) -> Progress:
    """Progress that stops a process which another one took over from."""

    def checked(done: int, total: int, note: str) -> None:
        claim.check()
        claim.report(done, total, note)
        progress(done, total, note)

    return checked


def _throttled(emit: Emit) -> Progress:
    last = 0.0

    def progress(done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= PROGRESS_SECONDS:
            last = now
            emit({"type": "progress", "done": done, "total": total, "note": note})

    return progress


if __name__ == "__main__":
    main()
