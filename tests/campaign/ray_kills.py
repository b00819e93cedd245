"""Nodes of a Ray cluster, and commands that watch it, killed with kill -9 at random moments."""

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from tests.campaign import layout
from tests.campaign.processes import POLL_SECONDS, Command, Watch, kill
from tests.campaign.state import Case, State, finish, judge
from tests.commands import environment
from tests.workers.ray_nodes import TOKEN, RayNodes

KILLS = 2
"""Times that a case loses a node and its command."""
APART_SECONDS = 3.0
"""Most time between the two."""
WAIT_SECONDS = 10.0
"""What a kill waits for a stage with a checkpoint; there may be nothing left to make."""
CHECKPOINTING = f"""
import sys
if {layout.WORKER!r} in sys.orig_argv:
    from diamond.engine import stage_context
    stage_context.CHECKPOINT_SECONDS = 0.1
"""
"""Checkpoints every tenth of a second, in the processes that workers of Ray start."""


def no_ray() -> str:
    """Why there can be no such case, empty where there can."""
    return "" if find_spec("ray") else "Ray is not installed"


def ray_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One home: a node and the command are lost, again, and the command runs to its end."""
    os.environ.update(TOKEN)
    reference = state.reference("ray")
    layout.copy_stages(reference.home, case.home, layout.CHEAP)
    with RayNodes() as nodes, Watch(case.home) as watch:
        engine = ("--engine", "ray", "--jobs", "3")
        options = ("--engine-options", f"address={nodes.address} num-gpus=0")
        arguments = (*reference.arguments, *engine, *options)
        for _ in range(1 if short else KILLS):
            pause = 0.0 if short else rng.uniform(0, 0.2 * reference.seconds)
            if not _lose(case, nodes, arguments, rng, pause):
                break
        finish(case, arguments)
    case.twice += sorted(watch.faults)
    judge(case, reference)


def _lose(
    case: Case, nodes: RayNodes, arguments: tuple[str, ...], rng: np.random.Generator, pause: float
) -> bool:
    """Start the command, then kill it and a node; False when it came to its end before."""
    command = Command(case.folder, arguments, variables=_variables(case))
    began = command.wait_for(lambda: nodes.holder(_pids(case)) is not None)
    moment = time.monotonic() + pause
    if not began or not command.wait_for(lambda: time.monotonic() > moment):
        if command.code != 0:
            case.faults.append(f"the command fails before it is killed: {command.last_words}")
        case.what.append("came to its end before a kill")
        return False
    victims = [str(victim) for victim in rng.permutation(("node", "command"))]
    for victim in victims:
        if victim == "node":
            _kill_node(case, nodes, rng)
        else:
            kill([command.pid])
            command.wait()
            case.what.append("command killed")
        time.sleep(rng.uniform(0, APART_SECONDS))
    nodes.add()
    if "Traceback" in command.errors:
        case.faults.append(f"a traceback of a killed command: {command.last_words}")
    return True


def _kill_node(case: Case, nodes: RayNodes, rng: np.random.Generator) -> None:
    """kill -9 of a node, if possible one that makes a stage with a checkpoint."""
    deadline = time.monotonic() + WAIT_SECONDS
    number = None
    while number is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        works = layout.works(case.home)
        number = nodes.holder({work.pid for work in works if work.checkpoint})
    holder = nodes.holder(_pids(case)) if number is None else number
    number = int(rng.integers(1, nodes.count)) if holder is None else holder
    hit = [work for work in layout.works(case.home) if nodes.holder({work.pid}) == number]
    nodes.kill(number)
    case.counted += bool(hit)
    case.checkpoint += any(work.checkpoint for work in hit)
    case.missed += not hit
    stages = ", ".join(
        work.stage + (" with a checkpoint" if work.checkpoint else "") for work in hit
    )
    case.what.append(f"node killed in {stages or 'no stage'}")


def _pids(case: Case) -> set[int]:
    return {work.pid for work in layout.works(case.home)}


def _variables(case: Case) -> Mapping[str, str]:
    folder = case.folder / "checkpointing"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(CHECKPOINTING)
    return {"PYTHONPATH": os.pathsep.join((str(folder), environment()["PYTHONPATH"]))}
