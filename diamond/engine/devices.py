"""The accelerators of this machine, found without loading torch."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diamond.errors import RequestError

VISIBLE = "CUDA_VISIBLE_DEVICES"
QUERY_SECONDS = 20.0
_DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
_PROCESSOR = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^flags\s*:(.*)$", re.MULTILINE)
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert"})
_UNCOMPILED = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE", "TORCHDYNAMO_SUPPRESS_ERRORS")
_LISTED = re.compile(r"\(UUID: (?P<kind>GPU|MIG)-(?P<rest>[^)]+)\)")


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the GPUs that a process may use, as ``CUDA_VISIBLE_DEVICES`` takes them.

    What the variable says counts; without it, all that the driver lists.
    """
    if VISIBLE in environment:
        return _named(environment[VISIBLE])
    return _driver_gpus()


def device_kind() -> str:
    """What stages made now will run on: cuda or cpu."""
    return "cuda" if visible_gpus() else "cpu"


@dataclass(frozen=True)
class Workers:
    """The processes that make stages; nothing of it is part of a stage's key.

    Attributes:
        jobs: How many; 0 where others make everything.
        compiled: Whether torch compiles the networks of the world model in them.
        gpu_share: How many share one GPU.
    """

    jobs: int
    compiled: bool = False
    gpu_share: int = 1

    @property
    def device(self) -> str:
        """What stages run on that are made now, as their manifests name it."""
        return named_device(device_kind(), self.compiled)


def named_device(device: str, compiled: bool) -> str:
    """A device as manifests name it: compiled networks round in another way."""
    return f"{device} (compiled)" if compiled else device


def check_compiler() -> None:
    """Make sure that torch can compile here.

    Raises:
        RequestError: There is no compiler of C++, or a variable tells torch not to compile.
    """
    for name in _UNCOMPILED:
        if os.environ.get(name, "") not in ("", "0"):
            raise RequestError(
                f"--compile: the variable {name}={os.environ[name]} tells torch to go on without "
                "compiling\n  unset it, or leave --compile out"
            )
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise RequestError(
            f"--compile: torch compiles with {compiler}, which is not found\n"
            "  install it, name another compiler in the variable CXX, or leave --compile out"
        )


def default_jobs(gpu_share: int = 1) -> int:
    """Worker processes where nobody says how many: one per GPU, without one as many as cores.

    Several may share a GPU.

    At `paper` an update of the denoiser or the reward/end model takes 5 to 8 GB (activations, seen
    on a processor): one process per core would not fit on a GPU.
    """
    return len(visible_gpus()) * gpu_share or len(os.sched_getaffinity(0))


def emulates_bfloat16(processor: Path = _PROCESSOR) -> bool:
    """Whether stages made now calculate in bfloat16 without instructions for it.

    Known of x86 processors under Linux; of others it is taken for granted that they have them.
    """
    if device_kind() == "cuda" or not processor.is_file():
        return False
    found = _FLAGS.search(processor.read_text())
    return found is not None and not _BFLOAT16 & set(found[1].split())


def processor_name(processor: Path = _PROCESSOR) -> str:
    """What the processor is called, as far as the system says."""
    lines = processor.read_text().splitlines() if processor.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def least_used(gpus: Sequence[str], taken: Iterable[str]) -> str:
    """The GPU with the fewest workers on it, the first of several."""
    workers = Counter(taken)
    return min(gpus, key=lambda gpu: workers[gpu])


def listed_gpus(text: str) -> tuple[str, ...]:
    """Read the output of ``nvidia-smi -L``: the parts of a GPU that is split stand for it."""
    found: list[str] = []
    for match in _LISTED.finditer(text):
        name = f"{match['kind']}-{match['rest']}"
        if match["kind"] == "MIG" and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(name)
    return tuple(found)


def _named(text: str) -> tuple[str, ...]:
    """The entries of the variable up to the first that names nothing, as CUDA reads it."""
    names: list[str] = []
    for part in text.split(","):
        name = part.strip()
        if not name or name.startswith("-"):
            break
        names.append(name)
    return tuple(names)


@cache
def _driver_gpus() -> tuple[str, ...]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=True,
            timeout=QUERY_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        count = len(list(_DRIVER_FOLDER.iterdir())) if _DRIVER_FOLDER.is_dir() else 0
        return tuple(map(str, range(count)))
    return listed_gpus(done.stdout)
