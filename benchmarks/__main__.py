"""`python -m benchmarks`: each part timed on this machine, beside the released code in turn."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.benchmark import Measurement, Timer

from benchmarks import cases, sides
from benchmarks.cases import NETWORK_PARTS, PARTS, Case, Part
from benchmarks.equality import compare, limit_of
from benchmarks.sides import Side, time_in_turn
from diamond.ablation.designs import read_setting
from diamond.ablation.variants import apply_axes
from diamond.config.games import check_game
from diamond.config.presets import make_preset
from diamond.config.processes import python_command, python_environment
from diamond.config.run import RunConfig
from diamond.errors import DiamondError, ExitCode, RequestError, one_of
from diamond.families.diamond.config import diamond_of
from diamond.peaks import Peaks, measure_peaks

COMMANDS = (("--help",), ("axes",), ("ablate", "steps=1,3,10", "--dry-run"))
NEEDED = ("src/agent.py", "src/models/diffusion/denoiser.py")
"""Files by which a checkout is known."""


@dataclass(frozen=True)
class Request:
    """What to measure, how long, and beside what."""

    parts: Sequence[Part]
    cases: Sequence[Case]
    config: RunConfig
    reference: Path | None
    rounds: int
    seconds: float
    threads: int
    compiled: bool


def read_request(words: Sequence[str]) -> Request:
    """Read the words of the command.

    Raises:
        RequestError: A word is unknown, a value out of range, or the reference no checkout.
    """
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--reference", type=Path, help="checkout of github.com/eloialonso/diamond")
    parser.add_argument("--preset", default="paper", help="networks and batches")
    parser.add_argument("--game", default="Breakout", help="a game of Atari 100k")
    parser.add_argument("--set", action="append", default=[], metavar="'AXIS=V ...'")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=cases.STEPS, help="of imagined frames"
    )
    parser.add_argument(
        "--batches", type=int, nargs="+", default=cases.BATCHES, help="of imagined frames"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=1.0, help="least seconds of a turn")
    parser.add_argument("--compile", action="store_true", help="compile our world model")
    given = parser.parse_args(words)
    if min(given.rounds, *given.steps, *given.batches) < 1:
        raise RequestError("--rounds, --steps and --batches are at least 1")
    named = {one_of("part", part, PARTS, "name some of them") for part in given.parts}
    parts = tuple(part for part in PARTS if part in (named or PARTS))
    config = make_preset(given.preset, check_game(given.game))
    config = apply_axes(config, read_setting(given.set, "--set").chosen)
    if given.reference is not None:
        _check_checkout(given.reference)
        config = cases.as_released(config)
    return Request(
        parts,
        [
            case
            for part in parts
            for case in cases.cases_of(part, config, given.steps, given.batches)
        ],
        config,
        given.reference and given.reference.absolute(),
        given.rounds,
        given.seconds,
        torch.get_num_threads(),
        given.compile,
    )


def measure(request: Request) -> bool:
    """Measure and print, part by part; whether both sides compute the same."""
    config, passed = request.config, True
    with ExitStack() as stack:
        programs = _open(request, stack)
        ours = programs[0]
        device = ours.ask(sides.device_name)
        print(f"{device}, {request.threads} threads, torch {torch.__version__}, {config.game}")
        compared = [part for part in NETWORK_PARTS if part in request.parts]
        for part in compared if len(programs) == 2 else ():
            for check in compare(
                part, *(side.ask(sides.outputs, part) for side in programs), limit_of(part, config)
            ):
                passed = passed and check.passed
                word = "same" if check.passed else "DIFFERS"
                print(f"{word}: {part} {check.what} {check.difference:.2g} ({check.limit:.2g})")
        peaks = ours.ask(measure_peaks, torch.device(device)) if compared else {}
        for kind, rates in peaks.items():
            print(f"peak of a {kind}, GFLOP/s:", *(f"{k} {v:.3g}" for k, v in rates.items()))
        for case in request.cases:
            found = time_in_turn(programs, case, request.rounds, request.seconds)
            flop = ours.ask(sides.count_flop) if case.part in NETWORK_PARTS else 0
            print(case_line(case, found, flop, peaks, config))
    if "startup" in request.parts:
        _measure_startup(request)
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
        peak = peaks["convolution"][cases.precisions_of(case.part, config)[0]]
        line += f"  {rate:.3g} GFLOP/s, {rate / peak:.0%} of the peak"
    return line


def _span(found: Measurement) -> str:
    return f"{found.median:.3g} s (IQR {found.iqr:.2g})"


def _open(request: Request, stack: ExitStack) -> list[Side]:
    ours = Side()
    stack.callback(ours.close)
    weights = ours.ask(sides.open_ours, request.config, request.threads, request.compiled)
    if request.reference is None:
        return [ours]
    released = Side()
    stack.callback(released.close)
    released.ask(sides.open_released, request.config, request.threads, request.reference, weights)
    return [ours, released]


def _measure_startup(request: Request) -> None:
    """Seconds of commands and of a first imagined frame, each time in a fresh process."""
    with tempfile.TemporaryDirectory() as home:
        for words in COMMANDS:
            where = ("--home", home) if words[0] == "ablate" else ()
            command = python_command("diamond", *words, *where)
            _show_startup(f"diamond {' '.join(words)}", lambda c=command: _run(c), request)
    _show_startup("first imagined frame", lambda: _first_frame(request), request)


def _show_startup(name: str, run: Callable[[], object], request: Request) -> None:
    timer = Timer("run()", globals={"run": run})
    found = timer.blocked_autorange(min_run_time=request.rounds * request.seconds)
    print(f"{name:<34} {_span(found)}")


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=python_environment())


def _first_frame(request: Request) -> None:
    side = Side()
    try:
        side.ask(sides.open_ours, request.config, request.threads)
        side.ask(sides.prepare, Case("imagination", 1, diamond_of(request.config).sampler.steps))
        side.ask(sides.run_once)
    finally:
        side.close()


def _check_checkout(path: Path) -> None:
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise RequestError(
            f"--reference {str(path)!r} is no checkout of the released code: it has no "
            f"{missing[0]}\n  give a clone of github.com/eloialonso/diamond, branch main"
        )


def main(words: Sequence[str]) -> int:
    """Run the command; its exit code."""
    try:
        return ExitCode.DONE if measure(read_request(words)) else ExitCode.RUN_FAILED
    except DiamondError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
