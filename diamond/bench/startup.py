"""Seconds from the start of a process to what it is asked for; no torch in this one."""

import subprocess
import tempfile
import time
from collections.abc import Callable

from diamond.bench.cases import Case
from diamond.bench.client import BenchError, open_ours
from diamond.bench.rounds import Timing
from diamond.config.processes import python_command, python_environment
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of

RUNS = 5
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("axes",),
    ("ablate", "steps=1,3,10", "--dry-run"),
)
FIRST_FRAME = "first imagined frame"
Note = Callable[[str], None]


def measure_startup(config: RunConfig, threads: int, note: Note) -> dict[str, Timing]:
    """Time commands and the first imagined frame, each in `RUNS` fresh processes.

    The frame is one of the preset's world model with fresh weights: Python and torch are loaded,
    the networks are built, one frame is drawn. A first run of each command is not counted: it may
    have to compile Python's modules.

    Raises:
        BenchError: A command fails.
    """
    found: dict[str, Timing] = {}
    with tempfile.TemporaryDirectory() as home:
        for words in COMMANDS:
            name = " ".join(("diamond", *words))
            where = ("--home", home) if words[0] == "ablate" else ()
            _seconds((*words, *where))
            found[name] = Timing(tuple(_seconds((*words, *where)) for _ in range(RUNS)))
            note(f"startup, {name}: {found[name].median:.2f} s")
    frames = tuple(_first_frame(config, threads) for _ in range(RUNS))
    found[FIRST_FRAME] = Timing(frames)
    note(f"startup, {FIRST_FRAME}: {found[FIRST_FRAME].median:.2f} s")
    return found


def _seconds(words: tuple[str, ...]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        python_command("diamond", *words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        env=python_environment(),
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BenchError(f"`diamond {' '.join(words)}` failed:\n{done.stderr.rstrip()}")
    return seconds


def _first_frame(config: RunConfig, threads: int) -> float:
    began = time.perf_counter()
    side = open_ours(config, threads)
    try:
        side.prepare(Case("imagination", 1, diamond_of(config).sampler.steps))
        side.run(1)
        return time.perf_counter() - began
    finally:
        side.close()
