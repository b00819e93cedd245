"""`python -m benchmarks`: each part timed on this machine, beside the released code in turn."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from torch.utils.benchmark import Measurement, Timer

from benchmarks import sides
from benchmarks.cases import NETWORK_PARTS, PARTS, Case, as_released, cases_of, precisions_of
from benchmarks.equality import compare, limit_of
from benchmarks.sides import Side, time_in_turn
from diamond.config.game_names import check_game
from diamond.config.presets import make_preset
from diamond.config.processes import python_command, python_environment
from diamond.config.run import RunConfig
from diamond.errors import DiamondError, ExitCode, RequestError, one_of
from diamond.families.diamond.config import diamond_of
from diamond.peaks import Peaks
from diamond.plan.designs import read_setting
from diamond.plan.variants import apply_axes

COMMANDS = (("--help",), ("axes",), ("ablate", "steps=1,3,10", "--dry-run"))
NEEDED = ("src/agent.py", "src/models/diffusion/denoiser.py")
"""Files by which a checkout is known."""


def read_words(words: Sequence[str]) -> tuple[argparse.Namespace, RunConfig]:
    """Read the words of the command: what to measure and how long, and the config.

    Raises:
        RequestError: A word is unknown, a value out of range, or the reference no checkout.
    """
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    add("--reference", type=Path, help="checkout of github.com/eloialonso/diamond")
    add("--preset", default="paper", help="networks and batches")
    add("--game", default="Breakout", help="a game of Atari 100k")
    add("--set", action="append", default=[], metavar="'AXIS=V ...'")
    add("--steps", type=int, nargs="+", default=(1, 3, 10), help="of imagined frames")
    add("--batches", type=int, nargs="+", default=(1, 32, 256), help="of imagined frames")
    add("--rounds", type=int, default=3, help="turns of each side")
    add("--seconds", type=float, default=1.0, help="least seconds of a turn")
    add("--compile", action="store_true", help="let torch compile our world model")
    given = parser.parse_args(words)
    if min(given.rounds, *given.steps, *given.batches) < 1:
        raise RequestError("--rounds, --steps and --batches are at least 1")
    named = {one_of("part", part, PARTS, "name some of them") for part in given.parts}
    given.parts = [part for part in PARTS if part in (named or PARTS)]
    config = make_preset(given.preset, check_game(given.game))
    config = apply_axes(config, read_setting(given.set, "--set").chosen)
    if given.reference is None:
        return given, config
    if missing := [name for name in NEEDED if not (given.reference / name).is_file()]:
        raise RequestError(
            f"--reference {str(given.reference)!r} is no checkout of the released code: it has no "
            f"{missing[0]}\n  give a clone of github.com/eloialonso/diamond, branch main"
        )
    given.reference = given.reference.absolute()
    return given, as_released(config)


def measure(given: argparse.Namespace, config: RunConfig) -> bool:
    """Measure and print, part by part; whether both sides compute the same."""
    passed = True
    with ExitStack() as stack:
        programs = _open(given, config, stack)
        ours = programs[0]
        where = f"{ours.ask(sides.device_name)}, {torch.get_num_threads()} threads"
        print(f"{where}, torch {torch.__version__}, {given.preset}, {config.game}")
        compared = [part for part in NETWORK_PARTS if part in given.parts]
        for part in compared if len(programs) == 2 else ():
            mine, theirs = (side.ask(sides.outputs, part) for side in programs)
            for check in compare(part, mine, theirs, limit_of(part, config)):
                passed = passed and check.passed
                word = "same" if check.passed else "DIFFERS"
                print(f"{word}: {part} {check.what} {check.difference:.2g} ({check.limit:.2g})")
        peaks = ours.ask(sides.peaks) if compared else {}
        for kind, rates in peaks.items():
            print(f"peak of a {kind}, GFLOP/s:", *(f"{k} {v:.3g}" for k, v in rates.items()))
        for case in cases_of(given.parts, config, given.steps, given.batches):
            found = time_in_turn(programs, case, given.rounds, given.seconds)
            flop = ours.ask(sides.count_flop) if case.part in NETWORK_PARTS else 0
            print(case_line(case, found, flop, peaks, config))
    if "startup" in given.parts:
        _measure_startup(config, given.rounds * given.seconds)
    return passed


def case_line(
    case: Case, found: Sequence[Measurement], flop: int, peaks: Peaks, config: RunConfig
) -> str:
    """Seconds of a run on each side, their ratio, and the share of the peak."""
    line = f"{case.name:<29} ours {_span(found[0])}"
    if len(found) == 2:
        ratio = found[1].median / found[0].median
        line += f"  released {_span(found[1])}  ratio {ratio:.2f}"
    if flop:
        rate = flop / found[0].median / 1e9
        peak = peaks["convolution"][precisions_of(case.part, config)[0]]
        line += f"  {rate:.3g} GFLOP/s, {rate / peak:.0%} of the peak"
    return line


def _span(found: Measurement) -> str:
    return f"{found.median:.3g} s (IQR {found.iqr:.2g})"


def _open(given: argparse.Namespace, config: RunConfig, stack: ExitStack) -> list[Side]:
    threads, ours = torch.get_num_threads(), stack.enter_context(Side())
    ours.ask(sides.open_ours, config, threads, given.compile)
    if given.reference is None:
        return [ours]
    weights = ours.ask(sides.released_weights)
    released = stack.enter_context(Side())
    released.ask(sides.open_released, config, threads, given.reference, weights)
    return [ours, released]


def _measure_startup(config: RunConfig, seconds: float) -> None:
    """Seconds of commands and of a first imagined frame, each time in a fresh process."""
    with tempfile.TemporaryDirectory() as home:
        runs: dict[str, Callable[[], object]] = {
            f"diamond {' '.join(words)}": partial(_run, words, home) for words in COMMANDS
        }
        runs["first imagined frame"] = partial(_first_frame, config)
        for name, run in runs.items():
            timer = Timer("run()", globals={"run": run})
            print(f"{name:<34} {_span(timer.blocked_autorange(min_run_time=seconds))}")


def _run(words: Sequence[str], home: str) -> None:
    where = ("--home", home) if words[0] == "ablate" else ()
    command = python_command("diamond", *words, *where)
    subprocess.run(command, capture_output=True, check=True, env=python_environment())


def _first_frame(config: RunConfig) -> None:
    with Side() as side:
        side.ask(sides.open_ours, config, torch.get_num_threads())
        side.ask(sides.prepare, Case("imagination", 1, diamond_of(config).sampler.steps))
        side.ask(sides.run_once)


def main(words: Sequence[str]) -> int:
    """Run the command; its exit code."""
    try:
        return ExitCode.DONE if measure(*read_words(words)) else ExitCode.RUN_FAILED
    except DiamondError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
