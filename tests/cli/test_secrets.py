"""Passwords in addresses: nothing that is shown, written or sent has them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from diamond.engine.home import open_home
from diamond.errors import ExitCode, StoreError
from diamond.tracking.mlflow_open import open_client
from diamond.tracking.uris import absolute_uri, hide_secrets, server_page
from tests.commands import SMOKE, STUDY, copy_home, diamond, environment, free_port, wait_until

SECRET = "s3cr3t%40word"
PLAIN = "s3cr3t@word"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://u:{SECRET}@h:1/x", "http://u:***@h:1/x"),
        (f"http://:{SECRET}@h", "http://:***@h"),
        (f"https://h/?token={SECRET}&a=b", "https://h/?token=***&a=b"),
        (f"https://h/?a=b&api_key={SECRET}", "https://h/?a=b&api_key=***"),
        (f"postgresql+psycopg://u:{SECRET}@h:1/db", "postgresql+psycopg://u:***@h:1/db"),
        (f"postgresql://u:{SECRET}/with/slashes@h/db", "postgresql://u:***@h/db"),
        (f"postgresql://u:{SECRET}@x@h/db", "postgresql://u:***@h/db"),
        (f"postgresql://u:{SECRET} and\nmore@h/db", "postgresql://u:***@h/db"),
        (f"--storage=postgresql://u:{SECRET} more@h/db", "--storage=postgresql://u:***@h/db"),
        (f"mysql://h/db?password={SECRET}&charset=utf8", "mysql://h/db?password=***&charset=utf8"),
        (f"mysql://h/db?a=1&PASSWD={SECRET}&b=2", "mysql://h/db?a=1&PASSWD=***&b=2"),
        (f"postgresql://h/db?sslpassword={SECRET}", "postgresql://h/db?sslpassword=***"),
        ("postgresql://u@h:5432/db?a=b", "postgresql://u@h:5432/db?a=b"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("/data/a:b@c.journal", "/data/a:b@c.journal"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    assert hide_secrets(address) == shown
    within = hide_secrets(f"cannot open {address.replace(' ', '')!r}: mail a@b\nnext")
    assert SECRET not in within
    assert within.startswith("cannot open '")
    assert within.endswith("mail a@b\nnext")
    if shown == address:
        assert hide_secrets(f"see {address} now") == f"see {address} now"
    complaint = hide_secrets(f"no {SECRET} and no {PLAIN} for user u", address)
    if SECRET + "@h" in address or f"={SECRET}" in address:
        assert complaint == "no *** and no *** for user u"


def test_an_address_that_was_copied_from_a_report_is_refused() -> None:
    with pytest.raises(StoreError, match=r"u:\*\*\*@h'.*\n  write the password in its place"):
        absolute_uri("http://u:***@h")


def test_the_pages_of_a_server_are_linked_without_user_and_password() -> None:
    assert server_page(f"https://u:{SECRET}@h:1/x/?token={SECRET}") == "https://h:1/x"


@pytest.mark.parametrize("uri", ["http://u:{}@127.0.0.1:9", "postgresql://u:{}@127.0.0.1:9/db"])
def test_a_store_that_does_not_answer_is_named_without_its_password(
    uri: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"cannot open .*u:\*\*\*@127") as caught:
        open_client(uri.format(SECRET), open_home(tmp_path))
    shown: BaseException | None = caught.value
    while shown is not None:  # what a traceback would print
        assert SECRET not in str(shown)
        assert PLAIN not in str(shown)
        shown = shown.__cause__


FAULT = f"""
import sys, threading
from diamond.cli import ablate, app
def fail(*_):
    raise ValueError("could not parse postgresql://u:{SECRET}@h/db, which has {PLAIN}")
def fail_twice(*_):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()
ablate.run_study = fail_twice
app.main()
"""


def test_the_traceback_of_a_fault_has_no_password(tmp_path: Path) -> None:
    uri = f"postgresql://u:{SECRET}@h/db"
    done = diamond("ablate", *SMOKE, "--tracking-uri", uri, program=FAULT, cwd=tmp_path)
    assert done.returncode == ExitCode.RUN_FAILED
    assert done.stderr.count("ValueError: could not parse postgresql://u:***@h/db, which") == 2
    assert SECRET not in done.stderr
    assert PLAIN not in done.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A tracking server that asks nobody for a password, and its folder."""
    folder = tmp_path / "server"
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    places = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
    }
    process = subprocess.Popen(
        command,
        env={**environment(), **places, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "the MLflow server")
        yield f"127.0.0.1:{port}", folder
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_nothing_that_a_study_writes_shows_or_sends_has_the_password(
    smoke_home: Path, tmp_path: Path, server: tuple[str, Path]
) -> None:
    address, folder = server
    home = copy_home(smoke_home, tmp_path / "home")
    arguments = [*SMOKE, "--home", str(home), "--tracking-uri", f"http://u:{SECRET}@{address}"]
    done = diamond("ablate", *arguments)
    assert done.returncode == ExitCode.DONE, done.stderr
    shown = diamond("show", STUDY, "--home", str(home))
    listed = diamond("studies", "--home", str(home))
    refused = diamond("ui", "--home", str(home), "--tracking-uri", f"http://u:{SECRET}@{address}")
    assert refused.returncode == ExitCode.BAD_REQUEST
    texts = [text for run in (done, shown, listed, refused) for text in (run.stdout, run.stderr)]
    files = [path for root in (home, folder) for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" and path.is_relative_to(folder) for path in files)
    for secret in (SECRET, PLAIN, "s3cr3t"):
        for text in texts:
            assert secret not in text
        for path in files:
            assert secret.encode() not in path.read_bytes(), path
    report = (home / "studies" / STUDY / "report.md").read_text()
    assert f"--tracking-uri 'http://u:***@{address}'" in report
    client = MlflowClient(tracking_uri=f"http://{address}")
    experiment = client.get_experiment_by_name("diamond")
    assert experiment is not None
    assert client.search_runs([experiment.experiment_id], "tags.`diamond.kind` = 'study'")
