"""Addresses of tracking stores, who owns a run, the command of the user interface."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from diamond.cli.app import app
from diamond.engine.home import open_home, open_tracking
from diamond.errors import StoreError
from diamond.tracking.limits import MAX_TAG, fit_description
from diamond.tracking.mlflow_open import find_experiment
from diamond.tracking.owner import current_owner, is_gone, is_here, start_time, words_of
from diamond.tracking.ui_server import ui_store
from diamond.tracking.uris import UNBORN, absolute_uri, default_uri
from tests.commands import dead_owner
from tests.sweeps import text


def test_addresses_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert default_uri(Path("mlruns")) == expected
    assert absolute_uri("sqlite:///mlruns/mlflow.db") == expected
    assert absolute_uri("https://host:5000/x") == "https://host:5000/x"


SHARED = """\
/dev/vda / ext4 rw 0 0
server:/{home} {home} nfs4 rw 0 0
"""


@pytest.fixture
def shared_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home on what the list of mounts calls a network file system; the rest is local."""
    home = tmp_path / "shared" / "home"
    (tmp_path / "mounts").write_text(SHARED.format(home=tmp_path / "shared"))
    monkeypatch.setattr("diamond.tracking.mounts._MOUNTS", tmp_path / "mounts")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return home


def test_the_database_of_a_home_on_a_network_file_system_is_on_this_machine(
    shared_home: Path, tmp_path: Path
) -> None:
    assert UNBORN in default_uri(shared_home)
    home = open_home(shared_home)
    expected = tmp_path / "state" / "diamond" / home.id / "mlflow.db"
    assert default_uri(shared_home) == f"sqlite:///{expected}"
    open_tracking(shared_home, None)
    assert expected.is_file()
    assert find_experiment(default_uri(shared_home), shared_home) is not None
    assert not (shared_home / "mlflow.db").exists()
    shared_home.rename(shared_home.with_name("moved"))
    assert default_uri(shared_home.with_name("moved")) == f"sqlite:///{expected}"


def test_where_the_users_folder_is_shared_as_well_the_database_is_beside_other_lasting_files(
    shared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(shared_home.parent / "state"))
    monkeypatch.setattr("diamond.tracking.uris.LASTING_FOLDER", tmp_path / "lasting")
    folder = tmp_path / "lasting" / f"diamond-{os.getuid()}"
    assert default_uri(shared_home) == f"sqlite:///{folder}/{UNBORN}/mlflow.db"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "lasting" / "diamond-12345").mkdir(parents=True)
    with pytest.raises(StoreError, match="belongs to another user"):
        default_uri(shared_home)
    monkeypatch.setattr("diamond.tracking.uris.LASTING_FOLDER", shared_home.parent / "lasting")
    with pytest.raises(StoreError, match=r"no local place.*\n.*--tracking-uri http://HOST:5000"):
        default_uri(shared_home)


def test_a_command_says_that_the_database_of_a_shared_home_is_on_this_machine(
    shared_home: Path, tmp_path: Path
) -> None:
    arguments = ["ablate", "steps=1,3", "--preset", "smoke", "--dry-run"]
    found = CliRunner().invoke(app, [*arguments, "--home", str(shared_home)])
    assert (
        f"tracking: sqlite:///{tmp_path}/state/diamond/{UNBORN}/mlflow.db "
        "(the home is on nfs4: MLflow's file stays on this machine)" in found.stderr
    )
    assert not shared_home.exists()
    found = CliRunner().invoke(app, ["ui", "--home", str(shared_home)])
    assert "no runs in" in str(found.exception)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_has_the_driver_that_is_installed_with_it(scheme: str) -> None:
    expected = "postgresql+psycopg://u:p@h:5432/db"
    assert absolute_uri(f"{scheme}://u:p@h:5432/db") == expected
    assert absolute_uri("postgresql+psycopg2://h/db") == "postgresql+psycopg2://h/db"


def test_a_missing_driver_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError) as caught:
        find_experiment("postgresql://u:s3cr3t@127.0.0.1:9/db", tmp_path)
    assert 'pip install "diamond-ablations[postgresql]"' in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///a%b"])
def test_an_address_that_cannot_work_is_refused(uri: str) -> None:
    with pytest.raises(StoreError, match="--tracking-uri"):
        absolute_uri(uri)


def test_the_ui_names_its_store_in_full_and_serves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ui_store("sqlite:///mlflow.db") == default_uri(tmp_path)
    with pytest.raises(StoreError, match=r"http://host:5000 is a tracking server.*own user"):
        ui_store("http://u:s3cr3t@host:5000")


def test_an_owner_is_gone_only_if_its_process_is() -> None:
    assert not is_gone(current_owner())
    assert is_gone(dead_owner())
    here, pid, start = current_owner().rsplit(":", 2)
    assert not is_gone(f"{here[:-1]}x:{pid}:1")
    assert not is_gone("nonsense")
    if Path("/proc/self/stat").exists():
        assert is_gone(f"{here}:{pid}:{int(start) - 1}")


def test_a_number_of_a_process_says_nothing_in_another_container_or_after_a_boot() -> None:
    host, boot, space, pid, start = current_owner().rsplit(":", 4)
    if "unknown" in (boot, space):
        pytest.skip("this system tells no boot or no space of process numbers")
    gone = int(start) - 1
    assert is_here(f"another-name:{boot}:{space}:{pid}:{gone}")
    assert is_gone(f"another-name:{boot}:{space}:{pid}:{gone}")
    for other in (
        f"{host}:{boot}:{int(space) + 1}:{pid}:{gone}",
        f"{host}:{'0' * 8}{boot[8:]}:{space}:{pid}:{gone}",
        f"{host}:{boot}:unknown:{pid}:{gone}",
        f"{host}:unknown:unknown:{pid}:{gone}",
        f"{host}:{pid}:{gone}",
    ):
        assert not is_here(other)
        assert not is_gone(other)
        assert words_of(other) == f"process {pid} on {host}"


def test_where_the_system_tells_neither_boot_nor_space_the_host_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diamond.tracking.owner._BOOT", tmp_path / "absent")
    monkeypatch.setattr("diamond.tracking.owner._SELF", tmp_path / "absent")
    host, pid, start = current_owner().rsplit(":", 2)
    assert host.endswith(":unknown:unknown")
    assert is_here(current_owner())
    assert is_gone(f"{host}:{pid}:{int(start) - 1}")
    assert not is_here(f"another-{host}:{pid}:{start}")


def test_where_the_numbers_of_processes_cannot_be_looked_up_nobody_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name of `/proc/self` says whether `/proc` shows the numbers of this very space."""

    def unreadable(path: Path) -> str:
        raise OSError

    host, boot, space, pid, start = current_owner().rsplit(":", 4)
    if "unknown" in (boot, space):
        pytest.skip("this system tells no boot or no space of process numbers")
    dead, written = dead_owner(), f"{host}:{boot}:unknown:{pid}:{int(start) - 1}"
    assert is_gone(dead)
    for other in (unreadable, lambda path: "1"):
        monkeypatch.setattr("diamond.tracking.owner.os.readlink", other)
        assert current_owner() == f"{host}:{boot}:unknown:{pid}:{start}"
        for owner in (dead, written):
            assert not is_here(owner)
            assert not is_gone(owner)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see a zombie")
def test_a_process_that_ended_unattended_is_gone() -> None:
    host = current_owner().rsplit(":", 2)[0]
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(f"{host}:{process.pid}:{start_time(process.pid)}")
    process.wait()


def test_a_long_description_is_cut_at_a_line() -> None:
    line = "| a | b |"
    cut = fit_description("\n".join([line] * 2000))
    assert len(cut) <= MAX_TAG
    assert cut.split("\n\n(cut here")[0].endswith(line)
    assert fit_description(line) == line


class Server(ThreadingHTTPServer):
    """Answers like an MLflow server without experiments, also as a proxy; notes what is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.uri = f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path.partition("/api/")[0])
        body = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}'
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_a_server_behind_a_proxy_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.uri)
    assert find_experiment("http://tracking.invalid:5000", tmp_path) is None
    assert set(server.asked) == {"http://tracking.invalid:5000"}


def test_no_proxy_is_asked_for_a_server_that_needs_none(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="proxy"):
        find_experiment(server.uri, tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert find_experiment(server.uri, tmp_path) is None
    assert set(server.asked) == {""}


def test_https_where_none_is_spoken_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    uri = server.uri.replace("http", "https")
    with pytest.raises(StoreError, match="no https is spoken there"):
        find_experiment(uri, tmp_path)


@pytest.mark.parametrize("command", ["ablate", "train", "sweep", "ui"])
def test_the_address_of_the_environment_is_used_below_the_option_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    sweep = tmp_path / "mine.toml"
    sweep.write_text(text())
    words = {
        "ablate": ["steps=1,3", "--preset", "smoke", "--dry-run"],
        "train": ["--preset", "smoke", "--dry-run"],
        "sweep": [str(sweep), "--dry-run"],
        "ui": [],
    }[command]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    arguments = [command, *words, "--home", str(tmp_path / "home")]
    found = CliRunner().invoke(app, arguments)
    assert "tracking: http://127.0.0.1:9 (MLFLOW_TRACKING_URI)" in found.stderr
    found = CliRunner().invoke(app, [*arguments, "--tracking-uri", "http://127.0.0.1:7"])
    assert "tracking: http://127.0.0.1:7 (--tracking-uri)" in found.stderr


def test_optunas_dashboard_needs_no_address_of_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    arguments = ["ui", "--studies", "--home", str(tmp_path)]
    found = CliRunner().invoke(app, arguments)
    assert "no Optuna studies" in str(found.exception)
    found = CliRunner().invoke(app, [*arguments, "--tracking-uri", "http://127.0.0.1:7"])
    assert "--tracking-uri has no place there" in str(found.exception)
