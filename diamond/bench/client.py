"""The parent's end of a worker process: requests out, answers in."""

import json
import subprocess
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from diamond.bench.cases import Case, Part
from diamond.config.processes import python_command, python_environment
from diamond.config.run import RunConfig
from diamond.engine.child_processes import own_code
from diamond.errors import DiamondError, ExitCode

STOP_SECONDS = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class BenchError(DiamondError):
    """A measurement could not be taken."""

    exit_code = ExitCode.RUN_FAILED


class Side(Protocol):
    """One side of the measurements, this project or the released code, as the parent sees it."""

    @property
    def name(self) -> str:
        """Ours or released."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the side says of itself: torch, device, of ours `num_parameters`."""
        ...

    def prepare(self, case: Case) -> None:
        """Build what a case needs."""
        ...

    def run(self, repeats: int) -> float:
        """Run the prepared case so many times; the seconds of all."""
        ...

    def count(self) -> int:
        """Run the prepared case once and count its floating-point operations."""
        ...

    def outputs(self, part: Part, path: Path) -> None:
        """Write the tensors that the sides are compared by."""
        ...

    def peaks(self) -> Mapping[str, Any]:
        """GFLOP/s of products and convolutions."""
        ...

    def peak_memory(self) -> int:
        """Bytes that the process, or its GPU, held at most."""
        ...

    def write_weights(self, path: Path) -> None:
        """Write the weights of our networks under the names of the released code."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class WorkerSide:
    """A side in a process of its own."""

    def __init__(self, name: str, request: Mapping[str, Any], threads: int) -> None:
        """Start the process and let it build.

        Raises:
            BenchError: It fails.
        """
        self.name = name
        self._process = subprocess.Popen(
            python_command("diamond.bench.worker", "--threads", str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env=python_environment() | dict.fromkeys(_THREAD_VARIABLES, str(threads)),
            start_new_session=True,
        )
        self._last_errors: deque[str] = deque(maxlen=20)
        self._reader = Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self.facts: Mapping[str, Any] = {}
        try:
            self.facts = self._ask({**request, "code": own_code()})
        except BaseException:
            self.close()
            raise

    def prepare(self, case: Case) -> None:
        """Build what a case needs."""
        self._ask({"do": "prepare", "case": case.data()})

    def run(self, repeats: int) -> float:
        """Run the prepared case so many times; the seconds of all."""
        return float(self._ask({"do": "run", "repeats": repeats})["seconds"])

    def count(self) -> int:
        """Run the prepared case once and count its floating-point operations."""
        return int(self._ask({"do": "count"})["flop"])

    def outputs(self, part: Part, path: Path) -> None:
        """Write the tensors that the sides are compared by."""
        self._ask({"do": "outputs", "part": part, "path": str(path)})

    def peaks(self) -> Mapping[str, Any]:
        """GFLOP/s of products and convolutions."""
        return self._ask({"do": "peak"})

    def peak_memory(self) -> int:
        """Bytes that the process, or its GPU, held at most."""
        return int(self._ask({"do": "memory"})["peak_bytes"])

    def write_weights(self, path: Path) -> None:
        """Write the weights of our networks under the names of the released code."""
        self._ask({"do": "weights", "path": str(path)})

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)
        self._process.stdout.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            self._process.wait(STOP_SECONDS)
            self._reader.join(STOP_SECONDS)
            said = "".join(self._last_errors).strip() or "nothing was said"
            raise BenchError(
                f"the process of {self.name} ended with {self._process.returncode} at "
                f"{request['do']}:\n{said}"
            )
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            told = reply["trace"] or reply["error"]
            raise BenchError(f"{self.name} failed at {request['do']}:\n{told.rstrip()}")
        return reply

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            self._last_errors.extend(stream)


def open_ours(config: RunConfig, threads: int, compiled: bool = False) -> Side:
    """Start our side, with compiled networks of the world model or without."""
    request = {
        "do": "open",
        "side": "ours",
        "config": config.model_dump(mode="json"),
        "compiled": compiled,
    }
    return WorkerSide("ours", request, threads)


def open_released(config: RunConfig, threads: int, checkout: Path, weights: Path) -> Side:
    """Start the side of the released code with weights under its names."""
    request = {
        "do": "open",
        "side": "released",
        "config": config.model_dump(mode="json"),
        "checkout": str(checkout),
        "weights": str(weights),
    }
    return WorkerSide("the released code", request, threads)
