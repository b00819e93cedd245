"""The document of the measurements, which the tables show: docs/reference/bench.md."""

import os
import platform
from pathlib import Path
from typing import Any

from diamond.bench.cases import UNITS, precision_of
from diamond.bench.measure import Findings, Measured
from diamond.bench.packing import Packed
from diamond.bench.projection import Projection, project
from diamond.bench.request import Request
from diamond.bench.rounds import RULE, Timing
from diamond.bench.scale import Cost
from diamond.config.base import canonical
from diamond.families.diamond.config import diamond_of

Document = dict[str, Any]
FLOP_METHOD = (
    "of one run of our side by torch.utils.flop_counter: products, convolutions, attention, "
    "forward and backward; a multiplication and an addition are two; the same number for both sides"
)
_CPU_FILE = Path("/proc/cpuinfo")


def bench_document(request: Request, found: Findings) -> Document:
    """Lay out all that was measured as plain data; NaN never appears."""
    return {
        "machine": _machine(request, found),
        "config": _config(request, found),
        "reference": None if request.reference is None else str(request.reference),
        "parts": list(request.parts),
        "rounds": {"rule": RULE, "flop": FLOP_METHOD},
        "peak": None if found.peaks is None else dict(found.peaks),
        "cases": [_case(request, found, measured) for measured in found.cases],
        "checks": [check.data() for check in found.checks],
        "startup": [{"command": name} | _timing(timing) for name, timing in found.startup.items()],
        "scale": [_cost(cost) for cost in found.scale],
        "packing": [_packed(packed, found) for packed in found.packing],
        "agent": _agent(project(request.config, found.cases)),
        "passed": found.passed,
    }


def _machine(request: Request, found: Findings) -> Document:
    return {
        "processor": processor_name(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": request.threads,
        "compiled": request.compiled,
        "device": found.facts.get("device"),
        "torch": found.facts.get("torch"),
        "python": platform.python_version(),
    }


def _config(request: Request, found: Findings) -> Document:
    config = request.config
    counts = found.facts.get("num_parameters", {})
    networks = [
        ("denoiser", diamond_of(config).denoiser.batch_size, diamond_of(config).denoiser.precision),
        (
            "reward_end",
            diamond_of(config).reward_end.batch_size,
            diamond_of(config).reward_end.precision,
        ),
        ("policy", config.policy.batch_size, "float32"),
    ]
    return {
        "preset": config.preset,
        "game": config.game,
        "settings": list(request.settings),
        "networks": [
            {
                "name": name,
                "parameters": counts.get(name),
                "batch_size": batch_size,
                "precision": precision,
            }
            for name, batch_size, precision in networks
        ],
        "resolved": canonical(config),
    }


def _case(request: Request, found: Findings, measured: Measured) -> Document:
    case, flop = measured.case, measured.flop
    precision = precision_of(case.part, request.config)
    gflops = None if flop is None else flop / measured.ours.median / 1e9
    peak = None
    if found.peaks is not None and precision is not None:
        peak = found.peaks["conv"][precision]
    return {
        "part": case.part,
        "name": case.name,
        "steps": case.steps,
        "batch": case.batch,
        "unit": UNITS[case.part],
        "precision": precision,
        "ours": _rated(measured.ours, case.units),
        "released": None if measured.released is None else _rated(measured.released, case.units),
        "ratio": measured.ratio,
        "gflop": None if flop is None else flop / 1e9,
        "gflops": gflops,
        "share_of_peak": None if gflops is None or peak is None else gflops / peak,
    }


def _rated(timing: Timing, units: int) -> Document:
    return _timing(timing) | {"rate": units / timing.median}


def _timing(timing: Timing) -> Document:
    return {
        "median": timing.median,
        "min": timing.least,
        "max": timing.most,
        "rounds": len(timing.seconds),
    }


def _cost(cost: Cost) -> Document:
    point = cost.point
    return {
        "axis": point.axis,
        "value": point.value,
        "part": point.case.part,
        "batch": point.case.batch,
        "unit": UNITS[point.case.part],
        "peak_memory_mib": cost.peak_bytes / 2**20,
    } | _rated(cost.timing, point.case.units)


def _packed(packed: Packed, found: Findings) -> Document:
    (alone,) = (p for p in found.packing if p.case == packed.case and p.processes == 1)
    return {
        "part": packed.case.part,
        "processes": packed.processes,
        "threads": packed.threads,
        "unit": UNITS[packed.case.part],
        "gain": packed.rate / alone.rate,
        "peak_memory_mib": packed.peak_bytes / 2**20,
    } | _rated(packed.timing, packed.processes)


def _agent(projection: Projection | None) -> list[Document]:
    if projection is None:
        return []
    return [
        {
            "part": part,
            "count": count,
            "unit": UNITS[part],
            "hours": projection.ours[part],
            "released_hours": projection.released.get(part),
        }
        for part, count in projection.counts.items()
    ]


def processor_name() -> str:
    """What the processor is called, as far as the system says."""
    if _CPU_FILE.is_file():
        for line in _CPU_FILE.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
