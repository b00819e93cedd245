"""A password planted in an address: no file, no line and no other process may show it."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tests.campaign.processes import Command
from tests.campaign.state import Case, State
from tests.commands import environment, free_port

USER = "planter"
FORMS = ("MLflow server", "no MLflow server", "storage of a sweep", "killed beside a server")
SERVER = """
import ctypes, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
from mlflow.cli import cli
cli()
"""
SERVER_SECONDS = 300.0
LAUNCHED = b"diamond.cli.app"
"""In the command line of the command under test, and of no other process."""


def planted_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One command with a password in an address, and a search through everything it wrote."""
    form = FORMS[case.number % len(FORMS)]
    case.what.append(form)
    secret = "pl4nted" + bytes(rng.integers(97, 123, 20, dtype=np.uint8)).decode()
    port = free_port()
    address = f"http://{USER}:{secret}@127.0.0.1:{port}"
    ablate = ("ablate", "steps=1", "--preset", "smoke", "--until", "fidelity")
    with _Listener(secret) as listener:
        match form:
            case "MLflow server" | "killed beside a server":
                with _server(case.folder, port):
                    _run(case, (*ablate, "--tracking-uri", address), "killed" in form)
            case "no MLflow server":
                _run(case, (*ablate, "--tracking-uri", address))
            case _:
                storage = f"postgresql://{USER}:{secret}@127.0.0.1:{port}/optuna"
                _run(case, (*state.arguments("sweep"), "--storage", storage))
    case.counted += 1
    case.faults += [f"shown by {name}" for name in listener.shown]
    case.faults += [f"written to {name}" for name in _written(case.folder, secret)]


def _run(case: Case, arguments: tuple[str, ...], killed: bool = False) -> None:
    """Run a command, or kill it in a stage and run it again, and a reader."""
    command = Command(case.folder, arguments)
    if killed and command.wait_for(lambda: bool(command.works())):
        for pid in command.freeze():
            os.kill(pid, signal.SIGKILL)
        command.wait()
        command = Command(case.folder, arguments)
    command.wait()
    case.what.append(f"exit {command.code}")
    expected = {0} if "server" in case.what[0] and "no " not in case.what[0] else {1, 2}
    if command.code not in expected or "Traceback" in command.errors:
        case.faults.append(f"ends badly: {command.last_words}")
    for study in case.home.glob("studies/*"):
        for reader in ("show", "report"):
            Command(case.folder, (reader, study.name)).wait()
    Command(case.folder, ("studies",)).wait()


class _Listener(threading.Thread):
    """Reads the command lines of all processes, again and again."""

    def __init__(self, secret: str) -> None:
        super().__init__(daemon=True)
        self.shown: set[str] = set()
        self._secret = secret.encode()
        self._end = threading.Event()

    def __enter__(self) -> "_Listener":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        while not self._end.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = path.read_bytes()
                    # The user gave the address to the command itself; a child looks like it until
                    # it becomes what it runs.
                    if self._secret in line and LAUNCHED not in line:
                        self.shown.add(line.replace(b"\0", b" ").decode(errors="replace")[:200])


@contextmanager
def _server(folder: Path, port: int) -> Iterator[None]:
    """An MLflow server on the loopback address, with its files in the folder of the case."""
    words = ["server", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    words += ["--artifacts-destination", str(folder / "server"), "--host", "127.0.0.1"]
    words += ["--port", str(port), "--workers", "1"]
    with (folder / "server.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *words],
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
        )
        try:
            _await(f"http://127.0.0.1:{port}/health", process)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError("the MLflow server does not answer")


def _written(folder: Path, secret: str) -> list[str]:
    """Files that hold the password, as it is or as a header of HTTP has it."""
    header = base64.b64encode(f"{USER}:{secret}".encode())
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(mark in path.read_bytes() for mark in (secret.encode(), header))
    ]
