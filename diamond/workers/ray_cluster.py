"""Workers as actors of a Ray cluster: they outlive their command, and move when a node is lost.

No result goes through Ray. `ray_driver` is the process that speaks with it.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from select import select
from typing import Any
from uuid import uuid4

from diamond.config.processes import python_command, python_environment
from diamond.engine.files import write_json
from diamond.errors import EngineError, RequestError
from diamond.workers.engines import RECORDS
from diamond.workers.launcher import end_of_last

PROBE_SECONDS = 5.0
"""What a cluster has to take a connection."""
ANSWER_SECONDS = 45.0
"""What Ray has for one answer, the first connection included."""
_ADDRESS = re.compile(r"(?P<host>\[[^]]+\]|[^:/\s]+):(?P<port>\d{1,5})")
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Otherwise it looks for a node on this machine for a minute.
    "RAY_gcs_server_request_timeout_seconds": "20",
}


class RayLauncher:
    """Workers of one study in Ray; see `Launcher`. Mutable: it has a process that speaks with Ray.

    The namespace of Ray in which its actors are named is the study's folder.
    """

    def __init__(self, folder: Path, command: Sequence[str], options: Mapping[str, str]) -> None:
        """Make sure that Ray answers and has room for a worker; nothing is written.

        Args:
            folder: The study's.
            command: Of one worker; none where none is to be started.
            options: As `engine_options.OPTIONS` has them.

        Raises:
            EngineError: Ray is not there, or no node of it is large enough for a worker.
            RequestError: An option is out of range.
        """
        if find_spec("ray") is None:
            raise EngineError(
                "--engine ray: Ray is not installed here\n"
                "  pip install 'diamond-ablations[ray]', in the version of the cluster"
            )
        self._folder = folder
        self._options = options
        self._address = options.get("address", "auto")
        _check_reachable(self._address)
        self._driver = _Driver(self._address, str(folder))
        nodes = self._ask("nodes")
        self._share = _share(options, nodes)
        if command:
            _check_room(self._share, nodes)
        # A worker makes one stage at a time on each of its GPUs.
        self._command = [*command, "--jobs", str(max(1, int(self._share["num_gpus"])))]

    def submit(self, count: int) -> None:
        """Start some workers.

        Raises:
            EngineError: Ray does not answer.
        """
        records = self._folder / RECORDS
        records.mkdir(parents=True, exist_ok=True)
        write_json(records / "ray.json", {"options": dict(self._options)})
        names = [uuid4().hex[:8] for _ in range(count)]
        self._ask(
            "submit",
            logs={name: str(records / f"ray-{name}.log") for name in names},
            command=self._command,
            environment={"PYTHONPATH": python_environment()["PYTHONPATH"]},
            share=self._share,
        )

    def alive(self) -> int:
        """Workers of the study that run or wait to run.

        Raises:
            EngineError: Ray does not answer.
        """
        return int(self._ask("alive"))

    def fate(self) -> str:
        """Why workers could not start, or the end of the log of the last one."""
        lines = list(dict.fromkeys(self._ask("faults")))
        return "\n  ".join(lines or end_of_last((self._folder / RECORDS).glob("ray-*.log")))

    def dismiss(self) -> None:
        """End the workers that wait to run."""
        self._ask("end", running=False)

    def cancel(self) -> None:
        """End all workers of the study; each saves the stage that it makes."""
        self._ask("end", running=True)

    def told(self) -> Sequence[str]:
        """Lines for people."""
        study = shlex.join(["--home", str(self._folder.parents[1]), "--study", self._folder.name])
        return (
            f"workers on Ray ({self._address}), each with {_words(self._share)}",
            f"  who works on what: diamond work --status {study}",
            f"  to end them: diamond work --cancel {study}",
            f"  logs: {self._folder / RECORDS}/ray-*.log",
        )

    def _ask(self, what: str, **more: Any) -> Any:
        """What Ray answers; of a process that was lost with its node, by another one.

        Raises:
            EngineError: It does not answer.
        """
        if not self._driver.lives:
            _check_reachable(self._address)
            self._driver = _Driver(self._address, str(self._folder))
        return self._driver.ask({"do": what, **more})


class _Driver:
    """The process that speaks with Ray; it ends with this one."""

    def __init__(self, address: str, namespace: str) -> None:
        self._address = address
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            python_command("diamond.workers.ray_driver", address, namespace),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=python_environment() | _RAY,
            start_new_session=True,
        )

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any]) -> Any:
        """What it answers.

        Raises:
            EngineError: It does not, or Ray refuses; it has ended then.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            if select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
                line = self._process.stdout.readline()
        answer = json.loads(line) if line else {}
        if "answer" in answer:
            return answer["answer"]
        said = answer.get("fault") or self._last_words()
        self._end()
        raise EngineError(
            f"Ray at {self._address!r} does not do what is asked: {said}\n"
            "  this machine must be a node of the cluster, with its versions of Ray and Python, "
            "and its token: `ray status` shows it; docs/cluster.md"
        )

    def _last_words(self) -> str:
        how = "no answer" if self.lives else f"exit code {self._process.returncode}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return ": ".join([how, *lines[-1:]])

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def _check_reachable(address: str) -> None:
    """Make sure that something listens at an address: Ray would try for minutes.

    Raises:
        RequestError: It is no address of a cluster.
        EngineError: Nothing does.
    """
    named = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if named == "auto":
        return
    found = _ADDRESS.fullmatch(named)
    if found is None or int(found["port"]) > 65535:
        raise RequestError(
            f"ray: address is {named!r}\n"
            "  allowed: HOST:PORT of the cluster's head, such as 10.0.0.1:6379; or auto, which is "
            "the variable RAY_ADDRESS, or the cluster that this machine is a node of"
        )
    try:
        place = found["host"].strip("[]"), int(found["port"])
        socket.create_connection(place, PROBE_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"no Ray cluster answers at {named!r}: {error.strerror or error}\n"
            "  on its head, `ray start --head` starts one, and `ray status` shows it; then "
            "--engine-options address=HOST:PORT"
        ) from error


def _share(options: Mapping[str, str], nodes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """What a worker takes of its node, as Ray names it.

    Raises:
        RequestError: An option is out of range.
    """
    gpus = options.get("num-gpus")
    if gpus is not None and not gpus.isdecimal():
        raise RequestError(f"ray: num-gpus is {gpus!r}: a number from 0 on is needed")
    if gpus is not None and "gpu-share" in options:
        raise RequestError(
            "ray: num-gpus and gpu-share say the same thing\n"
            f"  gpu-share={options['gpu-share']} lets so many workers share a GPU; leave one out"
        )
    if "gpu-share" in options:
        share = 1 / int(options["gpu-share"])
    elif gpus is not None:
        share = int(gpus)
    else:
        share = int(any(node.get("GPU", 0) for node in nodes))
    return {"num_cpus": int(options.get("num-cpus", "1")), "num_gpus": share}


def _check_room(share: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> None:
    """Make sure that some node can hold a worker: Ray would wait for one for ever.

    Raises:
        EngineError: None can.
    """
    sizes = [{"num_cpus": node.get("CPU", 0), "num_gpus": node.get("GPU", 0)} for node in nodes]
    if not any(all(size[name] >= share[name] for name in share) for size in sizes):
        there = sorted(set(map(_words, sizes)))
        raise EngineError(
            f"ray: a worker takes {_words(share)}, and no node has as much\n"
            f"  the nodes have: {'; '.join(there) or 'nothing, there is none'}\n"
            "  give other num-cpus, num-gpus or gpu-share with --engine-options"
        )


def _words(size: Mapping[str, float]) -> str:
    gpus, cpus = size["num_gpus"], size["num_cpus"]
    part = f"1/{round(1 / gpus)} GPU" if 0 < gpus < 1 else f"{gpus:g} GPU"
    return f"{cpus:g} CPU and {part}"
