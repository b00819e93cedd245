"""Opening storages of Optuna; how they are addressed is in `addresses`."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from diamond.errors import StoreError
from diamond.sweep.addresses import journal_path
from diamond.sweep.journal import Journal, first_bad_line
from diamond.tracking.uris import hide_secrets

_CONNECT_SECONDS = 10
_OPENINGS = 5
_REOPEN_SECONDS = 0.2
_DRIVERS = {
    "postgresql": 'pip install "diamond-ablations[postgresql]"',
    "mysql": "pip install pymysql",
}


def open_storage(address: str) -> BaseStorage:
    """Open a storage, making its file or tables where they are missing.

    From then on Optuna writes nothing below errors to this process's terminal.

    Args:
        address: What `addresses.storage_address` or `addresses.default_storage` returned.

    Raises:
        StoreError: It cannot be opened; the text has no password.
    """
    _silence()
    path = journal_path(address)
    with storage_errors("open", address):
        if path is None:
            return _open_database(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        return _open_journal(path)


def find_storage(address: str) -> BaseStorage | None:
    """Open a storage that holds a study, None where there is none; nothing is made.

    Args:
        address: What `addresses.storage_address` or `addresses.default_storage` returned.

    Raises:
        StoreError: It cannot be opened; the text has no password.
    """
    path = journal_path(address)
    with storage_errors("open", address):
        if not (_has_tables(address) if path is None else path.exists()):
            return None
        storage = open_storage(address)
        return storage if storage.get_all_studies() else None


def forget_study(address: str, name: str) -> None:
    """Delete the trials of a sweep, where the storage has them.

    Args:
        address: What `addresses.storage_address` or `addresses.default_storage` returned.
        name: Name of the study.

    Raises:
        StoreError: The storage cannot be opened or written; the text has no password.
    """
    storage = find_storage(address)
    if storage is None:
        return
    with storage_errors("write to", address):
        for study in storage.get_all_studies():
            if study.study_name == name:
                storage.delete_study(study._study_id)


@contextmanager
def database_errors(verb: str, address: str) -> Iterator[None]:
    """As `storage_errors`, where errors of the system may have another cause than the storage.

    Raises:
        StoreError: The database of the storage raised; the cause is in the text.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _refused(verb, address, error) from None


@contextmanager
def storage_errors(verb: str, address: str) -> Iterator[None]:
    """Turn what a storage raises into an error of the user, without its password.

    Args:
        verb: What is being done to the storage, such as ``"write to"``.
        address: The storage.

    Raises:
        StoreError: The storage raised; the cause is in the text.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        raise _refused(verb, address, error) from None


def _refused(verb: str, address: str, error: Exception) -> StoreError:
    cause = hide_secrets(_cause(error), address)
    return StoreError(
        f"cannot {verb} the Optuna storage {hide_secrets(address)!r}: {cause}\n"
        f"  {_what_to_check(address)}"
    )


def _open_journal(path: Path) -> JournalStorage:
    journal = Journal(path)
    journal.mend()
    # Optuna overlooks a bad last line and then fails on whatever follows it.
    if (bad := first_bad_line(path)) is not None:
        raise StoreError(
            f"the Optuna journal {str(path)!r} is damaged: line {bad} is no JSON.\n"
            "  Keep a copy and remove that line, or choose another file with --storage."
        )
    try:
        return JournalStorage(journal)
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise StoreError(
            f"the Optuna journal {str(path)!r} is damaged, or of another version than"
            f" {optuna.__version__}: {type(error).__name__} {error}\n"
            "  Choose another file with --storage."
        ) from error


def _open_database(address: str) -> RDBStorage:
    """Open a database, also when other processes make its tables at the same moment."""
    options = {"pool_pre_ping": True, "connect_args": _connect_options(address)}
    # Optuna takes braces for a template.
    url = address.replace("{", "{{").replace("}", "}}")
    _has_tables(address)  # Where nobody answers, one try is enough.
    failure: SQLAlchemyError | StorageInternalError | None = None
    for _ in range(_OPENINGS):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except (SQLAlchemyError, StorageInternalError) as error:
            failure = error
            time.sleep(_REOPEN_SECONDS)
        except RuntimeError as error:
            raise StoreError(
                f"the Optuna storage {hide_secrets(address)!r} was made by another version of"
                f" Optuna; this is {optuna.__version__}.\n"
                "  With a newer Optuna: optuna storage upgrade --storage URL; or choose another"
                " database with --storage."
            ) from error
    assert failure is not None
    raise failure


def _has_tables(address: str) -> bool:
    """Whether a database holds tables of Optuna."""
    try:
        engine = sqlalchemy.create_engine(address, connect_args=_connect_options(address))
    except ImportError as error:
        raise StoreError(
            f"the driver of {hide_secrets(address)!r} is not installed: {error}.\n"
            f"  {_DRIVERS[address.partition('+')[0]]}"
        ) from error
    try:
        return sqlalchemy.inspect(engine).has_table("studies")
    finally:
        engine.dispose()


def _connect_options(address: str) -> dict[str, Any]:
    """What drivers are told, beside what the address says.

    A PostgreSQL database made under the locale C has no encoding: its texts would come as bytes.
    """
    options: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    if address.startswith("postgresql"):
        options["client_encoding"] = "utf8"
    return {name: value for name, value in options.items() if f"{name}=" not in address}


def _cause(error: Exception) -> str:
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig is not None:
        return " ".join(str(error.orig).split())
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).partition("\n")[0] or type(error).__name__


def _what_to_check(address: str) -> str:
    if journal_path(address) is not None:
        return "Check that the disk has room and that you may write there, or use --storage."
    return "Check that the server runs, and user, password and name of the database in --storage."


def _silence() -> None:
    """Keep Optuna's reports of every study and trial off the terminal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
