"""The peak of the machine as measured: a matrix product and a convolution, in two precisions."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diamond.rng import torch_generator
from diamond.seeds import Purpose

SIDE, SMALL_SIDE = 2048, 512
CHANNELS, HEIGHT, BATCH, SMALL_BATCH = 64, 64, 32, 2
ROUNDS, ROUNDS_SECONDS = 5, 1.0
"""The fastest of at least so many rounds, and of as many as the seconds hold."""
SLOW_SECONDS = 1.0
"""Where the whole size would take longer, the small one says how fast the machine is."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Run = Callable[[], Tensor]


@torch.no_grad()
def measure_peaks(device: torch.device) -> dict[str, Any]:
    """GFLOP/s of the fastest of some rounds, by kind and precision.

    A multiplication and an addition count as two.
    """
    return {
        "matmul": {name: _product(dtype, device) for name, dtype in PRECISIONS.items()},
        "conv": {name: _convolution(dtype, device) for name, dtype in PRECISIONS.items()},
    }


def _product(dtype: torch.dtype, device: torch.device) -> float:
    def make(side: int) -> tuple[Run, int]:
        left, right = (_numbers(device, side, side).to(dtype) for _ in range(2))
        return lambda: left @ right, 2 * side**3

    return _rate(make, SMALL_SIDE, SIDE, device)


def _convolution(dtype: torch.dtype, device: torch.device) -> float:
    def make(batch: int) -> tuple[Run, int]:
        frames, weight = (
            _numbers(device, *shape).to(dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((batch, CHANNELS, HEIGHT, HEIGHT), (CHANNELS, CHANNELS, 3, 3))
        )
        flop = 2 * 9 * CHANNELS**2 * HEIGHT**2 * batch
        return lambda: torch.conv2d(frames, weight, padding=1), flop

    return _rate(make, SMALL_BATCH, BATCH, device)


def _rate(
    make: Callable[[int], tuple[Run, int]], small: int, whole: int, device: torch.device
) -> float:
    run, flop = make(small)
    rate = flop / _least_seconds(run, device) / 1e9
    run, flop = make(whole)
    if flop / rate / 1e9 > SLOW_SECONDS:
        return rate
    return flop / _least_seconds(run, device) / 1e9


def _numbers(device: torch.device, *shape: int) -> Tensor:
    generator = torch_generator(0, Purpose.BENCH, "peak")
    return torch.randn(*shape, generator=generator).to(device)


def _least_seconds(run: Run, device: torch.device) -> float:
    # The first one pays for what is made once.
    _seconds(run, device)
    found: list[float] = []
    while len(found) < ROUNDS or sum(found) < ROUNDS_SECONDS:
        found.append(_seconds(run, device))
    return min(found)


def _seconds(run: Run, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
