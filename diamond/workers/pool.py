"""The processes of this machine that make stages, as many at once as there may be."""

import json
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from diamond.config.processes import python_command, python_environment
from diamond.engine.devices import VISIBLE, Workers, least_used, visible_gpus
from diamond.plan.stage_keys import StageSpec
from diamond.workers.child_processes import Job, Message, own_code

STOP_SECONDS = 5.0


@dataclass
class Child:
    """One process that makes stages. Mutable: it is given one after another.

    Attributes:
        spec: What it makes, None while it waits.
    """

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

    @property
    def death(self) -> str:
        """How the process ended, in words."""
        code = self.process.returncode
        if code == -signal.SIGKILL:
            return (
                "the worker process was killed by SIGKILL, as the system does when memory runs out"
            )
        if code < 0:
            return f"the worker process was killed by {signal.Signals(-code).name}"
        return f"the worker process ended with exit code {code}"


class Pool:
    """Processes that are begun when there is work, and end with this one."""

    def __init__(self, home: Path, allowed: Workers, checkpoint_seconds: float | None) -> None:
        """Find the GPUs, and note the code that the processes must run; none is started."""
        self._home = home
        self._allowed = allowed
        self._checkpoint_seconds = checkpoint_seconds
        self._gpus = visible_gpus()
        self._code = own_code()
        self._children: list[Child] = []

    @property
    def busy(self) -> int:
        """Processes that make a stage."""
        return sum(child.spec is not None for child in self._children)

    @property
    def running(self) -> dict[str, StageSpec]:
        """What is being made, by key."""
        return {child.spec.key: child.spec for child in self._children if child.spec is not None}

    def free(self, num_waiting: int) -> int:
        """Processes that wait for a stage; of those that may be, as many are begun as have work."""
        while len(self._children) < min(self._allowed.jobs, num_waiting + self.busy):
            self._children.append(self._spawn())
        return len(self._children) - self.busy

    def start(self, spec: StageSpec, over: str | None) -> None:
        """Give a stage to a process that waits.

        Args:
            spec: The stage.
            over: Token of a claim on it that was seen to stand still.
        """
        child = next(child for child in self._children if child.spec is None)
        child.spec = spec
        job: Job = {"stage": spec.stage, "key": spec.key, "over": over}
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(json.dumps(job) + "\n")
            child.process.stdin.flush()
        except BrokenPipeError:
            pass  # The reader of messages sees the end of this process and reports it.

    def news(self) -> Iterator[tuple[Child, Message | None]]:
        """What the processes said since; None for one that ended, which is closed and forgotten."""
        for child in list(self._children):
            while True:
                try:
                    message = child.messages.get_nowait()
                except Empty:
                    break
                if message is None:
                    self._children.remove(child)
                    child.close()
                yield child, message

    def release(self, keys: "set[str]") -> None:
        """Ask the processes that make some stages to save them and to end."""
        for child in self._children:
            if child.spec is not None and child.spec.key in keys:
                child.process.terminate()

    def stop(self, seconds: float | None = STOP_SECONDS) -> None:
        """End all processes: each saves the stage that it makes.

        Args:
            seconds: Time that they have before they are killed; None: as long as it takes.
        """
        try:
            for child in self._children:
                child.process.terminate()
            for child in self._children:
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(seconds)
        finally:
            for child in self._children:
                child.process.kill()
                child.close()
            self._children.clear()

    def _spawn(self) -> Child:
        command = python_command("diamond.workers.worker", "--home", str(self._home))
        command += ["--threads", "1", "--code", json.dumps(self._code)]
        command += ["--compile"] if self._allowed.compiled else []
        command += ["--gpu-share", str(self._allowed.gpu_share)]
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
        child = Child(process, SimpleQueue(), gpu)
        for read in (_read_messages, _read_errors):
            child.readers.append(threading.Thread(target=read, args=(child,), daemon=True))
            child.readers[-1].start()
        return child

    def _slot(self) -> str | None:
        """The GPU of the next process where there are several to choose from."""
        if len(self._gpus) < 2:
            return None
        return least_used(self._gpus, (child.gpu for child in self._children if child.gpu))


def _read_messages(child: Child) -> None:
    assert child.process.stdout is not None
    with child.process.stdout as lines, suppress(ValueError):  # a killed process may cut a line
        for line in lines:
            child.messages.put(json.loads(line))
    child.messages.put(None)


def _read_errors(child: Child) -> None:
    assert child.process.stderr is not None
    with child.process.stderr as lines:
        child.stderr.extend(lines)
