"""A worker process: reads (stage, key) lines, makes the stage, reports JSON lines.

A worker gets nothing in memory: manifests in the home say all. It ends when its standard input
closes, so that no worker outlives the process that started it.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from diamond.engine.arithmetic import machine_of, prepare_process, release_memory
from diamond.engine.child_processes import Job, Message, check_code
from diamond.engine.devices import named_device
from diamond.engine.failure import cause_of, is_lasting, trace_of
from diamond.engine.provenance import code_version
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_context import CHECKPOINT_SECONDS, Progress, StageContext
from diamond.engine.stage_manifest import Maker
from diamond.engine.store import StageResult, Store
from diamond.errors import DiamondError, OvertakenError, StageFailedError
from diamond.plan.stage_keys import StageName
from diamond.stages.registry import find_stage_record

WAIT_SECONDS = 0.5
PROGRESS_SECONDS = 0.25
Emit = Callable[[Message], None]
TAKEN_BY = "diamond.weights.checkpoint_folders:take_imported"
Make = Callable[[StageContext], StageResult]


def run_stage(
    store: Store,
    stage: StageName,
    key: str,
    emit: Emit,
    checkpoint_seconds: float,
    compiled: bool = False,
) -> None:
    """Make one stage, or wait for whoever is making it.

    Args:
        key: Key; its manifest exists and everything it reads is done.
        emit: Told messages of type ``progress``, ``overtaken`` (by another process) and
            ``finished``, which says whether the stage was ``made`` here.
        checkpoint_seconds: Least time between checkpoints.
        compiled: Whether torch compiles the networks of the world model.

    Raises:
        DiamondError: The stage stopped for a reason that the manifest now holds.
    """
    made = None
    while made is None:
        claim = _claimed(store, stage, key, emit)
        if claim is None:
            made = False
            continue
        try:
            with claim.kept_alive():
                made = _make(store, stage, key, claim, (emit, checkpoint_seconds, compiled))
        except OvertakenError as error:
            emit({"type": "overtaken", "note": str(error)})
    store.clear_work(stage, key)
    emit({"type": "finished", "made": made})


def _claimed(store: Store, stage: StageName, key: str, emit: Emit) -> Claim | None:
    """The claim on a stage, once it is free; None when the stage is finished.

    Raises:
        StageFailedError: The process that was waited for failed, or the stage is not prepared.
    """
    claim, waited = Claim(store.work(stage, key)), False
    while not store.has_all_files(stage, key):
        manifest = store.manifest(stage, key)
        if manifest is None:
            raise StageFailedError(
                f"{str(store.work(stage, key))!r} has no manifest as it was written\n"
                "  run the command again"
            )
        if claim.try_acquire():
            # It may have been finished since, and the claim be on what is left of the work.
            return None if store.has_all_files(stage, key) else claim
        if waited and manifest["state"] == "failed" and manifest["lasting"]:
            raise StageFailedError(manifest["error"])
        waited = True
        emit({"type": "progress", "done": 0, "total": 0, "note": f"waits for {claim.holder()}"})
        time.sleep(WAIT_SECONDS)
    return None


def _make(
    store: Store, stage: StageName, key: str, claim: Claim, options: tuple[Emit, float, bool]
) -> bool:
    """Make a stage in an attempt of one's own; whether it was this one that was published."""
    emit, checkpoint_seconds, compiled = options
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = named_device(str(device), compiled)
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
            compiled,
        )
        result = function_of(stage, context.config)(context)
        return store.publish(stage, key, attempt, result)
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
    """Serve stages until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--checkpoint-seconds", type=float, default=CHECKPOINT_SECONDS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--code", type=json.loads, required=True)
    options = parser.parse_args()
    prepare_process(options.threads)
    store = Store(options.home)
    # Only this module may write to the pipe; a stray print must not break the protocol.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(message: Message) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    try:
        check_code(options.code)
    except DiamondError as error:
        emit({"type": "refused", "error": str(error)})
        return
    jobs = _read_jobs()
    emit({"type": "ready"})
    while True:
        job = jobs.get()
        try:
            run_stage(
                store, job["stage"], job["key"], emit, options.checkpoint_seconds, options.compile
            )
        except Exception as error:
            emit({"type": "failed", "error": cause_of(error), "trace": trace_of(error)})
        release_memory()


def _read_jobs() -> "SimpleQueue[Job]":
    jobs: SimpleQueue[Job] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return jobs


def _fenced(claim: Claim, progress: Progress) -> Progress:
    """Progress that stops a process which another one took over from."""

    def checked(done: int, total: int, note: str) -> None:
        claim.check()
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
