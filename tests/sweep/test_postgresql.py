"""Optuna studies and the services of docs/cluster.md on a real PostgreSQL, begun by these tests."""

import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import RDBStorage

from diamond.errors import StoreError
from diamond.sweep.addresses import storage_address
from diamond.sweep.storage import find_storage, open_storage, storage_errors
from diamond.tracking.uris import absolute_uri
from tests.commands import ROOT, STUDY, copy_home, diamond, environment, free_port, wait_until
from tests.sweep.test_storage import ask_and_tell_together, check_trials

psycopg = pytest.importorskip("psycopg", reason="needs psycopg: pip install psycopg[binary]")

PASSWORD = "s3cr3t"
USER = "sweeper"
OWN_PASSWORD = "0wn-s3cr3t"
"""Of the user that docs/cluster.md makes."""
PAGE = ROOT / "docs" / "cluster.md"
BLOCK = re.compile(r"^```(?:sh|text)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
HANDS = "sudo -u postgres "
"""How the page becomes PostgreSQL's own user, whom these tests name to its programs."""


def _binaries() -> Path | None:
    """Folder of PostgreSQL's programs; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    return folders[-1] if folders else None


def _server_user() -> str | None:
    """Who may run a server: root may not."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


BINARIES = _binaries()
pytestmark = pytest.mark.skipif(
    BINARIES is None, reason="needs PostgreSQL: apt-get install postgresql"
)


@dataclass(frozen=True)
class Server:
    """A server on the loopback address."""

    port: int

    def url(self, database: str, password: str = PASSWORD) -> str:
        """What a user writes after --storage."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def programs(self) -> dict[str, str]:
        """Variables of PostgreSQL's programs, for the user that may make others."""
        own = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": USER}
        return environment() | own | {"PGPASSWORD": PASSWORD}

    def new_database(self, name: str, encoding: str = "UTF8") -> str:
        """Make an empty database and return its address."""
        of_its_own = f"TEMPLATE template0 ENCODING '{encoding}'"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {of_its_own}")
        return storage_address(self.url(name))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert BINARIES is not None
    user = _server_user()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="diamond-postgresql-") as folder:
        # Not a folder of pytest's: the server's user may not look into those.
        if user is not None:
            shutil.chown(folder, user)
        password = Path(folder, "password")
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data = Path(folder, "data")
        login = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", str(password)]
        subprocess.run(
            [BINARIES / "initdb", "-D", data, "--no-sync", "--locale=C", "--encoding=UTF8", *login],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        with Path(folder, "log").open("w") as log:
            settings = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")
            options = [part for setting in settings for part in ("-c", setting)]
            process = subprocess.Popen(
                [BINARIES / "postgres", "-D", data, "-p", str(port), *options],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            started = Server(port)
            wait_until(lambda: _answers(started, process), "PostgreSQL", seconds=60)
            yield started
        finally:
            process.send_signal(signal.SIGINT)  # closes connections and ends
            process.wait(60)


def _answers(server: Server, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the server ended"
    try:
        psycopg.connect(server.url("postgres")).close()
    except psycopg.OperationalError:
        return False
    return True


def _close(storage: object) -> None:
    assert isinstance(storage, RDBStorage)
    storage.remove_session()
    storage.engine.dispose()


def test_two_processes_on_one_database_lose_nothing(server: Server) -> None:
    """They make the tables at the same moment as well."""
    address = server.new_database("shared")
    assert find_storage(address) is None
    ask_and_tell_together(address, 10)
    storage = find_storage(address)
    assert storage is not None
    check_trials(storage, 10)
    _close(storage)


def test_looking_at_a_database_makes_nothing_in_it(server: Server) -> None:
    address = server.new_database("looked_at")
    assert find_storage(address) is None
    with psycopg.connect(server.url("looked_at")) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == []


def test_a_database_without_an_encoding_works(server: Server) -> None:
    """PostgreSQL makes such ones where it is set up under the locale C."""
    storage = open_storage(server.new_database("ascii", encoding="SQL_ASCII"))
    optuna.create_study(storage=storage, study_name="σ of 1.2").set_user_attr("key", "ä")
    assert storage.get_all_studies()[0].study_name == "σ of 1.2"
    _close(storage)


def test_what_is_wrong_with_a_database_is_said_without_the_password(server: Server) -> None:
    with pytest.raises(StoreError, match='database "absent" does not exist') as absent:
        open_storage(storage_address(server.url("absent")))
    with pytest.raises(StoreError, match="password authentication failed") as wrong:
        open_storage(storage_address(server.url("postgres", "wr0ng")))
    for caught, secret in ((absent, PASSWORD), (wrong, "wr0ng")):
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None
        assert "name of the database in --storage" in str(caught.value)


def test_a_connection_that_is_cut_is_made_again_and_a_lost_database_is_an_error(
    server: Server,
) -> None:
    address = server.new_database("cut")
    storage = open_storage(address)
    study = optuna.create_study(storage=storage, study_name="study")
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(kill)
        assert study.ask().number == 0
        connection.execute(kill)
        connection.execute("DROP DATABASE cut WITH (FORCE)")
    with (
        pytest.raises(StoreError, match=r"cannot write to .*cut.* does not exist") as caught,
        storage_errors("write to", address),
    ):
        study.ask()
    assert PASSWORD not in str(caught.value)
    _close(storage)


# --- the services of docs/cluster.md ----------------------------------------------------------


@dataclass(frozen=True)
class Services:
    """What a reader of docs/cluster.md has: two databases, a password file and its commands.

    Attributes:
        commands: Those of the page in its order, with the addresses of these tests.
        mlflow: Port of MLflow's server.
        artifacts: Its folder of artifacts.
    """

    server: Server
    commands: list[str]
    mlflow: int
    artifacts: Path

    def command(self, begin: str, also: str = "") -> list[str]:
        """The words of the one command that begins so and has this in it."""
        (found,) = (c for c in self.commands if c.startswith(begin) and also in c)
        return shlex.split(found)

    def dump(self) -> str:
        """Everything in both databases as text."""
        assert BINARIES is not None
        return "".join(
            subprocess.run(
                [BINARIES / "pg_dump", name],
                env=self.server.programs(),
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for name in ("mlflow", "optuna")
        )


@pytest.fixture(scope="module")
def services(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The databases as the page makes them, and the password where the page puts it."""
    assert BINARIES is not None
    folder, port = tmp_path_factory.mktemp("services"), free_port()
    places = {
        "services:5432:": f"127.0.0.1:{server.port}:",
        "@services/": f"@127.0.0.1:{server.port}/",
        "//services:5000": f"//localhost:{port}",
        "--port 5000": f"--port {port} --workers 1",
        "/srv/diamond/artifacts": str(folder / "artifacts"),
        ":PASSWORD\n": f":{OWN_PASSWORD}\n",
    }
    page = PAGE.read_text()
    text = "".join(block["code"] for block in BLOCK.finditer(page))
    for there, here in places.items():
        assert there in text, f"{PAGE} no longer has {there!r}"
        text = text.replace(there, here)
    commands = text.splitlines()
    for made in (command for command in commands if command.startswith(HANDS)):
        program, *words = shlex.split(made.removeprefix(HANDS))
        subprocess.run(
            [BINARIES / program, *words],
            # Without a terminal, the password is read from there.
            input=f"{OWN_PASSWORD}\n" * 2,
            start_new_session=True,
            env=server.programs(),
            check=True,
            capture_output=True,
            text=True,
        )
    secret = folder / "pgpass"
    secret.write_text(next(line for line in commands if line.endswith(f":{OWN_PASSWORD}")) + "\n")
    secret.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", str(secret))
        yield Services(server, commands, port, folder / "artifacts")


@contextmanager
def _mlflow_server(services: Services) -> Iterator[MlflowClient]:
    """MLflow's server, as the page starts it, and its client."""
    program, *words = services.command("mlflow server")
    more = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (services.artifacts.parent / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", program, *words],
            env=environment() | more,
            cwd=services.artifacts.parent,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://localhost:{services.mlflow}"

    def answers() -> bool:
        assert process.poll() is None, Path(log.name).read_text()
        try:
            return bool(urlopen(f"{address}/health").status == 200)
        except OSError:
            return False

    try:
        wait_until(answers, "the MLflow server")
        yield MlflowClient(tracking_uri=address)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run(words: list[str], home: Path, *more: str, secret: str = OWN_PASSWORD) -> None:
    """Run a command of the page at the size of `smoke`; it shows no password."""
    done = diamond(*_of_home(words, home), *more, page=False, cwd=home.parent)
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr


def _check_shown(words: list[str], home: Path) -> None:
    """`diamond ui` answers at an address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "diamond", *_of_home(words, home), "--port", str(free_port())],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        # It is printed once the server answers; of a server that fails there is none.
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def _of_home(words: list[str], home: Path) -> list[str]:
    return [word.replace("/shared/home", str(home)) for word in words[1:]]


def _check_tracked(client: MlflowClient) -> str:
    """The runs of the study of `smoke_home` and its report are there; where it is."""
    experiment = client.get_experiment_by_name("diamond")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {"steps=1 seed 0", "steps=3 seed 0"} <= {run.info.run_name for run in runs}
    (study,) = (run for run in runs if run.data.tags["diamond.kind"] == "study")
    assert study.info.run_name == STUDY
    kept = {file.path for file in client.list_artifacts(study.info.run_id)}
    assert "report.html" in kept
    return str(study.info.artifact_uri)


def _check_no_password(folders: list[Path], secret: str) -> None:
    for path in (path for folder in folders for path in folder.rglob("*")):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_studies_and_sweeps_use_the_services_as_the_page_says(
    services: Services, smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    with _mlflow_server(services) as client:
        _run(services.command("diamond ablate", "http://"), home, "--preset", "smoke")
        _check_tracked(client)
        assert list(services.artifacts.rglob("report.html"))
        _run(services.command("diamond sweep"), home, "--preset", "smoke", "--trials", "2")
        experiment = client.get_experiment_by_name("diamond")
        assert experiment is not None
        kinds = [
            run.data.tags["diamond.kind"] for run in client.search_runs([experiment.experiment_id])
        ]
        assert kinds.count("trial") == 2
        _check_hosts(services)
    storage = find_storage(storage_address(services.command("diamond sweep")[-1]))
    assert storage is not None
    (study,) = storage.get_all_studies()
    assert len(storage.get_all_trials(study._study_id)) == 2
    _close(storage)
    assert not list(home.rglob("*.journal")) and not (home / "mlflow.db").exists()
    _check_shown(services.command("diamond ui --studies"), home)
    _check_no_password([home, services.artifacts], OWN_PASSWORD)
    assert OWN_PASSWORD not in services.dump()


def _check_hosts(services: Services) -> None:
    """Other machines may call the server by the name that the page gives it, and by no other."""
    query = "api/2.0/mlflow/experiments/get-by-name?experiment_name=diamond"
    address = f"http://localhost:{services.mlflow}/{query}"
    assert urlopen(Request(address, headers={"Host": "services:5000"})).status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(address, headers={"Host": "elsewhere:5000"}))


def test_a_study_is_tracked_in_postgresql_without_a_server_of_mlflow(
    services: Services, smoke_home: Path, tmp_path: Path
) -> None:
    """Its files are in the home, whatever the working directory; the password is in the address."""
    home = copy_home(smoke_home, tmp_path / "home")
    services.server.new_database("tracked")
    address = services.server.url("tracked")
    make, show = (
        [*services.command(begin, "/mlflow")[:-1], address]
        for begin in ("diamond ablate", "diamond ui")
    )
    _run(make, home, "--preset", "smoke", secret=PASSWORD)
    place = _check_tracked(MlflowClient(tracking_uri=absolute_uri(address)))
    assert place.startswith((home / "artifacts").as_uri())
    _check_shown(show, home)
    _check_no_password([home], PASSWORD)
