"""Addresses of MLflow stores, as text; nothing is opened."""

from pathlib import Path

from diamond.errors import StoreError

EXPERIMENT = "diamond"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable with the address that is used where none is given."""
_SQLITE = "sqlite:///"
_NEEDS_ESCAPES = frozenset("%?#")


def default_uri(home: Path) -> str:
    """Return the address of the SQLite database of a home folder, as an absolute path.

    Raises:
        StoreError: The path has a character that an address cannot hold.
    """
    return _sqlite_uri(home / "mlflow.db")


def shown(tracking_uri: str) -> str:
    """Return an address as it may be shown."""
    return tracking_uri


def absolute_uri(tracking_uri: str) -> str:
    """Return an address that means the same in every working directory.

    Args:
        tracking_uri: A SQLite or other database address, an ``http(s)://`` server, or a scheme of
            an MLflow plug-in.

    Raises:
        StoreError: It is empty, a folder (MLflow's old file store) or a database in memory.
    """
    path = sqlite_path(tracking_uri)
    if path is not None:
        return _sqlite_uri(path)
    if "://" not in tracking_uri and tracking_uri not in ("databricks", "databricks-uc"):
        raise _refused(
            tracking_uri, "a folder is MLflow's old file store, which it no longer opens"
        )
    if tracking_uri.startswith("file:"):
        raise _refused(
            tracking_uri, "a folder is MLflow's old file store, which it no longer opens"
        )
    return tracking_uri


def sqlite_path(tracking_uri: str) -> Path | None:
    """Return the file of a SQLite address, or None for any other address.

    Raises:
        StoreError: The database is in memory.
    """
    if not tracking_uri.startswith("sqlite:"):
        return None
    path = tracking_uri.removeprefix(_SQLITE)
    if not tracking_uri.startswith(_SQLITE) or path in ("", ":memory:"):
        raise _refused(tracking_uri, "a database in memory is lost at the end of the command")
    return Path(path)


def _sqlite_uri(path: Path) -> str:
    absolute = path.absolute()
    if bad := sorted(_NEEDS_ESCAPES & set(str(absolute))):
        raise StoreError(
            f"the path {str(absolute)!r} of the MLflow database has {' '.join(bad)!r},"
            " which a database address cannot hold.\n"
            "  Choose another folder with --home, or another database with --tracking-uri."
        )
    return f"{_SQLITE}{absolute}"


def _refused(tracking_uri: str, why: str) -> StoreError:
    return StoreError(
        f"cannot track runs at {tracking_uri!r}: {why}.\n"
        "  allowed: sqlite:///PATH, postgresql://..., mysql://..., http://..., https://...\n"
        f"  Without --tracking-uri and {TRACKING_VARIABLE}, runs go to mlflow.db in the home."
    )
