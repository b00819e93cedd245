"""Opening an MLflow store: database, journal, experiment; what is logged is in `mlflow_store`."""

import logging
import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import mlflow
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from requests.exceptions import SSLError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from diamond.errors import StoreError
from diamond.tracking.mlflow_links import STUDIES_VIEW, VIEW_TAG
from diamond.tracking.mlflow_records import Home
from diamond.tracking.mounts import file_system
from diamond.tracking.owner import current_owner, is_gone
from diamond.tracking.relocate import artifact_root, relocate
from diamond.tracking.uris import EXPERIMENT, absolute_uri, hide_secrets, sqlite_path

NOTE = "mlflow.note.content"
_DESCRIPTION = (
    "Each row is a study, with what it found under diamond.result. Its name leads to the answer, "
    "the curves of its arms with their intervals, and the report; [+] lists its runs."
)
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    NOTE: _DESCRIPTION,
    VIEW_TAG: STUDIES_VIEW,
}
_OTHER_SCHEMA = re.compile(r"found version (\w+), but expected \w+")
_NEW = ".mlflow-"
_ANSWER_SECONDS = 20.0
_SERVER_ERROR = 500
_DATABASES = ("postgresql", "mysql", "mssql")
_LOCAL_DISKS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"}
)
_CHATTY = ("mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", "alembic")


def open_client(tracking_uri: str, home: Home) -> tuple[MlflowClient, str]:
    """Open a store, making its database and experiment where they are missing.

    Files of a new experiment go to ``artifacts`` beside a SQLite database, of another database to
    ``artifacts`` in the home. A server has its own place for files.

    Args:
        tracking_uri: Any address that MLflow takes but a folder.
        home: The home that writes; its own database follows it when it is moved or copied.

    Returns:
        The client and the identity of the experiment.

    Raises:
        StoreError: The store cannot be opened.
    """
    uri = absolute_uri(tracking_uri)
    path = sqlite_path(uri)
    with store_errors("open", uri), _quiet():
        if path is not None:
            _prepare_sqlite(path)
            if path.parent.samefile(home.folder):
                relocate(path, home.id, home.former)
            root: str | None = artifact_root(path.parent)
        else:
            _knock(uri)
            root = artifact_root(home.folder) if _is_database(uri) else None
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, root)
        _describe(client, experiment)
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise StoreError(
            f"the experiment {EXPERIMENT!r} of {hide_secrets(uri)} was deleted.\n  Bring it back:"
            f" MLFLOW_TRACKING_URI={hide_secrets(uri)} mlflow experiments restore"
            f" --experiment-id {experiment.experiment_id}"
        )
    return client, experiment.experiment_id


def find_experiment(tracking_uri: str, home: Path) -> str | None:
    """Return the identity of the experiment, None where there is none yet; no run is made.

    Args:
        tracking_uri: Any address that MLflow takes but a folder.
        home: The home; its own database follows it when it is moved or copied.

    Raises:
        StoreError: The store cannot be opened.
    """
    uri = absolute_uri(tracking_uri)
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        return None
    with store_errors("open", uri), _quiet():
        if path is None:
            _knock(uri)
        else:
            _prepare_sqlite(path)
            if path.parent.samefile(home):
                relocate(path)
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return None
        _describe(client, found)
    return str(found.experiment_id)


def is_there(tracking_uri: str) -> bool:
    """Whether a store is there and answers; nothing is made or changed.

    Raises:
        StoreError: It does not answer, or is no MLflow database.
    """
    uri = absolute_uri(tracking_uri)
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        return False
    with store_errors("open", uri), _quiet():
        if path is None:
            _knock(uri)
        else:
            with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
                database.execute("SELECT version_num FROM alembic_version")
    return True


@contextmanager
def store_errors(verb: str, tracking_uri: str) -> Iterator[None]:
    """Turn what a store raises into an error of the user.

    Args:
        verb: What is being done to the store.

    Raises:
        StoreError: The store raised; the cause is in the text.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if schema := _OTHER_SCHEMA.search(cause):
            raise _other_version(schema[1], tracking_uri) from None
        raise StoreError(
            f"cannot {verb} the MLflow store {hide_secrets(tracking_uri)!r}: "
            f"{hide_secrets(cause, tracking_uri)}\n"
            "  Check that the place exists, can be written and holds an MLflow database, or choose"
            " another with --home or --tracking-uri."
        ) from None


def _other_version(revision: str, tracking_uri: str) -> StoreError:
    """The error for a database that another version of MLflow wrote.

    MLflow brings an older database up to date where tables are missing, and refuses the others.

    Args:
        revision: Of the tables in the database.
        tracking_uri: Its address.
    """
    known = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    shown, is_older = hide_secrets(tracking_uri), any(known.glob(f"{revision}_*.py"))
    return StoreError(
        f"the MLflow store {shown!r} was written by {'an older' if is_older else 'a newer'}"
        f" version than the installed MLflow {mlflow.__version__}\n  "
        + (
            f"keep a copy of it, then: mlflow db upgrade {shlex.quote(shown)}"
            if is_older
            else "install that version: pip install --upgrade mlflow\n"
            "  or choose another store with --home or --tracking-uri"
        )
    )


def _prepare_sqlite(path: Path) -> None:
    """Make the database or look at it, and let readers and one writer work at once.

    MLflow retries for minutes on a database that it cannot open: it never gets to see one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()
        if _on_local_disk(path):
            connection.execute("PRAGMA journal_mode=WAL").fetchone()


def _create_sqlite(path: Path) -> None:
    """Make a database whole or not at all, also when killed or racing another process.

    MLflow's migrations take no lock and, cut in the middle, leave a database that never opens
    again. They run on a file of their own, which gets its name at the end unless another process
    was first.
    """
    for left in path.parent.glob(f"{_NEW}*"):
        if is_gone(left.name.removeprefix(_NEW)):
            shutil.rmtree(left)
    folder = path.parent / f"{_NEW}{current_owner()}"
    folder.mkdir()
    new = folder / path.name
    sqlalchemy.event.listen(Engine, "connect", _do_not_wait_for_disk)
    try:
        MlflowClient(tracking_uri=f"sqlite:///{new.absolute()}")
        with new.open("rb") as file:
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        sqlalchemy.event.remove(Engine, "connect", _do_not_wait_for_disk)
        shutil.rmtree(folder)


def _do_not_wait_for_disk(connection: sqlite3.Connection, _record: object) -> None:
    """Spare hundreds of small waits, two thirds of the time, on a file that is not yet in use."""
    connection.execute("PRAGMA synchronous=OFF")


def _on_local_disk(path: Path) -> bool:
    """Say whether a path is known to be on a local disk; write-ahead journals need one."""
    return file_system(path) in _LOCAL_DISKS


def _knock(uri: str) -> None:
    """Raise at once where nobody answers; MLflow would try for minutes."""
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        _ask(uri)
    elif _is_database(uri):
        try:
            engine = sqlalchemy.create_engine(uri)
        except ImportError as error:
            raise StoreError(
                f"cannot open the MLflow store {hide_secrets(uri)!r}: {error}.\n  {_install(uri)}"
            ) from error
        engine.connect().close()
        engine.dispose()


def _is_database(uri: str) -> bool:
    """Whether a process that tracks opens the database itself."""
    return urlsplit(uri).scheme.partition("+")[0] in _DATABASES


def _install(uri: str) -> str:
    if uri.startswith("postgresql+psycopg:"):
        return 'pip install "diamond-ablations[postgresql]"'
    return "Install the driver of that database."


def _ask(uri: str) -> None:
    """Ask a server once, as MLflow does: by the same proxy, with the same rights."""
    try:
        answer = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            "/api/2.0/mlflow/experiments/get-by-name",
            "GET",
            max_retries=0,
            raise_on_status=False,
            timeout=_ANSWER_SECONDS,
            params={"experiment_name": EXPERIMENT},
        )
    except MlflowException as error:
        if not isinstance(error.__context__, SSLError):
            raise
        raise StoreError(
            f"cannot open the MLflow store {hide_secrets(uri)!r}: no https is spoken there, or with"
            f" a certificate that is not trusted: {error.__context__}\n"
            "  A server without https has an address that begins with http://"
        ) from error
    if answer.status_code >= _SERVER_ERROR:
        raise MlflowException(f"it answers {answer.status_code} {answer.reason}")


def _experiment(client: MlflowClient, artifact_root: str | None) -> Experiment:
    """Return the experiment, made now if it is missing, also when another process makes it too."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            client.create_experiment(
                EXPERIMENT, artifact_location=artifact_root, tags=_EXPERIMENT_TAGS
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(EXPERIMENT)
    assert found is not None
    return found


def _describe(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment of a former version its text and its columns; keep a text of the user."""
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        return
    if NOTE not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, NOTE, _DESCRIPTION)
    if experiment.tags.get(VIEW_TAG) != STUDIES_VIEW:
        client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, STUDIES_VIEW)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the reports of database migrations for a while."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
