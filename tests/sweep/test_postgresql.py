"""Optuna studies on a real PostgreSQL server, which starts and ends with these tests."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from diamond.errors import StoreError
from diamond.sweep.addresses import storage_address
from diamond.sweep.storage import find_storage, open_storage, storage_errors
from tests.commands import wait_until
from tests.sweep.test_storage import ask_and_tell_together, check_trials

psycopg = pytest.importorskip("psycopg", reason="needs psycopg: pip install psycopg[binary]")

PASSWORD = "s3cr3t"
USER = "sweeper"


def _binaries() -> Path | None:
    """Folder of PostgreSQL's programs; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
