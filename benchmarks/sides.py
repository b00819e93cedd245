"""The two programs, each in a process of its own, and their times in turn.

How memory is allocated is a setting of a process: our side is set up as the workers of stages are,
the released code as it sets itself up.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import torch
from torch.utils.benchmark import Measurement, Timer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import Case
from benchmarks.equality import Arrays
from benchmarks.inputs import full_precision, shared_noise
from benchmarks.ours import Ours, Run
from benchmarks.released import Released
from diamond.config.run import RunConfig
from diamond.engine.arithmetic import prepare_process, release_memory
from diamond.peaks import Peaks, measure_peaks

COMPILING_RUNS = 3
"""Runs that belong to the making of a case: a GPU compiles, records and replays in turn."""
P = ParamSpec("P")
T = TypeVar("T")


class Side:
    """A process that calls the functions below; what they raise is raised here."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process = ProcessPoolExecutor(1, get_context("spawn"))

    def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function there."""
        return self._process.submit(function, *args, **kwargs).result()

    def __enter__(self) -> Self:
        """Nothing more."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what it started, and the process."""
        self.ask(_close)
        self._process.shutdown()


def time_in_turn(
    sides: Sequence[Side], case: Case, rounds: int, seconds: float
) -> list[Measurement]:
    """Seconds of one run of a case on every side, A B A B; a round takes at least so long."""
    for side in sides:
        side.ask(prepare, case)
    found = [[side.ask(time_run, seconds) for side in sides] for _ in range(rounds)]
    return [Measurement.merge(column)[0] for column in zip(*found, strict=True)]


class _State:
    """What a process holds. Mutable."""

    program: Ours | Released
    run: Run
    threads: int
    compiled = False


def open_ours(config: RunConfig, threads: int, compiled: bool = False) -> None:
    """Build our side."""
    prepare_process(threads)
    _begin(Ours(config, _device(), compiled), threads)
    _State.compiled = compiled


def released_weights() -> dict[str, Any]:
    """The weights of our side as arrays, under the names of the released code."""
    assert isinstance(_State.program, Ours)
    return {name: tensor.numpy() for name, tensor in _State.program.released_weights().items()}


def open_released(
    config: RunConfig, threads: int, checkout: Path, weights: Mapping[str, Any]
) -> None:
    """Build the side of the released code with given weights."""
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    _begin(Released(checkout, config, tensors, _device()), threads)


def prepare(case: Case) -> None:
    """Build what a case needs."""
    _State.run = lambda: None
    release_memory()
    _State.run = _State.program.prepare(case)
    for _ in range(COMPILING_RUNS if _State.compiled else 0):
        _State.run()


def time_run(seconds: float) -> Measurement:
    """Time the prepared case; runs that warm up are not counted."""
    timer = Timer("run()", globals={"run": _State.run}, num_threads=_State.threads)
    return timer.blocked_autorange(min_run_time=seconds)


def count_flop() -> int:
    """Floating-point operations of one run: products, convolutions, attention, both ways."""
    counter = FlopCounterMode(display=False)
    # What is compiled is not seen by the counter.
    with counter, torch.compiler.set_stance("force_eager"):
        _State.run()
    return int(counter.get_total_flops())


def run_once() -> None:
    """Run the prepared case."""
    _State.run()


def outputs(part: str) -> Arrays:
    """What the sides are compared by."""
    with full_precision(), shared_noise():
        found = _State.program.outputs(part)
    return {name: tensor.detach().double().cpu().numpy() for name, tensor in found.items()}


def peaks() -> Peaks:
    """GFLOP/s of products and convolutions."""
    return measure_peaks(_device())


def device_name() -> str:
    """What the process computes on."""
    return torch.cuda.get_device_name() if _device().type == "cuda" else "cpu"


Program = TypeVar("Program", Ours, Released)


def _begin(program: Program, threads: int) -> None:
    # Standard output is for the tables alone.
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    _State.program, _State.threads = program, threads


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _close() -> None:
    program = getattr(_State, "program", None)
    if isinstance(program, Released):
        program.close()
