"""The peak of a machine as measured: a matrix product and a 3x3 convolution, in two precisions."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from diamond.config.networks import Precision
from diamond.rng import torch_generator
from diamond.seeds import Purpose

Kind = Literal["product", "convolution"]
Peaks = Mapping[Kind, Mapping[Precision, float]]
"""GFLOP/s by kind and precision."""

SIDE, SMALL_SIDE = 2048, 512
CHANNELS, PIXELS, BATCH, SMALL_BATCH = 64, 64, 32, 2
ROUND_SECONDS = 0.4
SLOW_SECONDS = 0.5
"""Where the whole size would take longer, the small one says how fast the machine is."""
DTYPES: Mapping[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Make = Callable[[int, torch.dtype, torch.device], tuple[Callable[[], Tensor], int]]


@torch.no_grad()
def measure_peaks(device: torch.device) -> Peaks:
    """GFLOP/s of the fastest run; a multiplication and an addition count as two.

    It takes a few seconds, and as many threads as torch has.
    """
    sizes: dict[Kind, tuple[Make, int, int]] = {
        "product": (_product, SMALL_SIDE, SIDE),
        "convolution": (_convolution, SMALL_BATCH, BATCH),
    }
    return {
        kind: {name: _rate(make, small, whole, dtype, device) for name, dtype in DTYPES.items()}
        for kind, (make, small, whole) in sizes.items()
    }


def _product(
    side: int, dtype: torch.dtype, device: torch.device
) -> tuple[Callable[[], Tensor], int]:
    left, right = (_numbers(device, side, side).to(dtype) for _ in range(2))
    return lambda: left @ right, 2 * side**3


def _convolution(
    batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[Callable[[], Tensor], int]:
    frames, weight = (
        _numbers(device, *shape).to(dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((batch, CHANNELS, PIXELS, PIXELS), (CHANNELS, CHANNELS, 3, 3))
    )
    return lambda: torch.conv2d(frames, weight, padding=1), 2 * 9 * (CHANNELS * PIXELS) ** 2 * batch


def _rate(make: Make, small: int, whole: int, dtype: torch.dtype, device: torch.device) -> float:
    run, flop = make(small, dtype, device)
    rate = flop / _least_seconds(run) / 1e9
    run, flop = make(whole, dtype, device)
    return rate if flop / rate / 1e9 > SLOW_SECONDS else flop / _least_seconds(run) / 1e9


def _least_seconds(run: Callable[[], Tensor]) -> float:
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=ROUND_SECONDS).times)


def _numbers(device: torch.device, *shape: int) -> Tensor:
    generator = torch_generator(0, Purpose.BENCH, "peak")
    return torch.randn(*shape, generator=generator).to(device)
