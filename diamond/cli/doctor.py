"""`diamond doctor`: what is installed here, how fast it is, whether home and store work."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from diamond.cli.options import DEFAULT_HOME, Home, TrackingUri
from diamond.config.engine_options import OPTIONS
from diamond.errors import DiamondError, ExitCode
from diamond.tracking.uris import default_uri, hide_secrets

PAYS = 1.2
"""Times as fast as in float32 from which on bfloat16 is worth its rounding."""
MORE_LIBRARIES = ("optuna", "minatar", "pandas", "pydantic")
GIB = 2**30
_MEMORY = Path("/proc/meminfo")
Document = dict[str, Any]


def doctor(
    home: Home = DEFAULT_HOME,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the document, and only that.")
    ] = False,
) -> None:
    """Say what is installed, how fast this machine is, and whether home and store work.

    It takes a few seconds and makes nothing. What it prints is what a report of a fault needs; it
    shows no password. Where home or store do not work, the exit code is 2.
    """
    from diamond.workers.engines import is_installed

    problems: list[str] = []
    document = {
        "code": _code(),
        "machine": _machine(),
        "speed": _speed(),
        "home": _told(lambda: _home(home.absolute()), problems),
        "tracking": _told(lambda: _tracking(home.absolute(), tracking_uri), problems),
        "engines": {name: is_installed(name) for name in OPTIONS},
    }
    if as_json:
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        typer.echo("\n".join(_lines(document)))
    for problem in problems:
        typer.echo(f"diamond: {problem}", err=True)
    if problems:
        raise typer.Exit(ExitCode.BAD_REQUEST)


def _told(look: Callable[[], Document], problems: list[str]) -> Document:
    """What a look finds; what is wrong is a problem, and the other looks go on."""
    try:
        return look()
    except DiamondError as error:
        problems.append(hide_secrets(str(error)))
        return {"problem": problems[-1]}


def _code() -> Document:
    from diamond.engine.provenance import code_version

    found = code_version()
    versions: dict[str, str | None] = dict(found["versions"])
    for name in MORE_LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {**found, "versions": versions}


def _machine() -> Document:
    import torch

    from diamond.engine.devices import processor_name, visible_gpus

    gpus = range(torch.cuda.device_count())
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB,
        "free_memory_gib": _free_memory(),
        "gpus_listed": list(visible_gpus()),
        "gpus_of_torch": [torch.cuda.get_device_name(index) for index in gpus],
    }


def _free_memory() -> float | None:
    """GiB that programs may still take; None where the system does not say."""
    if not _MEMORY.is_file():
        return None
    rows = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
    return int(rows["MemAvailable"].split()[0]) * 1024 / GIB


def _speed() -> Document:
    import torch

    from diamond.peaks import measure_peaks

    device = "cuda" if torch.cuda.is_available() else "cpu"
    peaks = measure_peaks(torch.device(device))
    times = peaks["convolution"]["bfloat16"] / peaks["convolution"]["float32"]
    verdict = "pays" if times >= PAYS else "does not pay"
    advice = f"bfloat16 {verdict} here: a convolution runs {times:.2g} times as fast as in float32"
    return {"device": device, "gflops": peaks, "bfloat16": advice}


def _home(folder: Path) -> Document:
    from diamond.engine.home import FILE_NAME, FORMAT, check_format
    from diamond.engine.stage_claim import Claim
    from diamond.engine.store import Store

    there = folder
    while not there.exists():
        there = there.parent
    disk = {"folder": str(folder), "free_disk_gib": shutil.disk_usage(there).free / GIB}
    if not folder.exists():
        return disk | {"state": "no home yet", "writable": os.access(there, os.W_OK)}
    check_format(folder)
    store, states = Store(folder), Counter[str]()
    for stage in store.stage_names():
        for key in store.keys(stage):
            manifest = store.manifest(stage, key)
            state = "damaged" if manifest is None else manifest["state"]
            held = state != "done" and Claim(store.work(stage, key)).holder()
            states["at work" if held else state] += 1
    return disk | {
        "state": f"format {FORMAT}" if (folder / FILE_NAME).exists() else "no home yet",
        "writable": os.access(folder, os.R_OK | os.W_OK | os.X_OK),
        "stages": dict(states),
    }


def _tracking(home: Path, tracking_uri: str | None) -> Document:
    from diamond.tracking.mlflow_open import is_there

    uri = tracking_uri or default_uri(home)
    return {"uri": hide_secrets(uri), "state": "answers" if is_there(uri) else "no store yet"}


def _lines(document: Document) -> list[str]:
    """The document for people: a line for each fact."""
    code, machine, speed = (document[name] for name in ("code", "machine", "speed"))
    versions = ", ".join(f"{name} {text or 'absent'}" for name, text in code["versions"].items())
    free = machine["free_memory_gib"]
    dirty = " with changes" if code["dirty"] else ""
    return [
        f"versions: {versions}",
        f"code: commit {code['git_commit'] or 'none'}{dirty}, sources {code['sources'][:12]}",
        f"machine: {code['platform']}, {machine['processor']}",
        f"cores: {machine['cores']}, threads of torch: {machine['threads']}",
        f"memory: {machine['memory_gib']:.1f} GiB"
        + ("" if free is None else f", {free:.1f} GiB free"),
        f"GPUs: {', '.join(machine['gpus_of_torch']) or 'none'}"
        f" ({len(machine['gpus_listed'])} listed by the driver)",
        *(
            f"peak of a {kind}: "
            + ", ".join(f"{rate:.3g} GFLOP/s in {name}" for name, rate in rates.items())
            for kind, rates in speed["gflops"].items()
        ),
        speed["bfloat16"],
        *(
            f"{name}: " + ", ".join(_fact(key, value) for key, value in document[name].items())
            for name in ("home", "tracking", "engines")
        ),
    ]


def _fact(key: str, value: object) -> str:
    name = key.replace("_gib", "").replace("_", " ")
    if isinstance(value, bool):
        return f"{name} {'yes' if value else 'no'}"
    if isinstance(value, dict):
        return f"{name} " + (" ".join(f"{n} {k}" for k, n in value.items()) or "none")
    return f"{name} {value:.1f} GiB" if isinstance(value, float) else f"{name} {value}"
