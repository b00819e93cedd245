"""Commands killed with kill -9 at random moments, and then run to their end."""

import signal
import time

import numpy as np

from tests.campaign import layout
from tests.campaign.processes import POLL_SECONDS, Command, Watch, kill, lives, signal_to
from tests.campaign.state import Case, Reference, State, finish, judge

MOMENTS = ("checkpoint", "stage", "any")
SHARES = (0.65, 0.25, 0.1)
"""What a kill waits for after a random time: a stage with a checkpoint, a stage, or nothing."""
VICTIMS = ("command and workers", "worker", "command")


def kill_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One home: killed, killed again, run to its end, held against the reference."""
    name = case.kind.removeprefix("kills-")
    reference = state.reference("owned" if short and name == "ablate" else name)
    if short or rng.random() < 0.7:
        layout.copy_stages(reference.home, case.home, layout.CHEAP)
    with Watch(case.home) as watch:
        for _ in range(1 if short else int(rng.integers(1, 4))):
            if not _kill(case, reference, rng, short):
                break
        finish(case, reference.arguments)
    case.twice += sorted(watch.faults)
    judge(case, reference)


def _kill(case: Case, reference: Reference, rng: np.random.Generator, short: bool) -> bool:
    """Start the command and kill it; False when it came to its end before."""
    moment = "checkpoint" if short else str(rng.choice(MOMENTS, p=SHARES))
    victim = VICTIMS[rng.integers(len(VICTIMS))]
    command = Command(case.folder, reference.arguments)
    rest = 1 - len(layout.finished(case.home)) / len(layout.finished(reference.home))
    if moment != "any" and not command.wait_for(lambda: bool(command.works())):
        return _ended(case, command)
    pause = time.monotonic() + (0 if short else rng.uniform(0, 0.3 * reference.seconds * rest))
    if not command.wait_for(lambda: time.monotonic() > pause):
        return _ended(case, command)
    while True:
        if not command.wait_for(lambda: _is_time(command, moment)):
            return _ended(case, command)
        # Frozen, nothing ends between the look and the kill.
        pids, works = command.freeze(), command.works()
        if moment == "any" or _fits(works, moment):
            break
        for pid in pids:
            signal_to(pid, signal.SIGCONT)
        time.sleep(POLL_SECONDS)
    _strike(case, command, pids, works, victim, rng)
    return True


def _strike(
    case: Case,
    command: Command,
    pids: list[int],
    works: list[layout.Work],
    victim: str,
    rng: np.random.Generator,
) -> None:
    """kill -9 of what is frozen, and note what it hit."""
    hit = works
    if victim == "worker" and works:
        hit = [sorted(works, key=lambda work: (not work.checkpoint, rng.random()))[0]]
        kill([hit[0].pid])
    elif victim == "command":
        kill([command.pid])
    else:
        kill(pids)
    for pid in pids:
        signal_to(pid, signal.SIGCONT)
    command.wait()
    _await_end(pids[1:])
    if "Traceback" in command.errors:
        case.faults.append(f"a traceback after the kill of a {victim}: {command.last_words}")
    has_checkpoint = any(work.checkpoint for work in hit)
    case.counted += bool(hit)
    case.checkpoint += has_checkpoint
    case.missed += not hit
    stages = ", ".join(
        work.stage + (" with a checkpoint" if work.checkpoint else "") for work in hit
    )
    case.what.append(f"{victim} killed in {stages or 'no stage'}")


def _is_time(command: Command, moment: str) -> bool:
    return moment == "any" or _fits(command.works(), moment)


def _fits(works: list[layout.Work], moment: str) -> bool:
    return any(work.checkpoint or moment == "stage" for work in works)


def _ended(case: Case, command: Command) -> bool:
    if command.code != 0:
        case.faults.append(f"the command fails before it is killed: {command.last_words}")
    case.what.append("came to its end before a kill")
    return False


def _await_end(pids: list[int]) -> None:
    """Workers end by themselves when their command is gone."""
    deadline = time.monotonic() + 30
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
