"""What grows with batch, horizon, history and resolution: seconds and memory, our side alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from diamond.bench.cases import Case
from diamond.bench.client import open_ours
from diamond.bench.request import Request
from diamond.bench.rounds import Timing, time_in_turn
from diamond.config.overrides import override
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of

SCALED_BATCHES = (1, 2, 4, 8, 16, 32, 64)
HORIZONS = (1, 5, 15, 30)
HISTORIES = (1, 2, 4, 8, 16)
RESOLUTIONS = (32, 64, 96)
Note = Callable[[str], None]


@dataclass(frozen=True)
class Point:
    """A case at one value of what is varied.

    Attributes:
        axis: Batch, horizon, history or resolution.
        value: Rows, env steps, past frames, pixels of a side.
        case: What is run.
        config: With the value set.
    """

    axis: str
    value: int
    case: Case
    config: RunConfig


@dataclass(frozen=True)
class Cost:
    """What a point takes; memory is that of a process of its own, or of its GPU, at most."""

    point: Point
    timing: Timing
    peak_bytes: int


def points_of(base: RunConfig) -> list[Point]:
    """All points; a value that a config does not allow is left out."""
    return list(_points(base))


def measure_scale(request: Request, note: Note) -> list[Cost]:
    """Time every point in a process of its own."""
    found = []
    for point in points_of(request.config):
        side = open_ours(point.config, request.threads, request.compiled)
        try:
            side.prepare(point.case)
            (timing,) = time_in_turn([side.run])
            cost = Cost(point, timing, side.peak_memory())
        finally:
            side.close()
        found.append(cost)
        note(
            f"scale, {point.axis} {point.value}, {point.case.part}: {timing.median:.4g} s, "
            f"{cost.peak_bytes / 2**20:.0f} MiB"
        )
    return found


def _points(base: RunConfig) -> Iterator[Point]:
    steps = diamond_of(base).sampler.steps
    for batch in SCALED_BATCHES:
        config = override(base, {"denoiser.batch_size": batch})
        yield Point("batch", batch, Case("denoiser", batch), config)
        yield Point("batch", batch, Case("imagination", batch, steps), config)
    for horizon in HORIZONS:
        config = override(base, {"policy.horizon_steps": horizon})
        yield Point("horizon", horizon, Case("policy", base.policy.batch_size), config)
    rows = diamond_of(base).denoiser.batch_size
    varied = [("history", value, {"denoiser.history": value}) for value in HISTORIES]
    varied += [
        ("resolution", value, {"view.height": value, "view.width": value}) for value in RESOLUTIONS
    ]
    for axis, value, fields in varied:
        try:
            config = override(base, fields)
        except RequestError:
            continue
        yield Point(axis, value, Case("denoiser", rows), config)
        yield Point(axis, value, Case("imagination", rows, steps), config)
