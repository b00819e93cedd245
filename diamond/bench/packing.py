"""Updates in several processes at once on one device, as the workers of a study share it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from diamond.bench.cases import Case, Part, cases_of
from diamond.bench.client import Side, open_ours
from diamond.bench.request import Request
from diamond.bench.rounds import Timing, time_in_turn
from diamond.engine.devices import visible_gpus

PACKED: tuple[Part, ...] = ("denoiser", "reward_end", "policy")
GPU_PROCESSES = (1, 2, 4, 8)
Note = Callable[[str], None]


@dataclass(frozen=True)
class Packed:
    """Some processes that run the same case at once.

    Attributes:
        case: What each of them runs.
        processes: How many.
        threads: Of each.
        timing: Seconds until all have run it once.
        peak_bytes: Memory of all together, at most.
    """

    case: Case
    processes: int
    threads: int
    timing: Timing
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Runs a second of all together."""
        return self.processes / self.timing.median


def measure_packing(request: Request, note: Note) -> list[Packed]:
    """Time the updates of every network in one process and in several at once."""
    found = []
    for part in PACKED:
        for case in cases_of(part, request.config):
            for processes in process_counts(request.threads, len(visible_gpus())):
                packed = _measure(request, case, processes)
                found.append(packed)
                note(
                    f"packing, {case.name} in {processes} process{'es' if processes > 1 else ''}: "
                    f"{packed.rate:.4g} updates/s, {packed.peak_bytes / 2**20:.0f} MiB"
                )
    return found


def process_counts(threads: int, num_gpus: int) -> tuple[int, ...]:
    """How many at once: up to eight on a GPU, else up to a thread for each; doubling."""
    if num_gpus:
        return GPU_PROCESSES
    return tuple(_doubling(threads))


def _doubling(limit: int) -> Iterator[int]:
    count = 1
    while count <= limit:
        yield count
        count *= 2


def _measure(request: Request, case: Case, processes: int) -> Packed:
    threads = max(1, request.threads // processes)
    with ExitStack() as stack:
        sides = []
        for _ in range(processes):
            side = open_ours(request.config, threads, request.compiled)
            stack.callback(side.close)
            sides.append(side)
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        list(pool.map(lambda side: side.prepare(case), sides))
        (timing,) = time_in_turn([lambda repeats: _run_all(pool, sides, repeats)])
        peak_bytes = sum(side.peak_memory() for side in sides)
    return Packed(case, processes, threads, timing, peak_bytes)


def _run_all(pool: ThreadPoolExecutor, sides: Sequence[Side], repeats: int) -> float:
    """Seconds of the slowest: all begin at once."""
    seconds: list[float] = list(pool.map(lambda side: side.run(repeats), sides))
    return max(seconds)
