"""Two commands on one home: one is stopped for longer than the limit, or has a wrong clock."""

import signal
import time

import numpy as np

from tests.campaign import layout
from tests.campaign.processes import Command, Watch, signal_to, step_clock
from tests.campaign.state import Case, Reference, State, finish, judge

VARIANTS = (
    "all stopped",
    "clock of the owner +70",
    "worker stopped",
    "clock of the other -70",
    "stopped while it writes",
    "clock of the other +86400",
    "goes on beside the other",
    "clock of the owner -70",
    "both stopped in turn",
    "clock of the other +70",
)
TRIES = 300
"""Looks for a moment in which a file is half written; a checkpoint comes ten times a second."""


def owner_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One home with two commands."""
    variant = VARIANTS[case.number % len(VARIANTS)]
    case.what.append(variant)
    clock = variant.startswith("clock")
    reference = state.reference("clock" if clock else "owned")
    layout.copy_stages(reference.home, case.home, layout.CHEAP)
    with Watch(case.home) as watch:
        if clock:
            _stepped(case, reference, variant)
        else:
            _stopped(case, reference, variant, watch, rng)
        finish(case, reference.arguments)
    case.twice += [fault for fault in watch.faults if "twice" in fault]
    case.faults += [fault for fault in watch.faults if "twice" not in fault]
    judge(case, reference)


# --- stopped ----------------------------------------------------------------------------------


def _stopped(
    case: Case, reference: Reference, variant: str, watch: Watch, rng: np.random.Generator
) -> None:
    first = Command(case.folder, (*reference.arguments, "--jobs", "1"))
    held = _stop(first, watch, variant, rng)
    if held is None:
        case.missed += 1
        case.what.append(first.last_words)
        return
    began = time.monotonic()
    second = Command(case.folder, (*reference.arguments, "--jobs", "1"))
    taken = second.wait_for(lambda: _holds(second, held.name))
    if taken and time.monotonic() - began < layout.LIMIT_SECONDS - 5:
        case.faults.append(f"{held.name} was taken after {time.monotonic() - began:.0f} s")
    if variant == "both stopped in turn" and taken:
        time.sleep(rng.uniform(0, 1))
        watch.stopped |= set(second.freeze())
        _go_on(first, watch)
        time.sleep(layout.LIMIT_SECONDS + 5)
        _go_on(second, watch)
    elif variant == "goes on beside the other" and taken:
        time.sleep(rng.uniform(0, 1))
        _go_on(first, watch)
    second.wait_for(lambda: False)
    if variant not in ("both stopped in turn", "goes on beside the other"):
        _go_on(first, watch)
    first.wait()
    case.counted += 1
    case.checkpoint += held.checkpoint
    case.what.append(f"in {held.stage}{' with a checkpoint' if held.checkpoint else ''}")
    for name, command in (("stopped", first), ("other", second)):
        case.what.append(f"{name} {command.last_words}")
        if command.code not in (0, 1, 2) or "Traceback" in command.errors:
            case.faults.append(f"the {name} command ends badly: {command.last_words}")


def _stop(
    command: Command, watch: Watch, variant: str, rng: np.random.Generator
) -> layout.Work | None:
    """Stop a command, or its worker, in a stage with a checkpoint; None when it ended before."""
    if not command.wait_for(lambda: any(work.checkpoint for work in command.works())):
        return None
    time.sleep(rng.uniform(0, 0.5))
    for number in range(TRIES):
        pids = command.freeze()
        works = [work for work in command.works() if work.checkpoint]
        writing = variant == "stopped while it writes" and number < TRIES - 1
        if works and (works[0].writes or not writing):
            watch.stopped |= set(pids)
            if variant == "worker stopped":
                signal_to(command.pid, signal.SIGCONT)
            return works[0]
        for pid in pids:
            signal_to(pid, signal.SIGCONT)
        if command.code is not None:
            return None
        time.sleep(rng.uniform(0.005, 0.05))
    return None


def _go_on(command: Command, watch: Watch) -> None:
    """Wake a command; what it holds it must not lose any more."""
    pids = [*command.children(), command.pid]
    for pid in pids:
        signal_to(pid, signal.SIGCONT)
    # One look of the watch, so that what it lost while it was stopped is known.
    time.sleep(1)
    watch.stopped -= set(pids)


def _holds(command: Command, name: str) -> bool:
    return any(work.name == name for work in command.works()) or name in layout.finished(
        command.home
    )


# --- clocks -----------------------------------------------------------------------------------


def _stepped(case: Case, reference: Reference, variant: str) -> None:
    """The wall clock of one command steps while one makes a stage and the other waits for it."""
    seconds = int(variant.rsplit(" ", 1)[1])
    clock = case.folder / "clock"
    step_clock(clock, 0)
    owner_is_off = "owner" in variant
    arguments = (*reference.arguments, "--jobs", "1")
    first = Command(case.folder, arguments, clock if owner_is_off else None)
    if not first.wait_for(lambda: any(work.checkpoint for work in first.works())):
        case.missed += 1
        case.what.append(first.last_words)
        return
    second = Command(case.folder, arguments, None if owner_is_off else clock)
    second.wait_for(lambda: layout.WAITS in second.errors or not first.works())
    works = first.works()
    step_clock(clock, seconds)
    if layout.WAITS in second.errors and works:
        case.counted += 1
        case.checkpoint += any(work.checkpoint for work in works)
        case.what.append(f"in {works[0].stage}")
    else:
        case.missed += 1
    for name, command in (("owner", first), ("other", second)):
        if command.wait() != 0:
            case.faults.append(f"the {name} fails: {command.last_words}")
