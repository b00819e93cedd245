"""Where the stages of a command are made: on this machine, or by workers of a scheduler."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from diamond.config.engine_options import OPTIONS, check_options
from diamond.config.processes import python_command
from diamond.engine.devices import Workers
from diamond.engine.files import read_json
from diamond.errors import RequestError, unknown
from diamond.workers.launcher import Launcher

RECORDS = "workers"
"""In a study's folder: what was submitted, a JSON file an engine, with its ``options``."""
DETACHED_IDLE = "24h"
"""How long workers wait for a stage where no command stays in front."""


@dataclass(frozen=True)
class EngineChoice:
    """Where stages are made; nothing of it is part of a stage's key.

    Attributes:
        name: Of `OPTIONS`.
        options: What is said to it.
        detach: Whether the command submits workers and ends.
    """

    name: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)
    detach: bool = False


def read_engine(
    name: str, text: str | None, detach: bool, declared: Mapping[str, str] | None = None
) -> EngineChoice:
    """Read an engine and what is said to it, as a command line has it.

    Args:
        name: Its name.
        text: Such as ``partition=gpu time=24:00:00``.
        detach: Whether the command submits workers and ends.
        declared: What a declaration says to Slurm; the text takes its place.

    Raises:
        RequestError: There is no such engine, or it knows no such option.
    """
    if name not in OPTIONS:
        raise unknown("engine", name, OPTIONS, "docs/cluster.md says what they need")
    if detach and name == "local":
        raise RequestError(
            "--detach needs workers that go on without this command\n"
            "  add --engine slurm or --engine ray"
        )
    # Nobody starts others in the place of workers that end for want of a stage.
    said = {"idle": DETACHED_IDLE} if detach else {}
    said |= declared or {} if name == "slurm" else {}
    for word in shlex.split(text or ""):
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise RequestError(
                f"--engine-options: {word!r} is not NAME=VALUE\n"
                '  for instance --engine-options "partition=gpu time=24:00:00"'
            )
        said[key] = value
    return EngineChoice(name, check_options(name, said), detach)


def is_installed(name: str) -> bool:
    """Whether this machine has the programs of an engine."""
    match name:
        case "slurm":
            return shutil.which("sbatch") is not None
        case "ray":
            return find_spec("ray") is not None
        case _:
            return True


def find_launcher(
    choice: EngineChoice, home: Path, study: str, workers: Workers
) -> Launcher | None:
    """What starts workers for a study, once it is seen to be there; None: this machine does.

    Raises:
        EngineError: The scheduler is not there, does not answer, or has no such partition.
    """
    command = work_command(home, study, choice.options, workers)
    match choice.name:
        case "slurm":
            from diamond.workers.slurm import SlurmLauncher  # noqa: PLC0415

            return SlurmLauncher(home / "studies" / study, command, choice.options)
        case "ray":
            from diamond.workers.ray_cluster import RayLauncher  # noqa: PLC0415

            wanted = command if workers.jobs else ()
            return RayLauncher(home / "studies" / study, wanted, choice.options)
        case _:
            return None


def submitted_launchers(home: Path, study: str) -> list[Launcher]:
    """What commands of a study submitted workers to.

    Raises:
        EngineError: It is not there, or does not answer.
    """
    folder = home / "studies" / study / RECORDS
    found = []
    for name in OPTIONS:
        record = read_json(folder / f"{name}.json")
        if isinstance(record, dict):
            choice = EngineChoice(name, record["options"])
            found.append(find_launcher(choice, home, study, Workers(0)))
    return [launcher for launcher in found if launcher is not None]


def work_command(
    home: Path, study: str, options: Mapping[str, str], workers: Workers
) -> Sequence[str]:
    """The command of one worker, which makes one stage at a time on each part of its GPUs."""
    words = ["work", "--home", str(home), "--study", study]
    if "gpu-share" in options:
        words += ["--gpu-share", options["gpu-share"]]
    else:
        words += ["--jobs", "1"]
    if "idle" in options:
        words += ["--idle", options["idle"]]
    if workers.compiled:
        words += ["--compile"]
    return python_command("diamond", *words)
