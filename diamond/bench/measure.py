"""All that a request asks for, part after part; no torch in this process."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diamond.bench.cases import COMPARED, NETWORK_PARTS, Case, cases_of
from diamond.bench.client import Side, open_ours, open_released
from diamond.bench.equality import Check, compare_files
from diamond.bench.packing import Packed, measure_packing
from diamond.bench.request import Request
from diamond.bench.rounds import Timing, ratio, time_in_turn
from diamond.bench.scale import Cost, measure_scale
from diamond.bench.startup import measure_startup

Note = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """Times of one case.

    Attributes:
        case: What was timed.
        ours: Seconds of one run.
        released: The same of the released code, or None.
        flop: Floating-point operations of one run, None where they are not counted.
    """

    case: Case
    ours: Timing
    released: Timing | None
    flop: int | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the released code takes."""
        return None if self.released is None else ratio(self.released, self.ours)


@dataclass
class Findings:
    """Everything that was measured. Mutable: it fills part by part.

    Attributes:
        facts: What our side says of itself; empty where it was not asked.
        peaks: GFLOP/s by kind and precision, or None.
        cases: In the order of the parts.
        checks: One per output of both sides.
        startup: Seconds by command.
        scale: Points of `scale`.
        packing: Updates in one process and in several at once.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    peaks: Mapping[str, Any] | None = None
    cases: list[Measured] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    startup: dict[str, Timing] = field(default_factory=dict)
    scale: list[Cost] = field(default_factory=list)
    packing: list[Packed] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all outputs agree."""
        return all(check.passed for check in self.checks)


def measure(request: Request, note: Note) -> Findings:
    """Measure what a request asks for.

    Args:
        request: Parts, config, reference.
        note: Told what was found, a line at a time.

    Raises:
        BenchError: A process fails.
    """
    found = Findings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sides = _open(request, folder, stack)
        found.facts = sides[0].facts
        if "peak" in request.parts or any(part in NETWORK_PARTS for part in request.parts):
            found.peaks = sides[0].peaks()
            note(f"peak: {_peak_text(found.peaks)}")
        if len(sides) == 2:
            found.checks = _check(request, sides, folder, note)
        for part in request.parts:
            for case in cases_of(part, request.config):
                measured = measure_case(case, sides if part in COMPARED else sides[:1])
                note(_case_text(measured))
                found.cases.append(measured)
    if "startup" in request.parts:
        found.startup = measure_startup(request.config, request.threads, note)
    if "scale" in request.parts:
        found.scale = measure_scale(request, note)
    if "packing" in request.parts:
        found.packing = measure_packing(request, note)
    return found


def measure_case(case: Case, sides: list[Side]) -> Measured:
    """Time a case on one side, or on two in turn; our side comes first."""
    for side in sides:
        side.prepare(case)
    timings = time_in_turn([side.run for side in sides])
    flop = sides[0].count() if case.part in NETWORK_PARTS else None
    return Measured(case, timings[0], timings[1] if len(timings) > 1 else None, flop)


def _open(request: Request, folder: Path, stack: ExitStack) -> list[Side]:
    ours = open_ours(request.config, request.threads, request.compiled)
    stack.callback(ours.close)
    if request.reference is None:
        return [ours]
    weights = folder / "weights.safetensors"
    ours.write_weights(weights)
    released = open_released(request.config, request.threads, request.reference, weights)
    stack.callback(released.close)
    return [ours, released]


def _check(request: Request, sides: list[Side], folder: Path, note: Note) -> list[Check]:
    checks: list[Check] = []
    for part in (part for part in NETWORK_PARTS if part in request.parts):
        paths = [folder / f"{part}-{index}.safetensors" for index in range(len(sides))]
        for side, path in zip(sides, paths, strict=True):
            side.outputs(part, path)
        found = compare_files(part, paths[0], paths[1], request.config)
        failed = [check.what for check in found if not check.passed]
        note(f"{part}: both compute the same" if not failed else f"{part}: differs in {failed}")
        checks += found
    return checks


def _peak_text(peaks: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{kind} {precision} {rate:.3g} GFLOP/s"
        for kind, rates in peaks.items()
        for precision, rate in rates.items()
    )


def _case_text(measured: Measured) -> str:
    text = f"{measured.case.name}: {measured.ours.median:.4g} s"
    if measured.released is None or measured.ratio is None:
        return text
    return f"{text}, released {measured.released.median:.4g} s, ratio {measured.ratio:.2f}"
