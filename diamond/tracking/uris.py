"""Addresses of stores as text, and what of them may be shown; nothing is opened."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from diamond.errors import StoreError

EXPERIMENT = "diamond"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable with the address that is used where none is given."""
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

    Raises:
        StoreError: The path has a character that an address cannot hold.
    """
    return _sqlite_uri(home / "mlflow.db")


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
