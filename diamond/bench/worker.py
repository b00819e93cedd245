"""A worker process of one side: reads JSON lines, prepares and times cases, answers with JSON.

Each side has a process of its own: how memory is allocated is a setting of a process. Our side is
set up as the workers of stages are. It ends when its standard input closes.
"""

import argparse
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from diamond.bench.cases import Case
from diamond.bench.inputs import num_parameters, weights_of
from diamond.bench.ours import Ours
from diamond.bench.ours_outputs import OurOutputs
from diamond.bench.peak import measure_peaks
from diamond.config.run import RunConfig
from diamond.engine.arithmetic import prepare_process, release_memory
from diamond.engine.child_processes import check_code
from diamond.errors import DiamondError
from diamond.weights.released_names import to_released

COMPILING_RUNS = 3
"""Runs that belong to the making of a case: a GPU compiles, records and replays in turn."""
Run = Callable[[], object]
Reply = dict[str, Any]


class Side(Protocol):
    """One of the two programs."""

    def prepare(self, case: Case) -> Run:
        """What runs a case once."""
        ...

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        """What the sides are compared by."""
        ...

    def close(self) -> None:
        """End what it started."""
        ...


class _OurSide:
    def __init__(self, config: RunConfig, device: torch.device, compiled: bool) -> None:
        self._ours = Ours(config, device, compiled)
        self._outputs = OurOutputs(config, device, compiled)

    def prepare(self, case: Case) -> Run:
        return self._ours.prepare(case)

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        return self._outputs.outputs(part)

    def close(self) -> None:
        """Nothing was started."""

    def facts(self) -> Reply:
        return {"num_parameters": num_parameters(self._ours.networks())}

    def write_weights(self, path: Path) -> Reply:
        save_file(to_released(weights_of(self._ours.networks())), path)
        return {}


class Worker:
    """Answers requests; holds the case that was prepared last. Mutable."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._side: Side | None = None
        self._compiled = False
        self._run: Run = lambda: None

    def answer(self, request: Mapping[str, Any]) -> Reply:
        """Do what a request asks for."""
        match request["do"]:
            case "open":
                return self._open(request)
            case "prepare":
                self._prepare(Case(**request["case"]))
                return {}
            case "run":
                return {"seconds": self._time(int(request["repeats"]))}
            case "count":
                return {"flop": self._count()}
            case "outputs":
                named = self._opened.outputs(request["part"])
                tensors = {n: t.detach().double().cpu().contiguous() for n, t in named.items()}
                save_file(tensors, request["path"])
                return {}
            case "weights":
                assert isinstance(self._side, _OurSide)
                return self._side.write_weights(Path(request["path"]))
            case "peak":
                return measure_peaks(self._device)
            case "memory":
                return {"peak_bytes": self._peak_memory()}
            case other:
                raise AssertionError(other)

    def close(self) -> None:
        """End what the side started."""
        if self._side is not None:
            self._side.close()

    @property
    def _opened(self) -> Side:
        assert self._side is not None
        return self._side

    def _open(self, request: Mapping[str, Any]) -> Reply:
        check_code(request["code"])
        config = RunConfig.model_validate(request["config"])
        facts: Reply = {"torch": torch.__version__, "device": self._device_name()}
        if request["side"] == "ours":
            prepare_process(self._threads)
            self._compiled = request["compiled"]
            ours = _OurSide(config, self._device, request["compiled"])
            self._side = ours
            return facts | ours.facts()
        from diamond.bench.released import Released  # noqa: PLC0415

        torch.set_num_threads(self._threads)
        weights = Path(request["weights"])
        self._side = Released(Path(request["checkout"]), config, weights, self._device)
        return facts

    def _prepare(self, case: Case) -> None:
        self._run = lambda: None
        release_memory()
        self._run = self._opened.prepare(case)
        if self._compiled:
            for _ in range(COMPILING_RUNS):
                self._run()

    def _time(self, repeats: int) -> float:
        self._wait()
        began = time.perf_counter()
        for _ in range(repeats):
            self._run()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _count(self) -> int:
        counter = FlopCounterMode(display=False)
        within: AbstractContextManager[Any] = counter
        # What is compiled is not seen by the counter.
        with within, torch.compiler.set_stance("force_eager"):
            self._run()
        return int(counter.get_total_flops())

    def _peak_memory(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def _device_name(self) -> str:
        if self._device.type == "cuda":
            return f"cuda: {torch.cuda.get_device_name()}"
        return "cpu"


def main() -> None:
    """Answer requests until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    worker = Worker(parser.parse_args().threads)
    pipe = _take_output()
    try:
        for line in sys.stdin:
            try:
                reply = worker.answer(json.loads(line))
            except Exception as error:
                trace = None if isinstance(error, DiamondError) else traceback.format_exc()
                reply = {"error": str(error) or type(error).__name__, "trace": trace}
            pipe.write(json.dumps(reply) + "\n")
            pipe.flush()
    finally:
        worker.close()


def _take_output() -> TextIO:
    """Standard output for answers alone: a stray print goes to standard error."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


if __name__ == "__main__":
    main()
