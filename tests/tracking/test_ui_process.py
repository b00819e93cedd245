"""`diamond ui` as a process: it is the server itself, ends with it and runs no code of a folder."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from diamond.engine.home import open_home
from diamond.errors import ExitCode
from diamond.tracking.mlflow_open import open_client
from diamond.tracking.ui_server import bind_port
from tests.commands import diamond, environment, free_port


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one run, which has a file; and traps, should it be the working directory."""
    folder = tmp_path_factory.mktemp("home")
    client, experiment = open_client(f"sqlite:///{folder / 'mlflow.db'}", open_home(folder))
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "hello", "said.txt")
    for name in ("mlflow", "uvicorn", "random"):
        (folder / f"{name}.py").write_text("raise SystemExit(7)\n")
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(home: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """The command in a session of its own, in a folder of traps, once it answers."""
    program = "from diamond.cli.app import main; main()"
    complaints = home / "complaints.txt"
    with complaints.open("w") as log:
        process = subprocess.Popen(
            # As the installed command does: its own folder comes first, not the working directory.
            [sys.executable, "-P", "-c", program, "ui", "--home", str(home), "--port", str(port)],
            cwd=home,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        # The address is printed once the server answers; of a server that fails there is none.
        address = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in address, complaints.read_text()
        assert complaints.read_text().splitlines() == [
            f"tracking: sqlite:///{home / 'mlflow.db'} (of the home)"
        ]
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_the_server_shows_runs_and_ends_with_the_command(
    server: "subprocess.Popen[str]", port: int, number: signal.Signals, code: int
) -> None:
    address = f"http://127.0.0.1:{port}"
    asked = Request(
        f"{address}/ajax-api/2.0/mlflow/runs/search",
        json.dumps({"experiment_ids": ["1"]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(asked) as answer:
        (run,) = json.load(answer)["runs"]
    with urlopen(f"{address}/get-artifact?run_uuid={run['info']['run_id']}&path=said.txt") as file:
        assert file.read() == b"hello"
    server.send_signal(number)
    assert server.wait(60) == code
    assert not listens(port)
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)  # nothing that it started is left


def test_the_command_on_a_port_in_use_ends_at_once(home: Path, port: int) -> None:
    with bind_port(port):
        done = diamond("ui", "--home", str(home), "--port", str(port))
    assert done.returncode == ExitCode.BAD_REQUEST
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert "http://" not in done.stdout
