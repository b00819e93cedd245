"""Local processes that make stages side by side; a stage that fails stops only what reads it."""

import json
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from diamond.config.processes import python_command, python_environment
from diamond.engine.child_processes import Message, own_code
from diamond.engine.devices import VISIBLE, Workers, least_used, visible_gpus
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageSpec

POLL_SECONDS = 0.2
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class StageEvent:
    """News of one stage.

    Attributes:
        done: Units done, for progress.
        total: Units in all, for progress.
        note: Loss, cause of failure, who took it over, or the stage that it waited for.
        trace: Traceback of a fault of the program, None otherwise.
    """

    kind: Literal[
        "started", "progress", "overtaken", "made", "reused", "failed", "still_failed", "blocked"
    ]
    spec: StageSpec
    done: int = 0
    total: int = 0
    note: str = ""
    trace: str | None = None


OnEvent = Callable[[StageEvent], None]


@dataclass
class _Worker:
    process: "subprocess.Popen[str]"
    messages: "SimpleQueue[Message | None]"
    gpu: str | None = None
    spec: StageSpec | None = None
    stderr: "deque[str]" = field(default_factory=lambda: deque(maxlen=30))
    readers: "list[threading.Thread]" = field(default_factory=list)

    def close(self) -> None:
        """Wait for the end of the process and of what it wrote."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        for reader in self.readers:
            reader.join(STOP_SECONDS)


class LocalExecutor:
    """Runs stages in worker processes on this machine, as many at once as there may be."""

    def __init__(
        self, home: Path, workers: Workers, checkpoint_seconds: float | None = None
    ) -> None:
        """Find the GPUs, and note the code that workers must run; they start with `run`."""
        self._home = home
        self._allowed = workers
        self._checkpoint_seconds = checkpoint_seconds
        self._gpus = visible_gpus()
        self._code = own_code()
        self._workers: list[_Worker] = []
        self._waiting: dict[str, StageSpec] = {}
        self._finished: set[str] = set()
        self._broken: set[str] = set()
        self._priority: dict[str, float] = {}
        self._changed = True

    def run(
        self,
        specs: Iterable[StageSpec],
        done: frozenset[str],
        priority: Mapping[str, float],
        on_event: OnEvent,
        on_tick: Callable[[], None] = lambda: None,
        failed: frozenset[str] = frozenset(),
    ) -> None:
        """Make all stages that are not done, each after those that it reads.

        Args:
            specs: Stages, prepared in the store.
            done: Keys that need no work.
            priority: Of the stages that could start, the one with the largest number starts first.
            on_event: Told what happens, in the calling thread.
            on_tick: Called every fraction of a second in the calling thread.
            failed: Keys that are not tried: what reads them is not made.

        Raises:
            RequestError: A worker runs other code than this process.
        """
        self._broken |= failed
        self.add(specs, done, priority)
        try:
            while self.is_busy:
                self.step(on_event)
                on_tick()
        finally:
            self.stop()

    def add(
        self, specs: Iterable[StageSpec], done: frozenset[str], priority: Mapping[str, float]
    ) -> None:
        """Take on further stages; those that are made, being made or failed stay as they are.

        Args:
            specs: Stages, prepared in the store.
            done: Keys that need no work.
            priority: By key, as for `run`.
        """
        self._finished |= done
        # What several ask for is as urgent as the most urgent of them says.
        for key, value in priority.items():
            self._priority[key] = max(value, self._priority.get(key, value))
        running = {worker.spec.key for worker in self._workers if worker.spec is not None}
        known = self._finished | self._broken | running
        self._waiting |= {spec.key: spec for spec in specs if spec.key not in known}
        self._changed = True

    def forget(self, keys: Iterable[str]) -> None:
        """Forget that stages failed or are done, so that `add` takes them on once more."""
        self._broken -= set(keys)
        self._finished -= set(keys)
        self._changed = True

    def withdraw(self, keys: Iterable[str]) -> None:
        """Give up stages that nobody has begun to make."""
        for key in keys:
            self._waiting.pop(key, None)

    @property
    def device(self) -> str:
        """What stages run on, as their manifests name it."""
        return self._allowed.device

    @property
    def jobs(self) -> int:
        """Processes that make stages side by side, at most."""
        return self._allowed.jobs

    @property
    def is_busy(self) -> bool:
        """Whether a stage waits or is being made."""
        return bool(self._waiting) or self._busy() > 0

    def step(self, on_event: OnEvent) -> None:
        """Start what can start, pass on the news, and rest for a moment when there is none.

        What waits is gone through only when a stage came or went: it may be many thousands.
        """
        if self._changed:
            self._changed = False
            self._start_ready(on_event)
        if not self._drain(on_event):
            time.sleep(POLL_SECONDS)

    def _start_ready(self, on_event: OnEvent) -> None:
        self._drop_blocked(on_event)
        ready = [
            spec for spec in self._waiting.values() if set(spec.upstream.values()) <= self._finished
        ]
        ready.sort(key=lambda spec: -self._priority[spec.key])
        for spec in ready[: self._free(len(self._waiting))]:
            self._start(self._waiting.pop(spec.key), on_event)
            self._changed = True

    def stop(self) -> None:
        """End all workers: closing their input asks, a signal insists."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            try:
                worker.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
            worker.close()
        self._workers.clear()

    def _free(self, num_waiting: int) -> int:
        while len(self._workers) < min(self._allowed.jobs, num_waiting + self._busy()):
            self._workers.append(self._spawn())
        return len(self._workers) - self._busy()

    def _busy(self) -> int:
        return sum(worker.spec is not None for worker in self._workers)

    def _spawn(self) -> _Worker:
        command = python_command("diamond.engine.worker", "--home", str(self._home))
        command += ["--threads", "1", "--code", json.dumps(self._code)]
        command += ["--compile"] if self._allowed.compiled else []
        if self._checkpoint_seconds is not None:
            command += ["--checkpoint-seconds", str(self._checkpoint_seconds)]
        gpu = self._slot()
        slots = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        if gpu is not None:
            slots[VISIBLE] = gpu
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Libraries write to standard error what they like: no byte of it may end a reader.
            encoding="utf-8",
            errors="backslashreplace",
            env=python_environment() | slots,
            start_new_session=True,
        )
        worker = _Worker(process, SimpleQueue(), gpu)
        for read in (_read_messages, _read_errors):
            worker.readers.append(threading.Thread(target=read, args=(worker,), daemon=True))
            worker.readers[-1].start()
        return worker

    def _slot(self) -> str | None:
        """The GPU of the next worker where there are several to choose from."""
        if len(self._gpus) < 2:
            return None
        return least_used(self._gpus, (worker.gpu for worker in self._workers if worker.gpu))

    def _start(self, spec: StageSpec, on_event: OnEvent) -> None:
        worker = next(worker for worker in self._workers if worker.spec is None)
        worker.spec = spec
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(json.dumps({"stage": spec.stage, "key": spec.key}) + "\n")
            worker.process.stdin.flush()
        except BrokenPipeError:
            pass  # The reader of messages sees the end of this worker and reports it.
        on_event(StageEvent("started", spec))

    def _drain(self, on_event: OnEvent) -> bool:
        news = False
        for worker in list(self._workers):
            while True:
                try:
                    message = worker.messages.get_nowait()
                except Empty:
                    break
                news = True
                self._handle(worker, message, on_event)
        return news

    def _handle(
        self,
        worker: _Worker,
        message: Message | None,
        on_event: OnEvent,
    ) -> None:
        spec = worker.spec
        self._changed |= message is None or message["type"] in ("finished", "failed")
        if message is None:
            self._workers.remove(worker)
            worker.close()
            if spec is not None:
                self._broken.add(spec.key)
                tail = "".join(worker.stderr).strip()
                on_event(
                    StageEvent(
                        "failed", spec, note=_death(worker.process.returncode), trace=tail or None
                    )
                )
            return
        if message["type"] == "refused":
            raise RequestError(message["error"])
        if spec is None or message["type"] == "ready":
            return
        match message["type"]:
            case "progress":
                on_event(
                    StageEvent("progress", spec, message["done"], message["total"], message["note"])
                )
            case "overtaken":
                on_event(StageEvent("overtaken", spec, note=message["note"]))
            case "finished":
                worker.spec = None
                self._finished.add(spec.key)
                on_event(StageEvent("made" if message["made"] else "reused", spec))
            case "failed":
                worker.spec = None
                self._broken.add(spec.key)
                on_event(StageEvent("failed", spec, note=message["error"], trace=message["trace"]))

    def _drop_blocked(self, on_event: OnEvent) -> None:
        for spec in list(self._waiting.values()):
            causes = [name for name, key in spec.upstream.items() if key in self._broken]
            if causes:
                del self._waiting[spec.key]
                self._broken.add(spec.key)
                self._changed = True
                on_event(StageEvent("blocked", spec, note=f"{causes[0]} failed"))


def _read_messages(worker: _Worker) -> None:
    assert worker.process.stdout is not None
    with worker.process.stdout as lines, suppress(ValueError):  # a killed worker may cut a line
        for line in lines:
            worker.messages.put(json.loads(line))
    worker.messages.put(None)


def _read_errors(worker: _Worker) -> None:
    assert worker.process.stderr is not None
    with worker.process.stderr as lines:
        worker.stderr.extend(lines)


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the worker process was killed by SIGKILL, as the system does when memory runs out"
    if code < 0:
        return f"the worker process was killed by {signal.Signals(-code).name}"
    return f"the worker process ended with exit code {code}"
