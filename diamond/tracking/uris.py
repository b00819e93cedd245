"""Addresses of stores as text, and what of them may be shown; no store is opened."""

import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from diamond.errors import StoreError
from diamond.tracking.mounts import network_file_system

EXPERIMENT = "diamond"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable with the address that is used where none is given."""
HOME_FILE = "home.json"
UNBORN = "id-of-the-home"
"""In an address in place of the id that a home gets when it is made."""
LASTING_FOLDER = Path("/var/tmp")  # noqa: S108
"""Local on most machines, and kept when they start again."""
_SQLITE = "sqlite:///"
_NO_DRIVER = re.compile(r"\Apostgres(?:ql)?://")
_NEEDS_ESCAPES = frozenset("%?#")
HIDDEN = "***"
"""Stands for a password in what is shown."""
_SCHEME = r"[A-Za-z][\w+.-]*://"
# Of an address alone, a password may have any letter; inside a text it ends with the word.
_ADDRESS = re.compile(
    rf"(?P<start>\A(?:--[\w-]+=)?{_SCHEME}[^:/?#@]*:)(?P<secret>.+)(?=@)", re.DOTALL
)
_WORD = re.compile(rf"(?P<start>{_SCHEME}[^\s:/?#@]*:)(?P<secret>\S+)(?=@)")
_QUERY = re.compile(
    r"(?P<start>[?&;][^\s=&]*(?:pass|pwd|token|secret|credential|signature|odbc_connect"
    r"|(?:api|access)[-_]?key)[^\s=&]*=)(?P<secret>[^\s&'\"]+)",
    re.IGNORECASE,
)


def default_uri(home: Path) -> str:
    """Return the address of the SQLite database of a home folder, as an absolute path.

    It is in the home. SQLite's locks do not hold on a network file system: where the home is on
    one, each machine has a database of its own, by the id of the home. Whichever is missing, a
    command makes again from what the home holds.

    Raises:
        StoreError: The path has a character that an address cannot hold, or there is no local
            place for the database.
    """
    if network_file_system(home) is None:
        return _sqlite_uri(home / "mlflow.db")
    return _sqlite_uri(_local_folder(home) / (_home_id(home) or UNBORN) / "mlflow.db")


def _home_id(home: Path) -> str | None:
    """What a home says that its id is; None where there is no home yet, or its file is damaged."""
    try:
        return str(json.loads((home / HOME_FILE).read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _local_folder(home: Path) -> Path:
    """Where this machine keeps what belongs to homes on network file systems.

    On a cluster, the user's own folder is often on one too.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "diamond"
    shared = LASTING_FOLDER / f"diamond-{os.getuid()}"
    for folder in (state, shared):
        if network_file_system(folder) is None:
            if folder.exists() and folder.stat().st_uid != os.getuid():
                raise StoreError(
                    f"{str(folder)!r} belongs to another user, and runs would be tracked there\n"
                    "  give another place: --tracking-uri, or a local folder in XDG_STATE_HOME"
                )
            return folder
    raise StoreError(
        f"the home {str(home)!r} is on a network file system, and so are {str(state)!r} and "
        f"{str(shared)!r}: there is no local place for MLflow's database\n"
        "  give one: --tracking-uri http://HOST:5000 (`mlflow server`), postgresql://..., or a "
        "local folder in XDG_STATE_HOME"
    )


def absolute_uri(tracking_uri: str) -> str:
    """Return an address that means the same in every working directory, with its driver.

    Args:
        tracking_uri: A SQLite or other database address, an ``http(s)://`` server, or a scheme of
            an MLflow plug-in.

    Raises:
        StoreError: It is empty, a folder (MLflow's old file store), a database in memory, or was
            copied with its password hidden.
    """
    check_secrets(tracking_uri)
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
    # Which driver SQLAlchemy takes where none is named depends on its version.
    return _NO_DRIVER.sub("postgresql+psycopg://", tracking_uri)


def hide_secrets(text: str, *addresses: str) -> str:
    """Return a text as it may be shown and written down, with `HIDDEN` in place of secrets.

    Secrets are passwords before the host of an address, and parameters such as ``?token=``.

    Args:
        text: An address, a word of a command, or any text with addresses in it.
        addresses: Addresses whose secrets the text may have by themselves, as the complaint of a
            driver has.
    """
    found = {
        match["secret"]
        for address in addresses
        for pattern in (_ADDRESS, _QUERY)
        for match in pattern.finditer(address)
    }
    for pattern in (_ADDRESS, _WORD, _QUERY):
        text = pattern.sub(rf"\g<start>{HIDDEN}", text)
    for secret in sorted(found | set(map(unquote, found)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return text


def check_secrets(address: str) -> None:
    """Refuse an address that was copied from where its password is hidden.

    Raises:
        StoreError: A password or a parameter of it is `HIDDEN`.
    """
    if HIDDEN in address:
        raise StoreError(
            f"the address {hide_secrets(address)!r} has {HIDDEN} where its password was: what is "
            "shown and written down hides it\n  write the password in its place"
        )


def is_server(tracking_uri: str) -> bool:
    """Whether an address is that of a tracking server, which serves its own pages."""
    return tracking_uri.startswith(("http://", "https://"))


def server_page(tracking_uri: str) -> str:
    """Return where the pages of a tracking server are, without user and password."""
    parts = urlsplit(tracking_uri)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")


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
        f"cannot track runs at {hide_secrets(tracking_uri)!r}: {why}.\n"
        "  allowed: sqlite:///PATH, postgresql://..., mysql://..., http://..., https://...\n"
        f"  Without --tracking-uri and {TRACKING_VARIABLE}, runs go to mlflow.db in the home."
    )
