"""The process that speaks with Ray for a command, and the actors that it leaves on the nodes.

It answers each request, a line of JSON, with another, and ends with its standard input: what Ray
prints, waits for or dies of is not the command's. It is run as a program, so that Ray takes the
class of the actors along: a node that lacks this package says so in the log of its worker.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

VISIBLE = "CUDA_VISIBLE_DEVICES"
BOUND = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""A command that is asked to end when the process that started it is gone, however that ended."""
REPLY_SECONDS = 5.0
"""What an actor that runs needs to reply; one that waits for a place does not."""
GONE_SECONDS = 60.0
"""What Ray needs to end an actor; without an answer its process ends, and Ray starts it again."""


class DiamondWorker:
    """An actor that has one ``diamond work`` run on its node, and goes with it.

    Ray makes it again on another node when this one is lost.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: str) -> None:
        """Start the command.

        Args:
            command: What to run.
            environment: Variables that it has beside those of the node.
            log: File that gets what it prints.

        Raises:
            RuntimeError: The node has no such command, or does not see the folder of the log.
        """
        gpus = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        # Ray's own setting differs between versions where no GPU is assigned.
        own = os.environ | environment | {VISIBLE: ",".join(sorted(gpus))}
        try:
            self._log = Path(log).open("ab", buffering=0)  # noqa: SIM115
            Path(command[0]).stat()
            self._child = subprocess.Popen(
                [command[0], "-c", BOUND, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=own,
                start_new_session=True,
            )
        except OSError as error:
            address = ray.util.get_node_ip_address()
            raise RuntimeError(f"on node {address}: {error}") from None
        threading.Thread(target=self._go_with_it, daemon=True).start()

    def reply(self) -> None:
        """Show that it runs."""

    def end(self) -> None:
        """Ask the command to save what it makes and to end."""
        self._child.terminate()

    def _go_with_it(self) -> None:
        code = self._child.wait()
        self._log.write(f"ended with exit code {code}\n".encode())
        with suppress(Exception):
            ray.kill(ray.get_runtime_context().current_actor)
        time.sleep(GONE_SECONDS)
        os._exit(1)


class Driver:
    """What a command asks of Ray. Mutable: it keeps the first replies of the actors it started."""

    def __init__(self) -> None:
        """Begin with no actor of its own."""
        self._replies: list[Any] = []

    def answer(self, request: Mapping[str, Any]) -> Any:
        """Do what is asked."""
        match request["do"]:
            case "nodes":
                return [node["Resources"] for node in ray.nodes() if node["Alive"]]
            case "alive":
                return len(ray.util.list_named_actors())
            case "submit":
                return self._submit(request)
            case "faults":
                return self._faults()
            case "end":
                return _end_all(request["running"])
        raise ValueError(request["do"])

    def _submit(self, request: Mapping[str, Any]) -> None:
        for name, log in request["logs"].items():
            actor = (
                ray.remote(DiamondWorker)
                .options(
                    name=name,
                    lifetime="detached",
                    max_restarts=-1,
                    scheduling_strategy="SPREAD",
                    **request["share"],
                )
                .remote(request["command"], request["environment"], log)
            )
            self._replies.append(actor.reply.remote())

    def _faults(self) -> list[str]:
        """Why actors could not start, for each the last line of what Ray says."""
        if not self._replies:
            return []
        replied, self._replies = ray.wait(
            self._replies, num_returns=len(self._replies), timeout=0.0
        )
        found = []
        for reply in replied:
            try:
                ray.get(reply)
            except ray.exceptions.RayError as error:
                found.append(str(error).strip().splitlines()[-1])
        return found


def _end_all(running: bool) -> None:
    """End the actors that wait for a place, and ask those that run to end where that is wanted."""
    asked = {}
    for name in ray.util.list_named_actors():
        with suppress(ValueError):  # It ended since.
            actor = ray.get_actor(name)
            asked[(actor.end if running else actor.reply).remote()] = actor
    if not asked:
        return
    _, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=REPLY_SECONDS)
    for reply in waiting:
        ray.kill(asked[reply])


def main() -> None:
    """Connect, say what the nodes have, and answer until standard input closes."""
    # Only answers may reach the pipe.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    address, namespace = sys.argv[1:]
    driver, connected = Driver(), False
    for line in sys.stdin:
        try:
            if not connected:
                ray.init(address, namespace=namespace, log_to_driver=False, logging_level="error")
                connected = True
            answer = {"answer": driver.answer(json.loads(line))}
        except Exception as error:
            answer = {"fault": str(error).strip() or repr(error)}
        pipe.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
