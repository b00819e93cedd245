"""Kills, stopped owners, stepped clocks, damaged files, planted passwords, until time is over."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from tests.campaign.damage import damage_case
from tests.campaign.hosts import absent, hosts_case
from tests.campaign.kills import kill_case
from tests.campaign.owners import owner_case
from tests.campaign.planted import planted_case
from tests.campaign.processes import end_strays
from tests.campaign.ray_kills import no_ray, ray_case
from tests.campaign.state import Case, State
from tests.campaign.table import as_markdown, as_text, counts
from tests.commands import ROOT

Make = Callable[[State, Case, np.random.Generator, bool], None]
WANTED = {
    "kills-ablate": 50,
    "kills-train": 20,
    "kills-online": 20,
    "kills-sweep": 20,
    "owners": 30,
    "hosts": 60,
    "ray": 10,
    "damage": 100,
    "secrets": 4,
}
MAKERS: dict[str, Make] = {
    "owners": owner_case,
    "hosts": hosts_case,
    "ray": ray_case,
    "damage": damage_case,
    "secrets": planted_case,
}
ASLEEP = 6
"""Cases of stopped owners at once: most of their time nobody works."""


def main() -> int:
    """Run cases until the time is over, and print the counts reached so far.

    Returns:
        0, or 1 where a case failed, or one that `--only` names cannot run here.
    """
    options = _options()
    state = State(options.state, options.seed)
    deadline = time.monotonic() + 60 * options.minutes
    asked = options.only or list(WANTED)
    cannot = {kind: why for kind, why in (("hosts", absent()), ("ray", no_ray())) if why}
    for kind in filter(cannot.get, asked):
        print(f"{kind}: skipped, {cannot[kind]}")
    only = [kind for kind in asked if kind not in cannot]
    # What is asked for by its name must run.
    if options.only and len(only) < len(asked):
        return 1
    _stop_at_once(state)
    if options.number is not None:
        case = _case(state, (only[0], options.number), again=True)
        print(case.line())
        return int(bool(case.faults))
    if options.short:
        jobs = [(kind, _number(state, kind)) for kind in only]
        jobs.sort(key=lambda job: job[0] != "owners")
        _together(state, jobs, options.side_by_side + ("owners" in only), short=True)
    else:
        while batch := _next(state, only, options.side_by_side):
            if not _fits(state, batch[0][0], deadline):
                break
            _together(state, batch, len(batch))
    return _close(state, only)


def _stop_at_once(state: State) -> None:
    """On Ctrl-C, end with all commands; the cases under way do not count."""

    def stop(*_: object) -> None:
        print("interrupted: the cases under way do not count", flush=True)
        # Commands end with this process, and their workers with them; frozen ones do not.
        end_strays(state.folder)
        os._exit(130)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="no case begins after that")
    parser.add_argument("--state", type=Path, default=ROOT / "mlruns" / "campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=WANTED, action="append", help="may be repeated")
    parser.add_argument("--number", type=int, help="one case of --only once more, not counted")
    parser.add_argument("--short", action="store_true", help="one short case of every kind")
    parser.add_argument(
        "--side-by-side", type=int, default=os.cpu_count() or 1, help="cases at once"
    )
    return parser.parse_args()


def _next(state: State, only: Sequence[str], width: int) -> list[tuple[str, int]]:
    """The next cases: of the kind that lacks most, none when all is reached."""
    rows = [row for row in state.rows() if row["code"] == state.code]
    reached = {kind: sum(r["counted"] for r in rows if r["kind"] == kind) for kind in only}
    kind = min(only, key=lambda kind: reached[kind] / WANTED[kind])
    if reached[kind] >= WANTED[kind]:
        return []
    number = min(ASLEEP if kind == "owners" else width, WANTED[kind] - reached[kind])
    first = _number(state, kind)
    return [(kind, first + offset) for offset in range(number)]


def _fits(state: State, kind: str, deadline: float) -> bool:
    """Whether a case is likely to end before the time is over."""
    took = [row["seconds"] for row in state.rows() if row["kind"] == kind]
    return time.monotonic() + max(took[-10:], default=0.0) < deadline


def _number(state: State, kind: str) -> int:
    """The first number of a kind that this code and seed have no result of."""
    asked = (kind, state.code, state.seed)
    rows = [row for row in state.rows() if (row["kind"], row["code"], row["seed"]) == asked]
    return max((row["number"] for row in rows), default=-1) + 1


def _together(
    state: State, jobs: Sequence[tuple[str, int]], width: int, short: bool = False
) -> None:
    """Run cases side by side, and write down each that comes to its end."""
    with ThreadPoolExecutor(width) as pool:
        futures = [pool.submit(_case, state, job, short) for job in jobs]
        for future in as_completed(futures):
            case = future.result()
            state.end(case)
            print(case.line(), flush=True)


def _case(state: State, job: tuple[str, int], short: bool = False, again: bool = False) -> Case:
    kind, number = job
    case, rng = state.begin(kind, number, again)
    began = time.monotonic()
    try:
        MAKERS.get(kind, kill_case)(state, case, rng, short)
    except Exception as error:
        case.faults.append(f"{type(error).__name__}: {error}")
    if left := end_strays(case.folder):
        case.faults.append(f"{left} processes were left at work")
    case.seconds = round(time.monotonic() - began, 1)
    return case


def _close(state: State, only: Sequence[str]) -> int:
    """Print the tables; 1 when a case of this code failed."""
    rows = state.rows()
    own = [row for row in rows if row["code"] == state.code]
    lines = counts(own, {kind: WANTED[kind] for kind in only})
    print(f"\ncode {state.code}, state {state.folder}\n\n{as_text(lines)}\n\n{as_markdown(lines)}")
    for code in dict.fromkeys(row["code"] for row in rows if row["code"] != state.code):
        before = [row for row in rows if row["code"] == code]
        failed = sum(bool(row["faults"]) for row in before)
        print(f"\nbefore, code {code}: {len(before)} cases, {failed} failed")
    return int(any(row["faults"] for row in own))


if __name__ == "__main__":
    sys.exit(main())
