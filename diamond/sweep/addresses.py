"""Addresses of the storages of Optuna, as text; nothing is opened."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from diamond.errors import StoreError
from diamond.tracking.mounts import network_file_system
from diamond.tracking.uris import check_secrets, hide_secrets, sqlite_path

JOURNAL_SUFFIX = ".journal"
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
}
_HOW_TO_WRITE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX"


def default_storage(home: Path) -> str:
    """Return the address of the journal that holds all Optuna studies of a home."""
    return str(home.absolute() / "studies" / f"optuna{JOURNAL_SUFFIX}")


def storage_address(text: str) -> str:
    """Return an address that means the same in every working directory and names its driver.

    Args:
        text: Path of a journal file, or the URL of a PostgreSQL or MySQL database.

    Raises:
        StoreError: It is anything else, or was copied with its password hidden; the text says what
            is allowed and has no password.
    """
    check_secrets(text)
    scheme, colon, _ = text.partition(":")
    if scheme == "sqlite" or scheme.startswith("sqlite+"):
        raise _refused(
            text,
            "several processes that write lock one another out of a SQLite database;"
            " a journal file takes them on one machine, PostgreSQL on several",
        )
    if "://" in text or (colon and scheme in _DRIVERS):
        return _database_address(text)
    if text and Path(text).is_dir():
        raise _refused(text, "it is a folder")
    if not text.endswith(JOURNAL_SUFFIX):
        raise _refused(text, f"it is no file that ends in {JOURNAL_SUFFIX}")
    return str(Path(text).absolute())


def journal_path(address: str) -> Path | None:
    """Return the file of a journal, None for a database."""
    return None if "://" in address else Path(address)


def is_inside(address: str, home: Path) -> bool:
    """Whether a storage is a journal in a home, which travels with it."""
    path = journal_path(address)
    return path is not None and path.resolve().is_relative_to(home.resolve())


def check_shared_home(address: str, tracking_uri: str | None, mounts: str | None = None) -> None:
    """Refuse files where several machines may write at once and their locks do not hold.

    Args:
        address: Where the Optuna study is, as `storage_address` has it.
        tracking_uri: Where MLflow tracks runs; None is a local file.
        mounts: Text in the form of ``/proc/mounts``; by default that of this system.

    Raises:
        StoreError: Optuna's journal or MLflow's database is on a network file system.
    """
    database = None if tracking_uri is None else sqlite_path(tracking_uri)
    journal = journal_path(address)
    if journal is not None and (kind := network_file_system(journal, mounts)):
        raise StoreError(
            f"trials would be written to {str(journal)!r}, which is on a network file system "
            f"({kind}): a machine that is held up while it writes damages the journal there\n"
            "  keep them in a database, which every machine reaches: "
            "--storage postgresql://USER@HOST/DATABASE\n"
            f"  or on this machine, for a sweep of this machine alone: --storage DIR/NAME"
            f"{JOURNAL_SUFFIX}"
        )
    if database is not None and (kind := network_file_system(database, mounts)):
        raise StoreError(
            f"runs would be tracked in the SQLite database {str(database)!r}, which is on a "
            f"network file system ({kind}): SQLite's locks do not hold there, and several "
            "machines damage the file\n"
            "  track on a server: --tracking-uri http://HOST:5000 (`mlflow server`), or"
            " --tracking-uri postgresql://USER@HOST/DATABASE\n"
            "  or give no --tracking-uri: the file is on this machine then"
        )


def _database_address(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in _DRIVERS:
        raise _refused(text, f"{scheme!r} is not supported")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise _refused(text, f"it is no address of a database: {_HOW_TO_WRITE}") from None
    if not rest or not (parts.path.strip("/") or "dbname" in parse_qs(parts.query)):
        raise _refused(text, f"it names no database: {_HOW_TO_WRITE}")
    return f"{_DRIVERS[scheme]}://{rest}"


def _refused(text: str, why: str) -> StoreError:
    return StoreError(
        f"cannot keep Optuna studies at {hide_secrets(text)!r}: {why}.\n"
        f"  allowed: a file that ends in {JOURNAL_SUFFIX} (on one machine),"
        " postgresql://..., mysql://...\n"
        f"  Without --storage, they go to studies/optuna{JOURNAL_SUFFIX} in the home folder."
    )
