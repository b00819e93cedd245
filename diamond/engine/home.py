"""Which home a folder is: its format, and an identity that a copy does not share.

What belongs to a home and lies elsewhere, on a tracking server or in a database of Optuna, carries
its id. Nothing is opened here but the home's own file.
"""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, cast

from typing_extensions import TypedDict

from diamond.engine.files import locked, read_json, write_json
from diamond.errors import StoreError
from diamond.tracking.mlflow_records import Home
from diamond.tracking.mounts import network_file_system
from diamond.tracking.uris import HOME_FILE, default_uri

if TYPE_CHECKING:
    from diamond.tracking.mlflow_store import MlflowStore

FORMAT = 4
FILE_NAME = HOME_FILE
ANCHOR_NAME = ".home.lock"
"""Locked by who opens a home, and never written: no copy keeps the time of its last change."""


class Place(TypedDict):
    """Where a home was when this was written, and what its file system alone knows of it.

    The folder is for people: hosts that share a home may see it at other paths.
    """

    folder: str
    device: int
    inode: int
    anchor_changed_ns: int


class HomeFile(TypedDict):
    """What a home says of itself."""

    format: int
    id: str
    former: list[str]
    place: Place


def open_home(folder: Path) -> Home:
    """Open a home for writing: one that is new, or a copy, gets an id.

    A folder that was moved stays the home that it was; what was copied, also to another disk or
    machine, is a new home.

    Raises:
        StoreError: It is a home of another version, or its file is damaged.
        OSError: It cannot be made or written.
    """
    check_format(folder)  # A home that is refused is left as it is.
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ANCHOR_NAME):
        known, place = _read(folder), _place(folder)
        opened: HomeFile
        if known is None:
            opened = {"format": FORMAT, "id": uuid.uuid4().hex, "former": [], "place": place}
        elif _is_same(known["place"], place):
            moved = {**place, "folder": ""} != {**known["place"], "folder": ""}
            opened = {**known, "place": place} if moved else known
        else:
            former = [*known["former"], known["id"]]
            opened = {**known, "id": uuid.uuid4().hex, "former": former, "place": place}
        if opened != known:
            write_json(folder / FILE_NAME, opened)
    return Home(folder, opened["id"], tuple(opened["former"]))


def check_format(folder: Path) -> None:
    """Refuse a home of another version; nothing is made.

    Raises:
        StoreError: It is one, or its file is damaged.
    """
    _read(folder)


def open_tracking(folder: Path, tracking_uri: str | None) -> "MlflowStore":
    """Open the store in which the runs of a home are tracked.

    Args:
        folder: The home.
        tracking_uri: MLflow tracking URI, None for the home's own.

    Raises:
        StoreError: The home or the store cannot be opened.
    """
    # MLflow takes seconds to import: only who tracks waits for it.
    from diamond.tracking.mlflow_store import open_store  # noqa: PLC0415

    home = open_home(folder)  # It has the id from now on that its address may have.
    return open_store(tracking_uri or default_uri(folder), home)


def _read(folder: Path) -> HomeFile | None:
    """What a home says of itself; None where there is no home yet."""
    path = folder / FILE_NAME
    known = read_json(path)
    if isinstance(known, dict) and known.get("format") == FORMAT:
        return cast("HomeFile", known)
    was_opened = _has_results(folder) and (folder / ANCHOR_NAME).exists()
    if known is None and (path.exists() or was_opened):
        raise StoreError(
            f"{str(path)!r} is {'damaged' if path.exists() else 'missing'}, so it is not known "
            "which home this is\n"
            "  put a copy of the file back, or make a new home with --home"
        )
    if known is not None or _has_results(folder):
        made = "an earlier" if known is None else "another"
        raise StoreError(
            f"the home {str(folder)!r} was made by {made} version of diamond; this one writes "
            f"format {FORMAT} and leaves it as it is\n"
            "  make a new home: --home with a folder that is empty or does not exist, for instance "
            f"--home {folder.name}-{FORMAT}\n"
            "  the old one can still be used with the version that made it"
        )
    return None


def _has_results(folder: Path) -> bool:
    parts = [folder / name for name in ("stages", "studies")]
    return any(next(part.iterdir(), None) is not None for part in parts if part.is_dir())


def _place(folder: Path) -> Place:
    """Where a home is, and what its file system alone knows of it."""
    found, anchor = folder.stat(), (folder / ANCHOR_NAME).stat()
    return {
        "folder": str(folder.resolve()),
        # Each host that mounts a network file system has a number of its own for it.
        "device": found.st_dev if network_file_system(folder) is None else 0,
        "inode": found.st_ino,
        "anchor_changed_ns": anchor.st_ctime_ns,
    }


def _is_same(before: Place, now: Place) -> bool:
    """Whether a folder is the one that it was: it may have been moved, or have a new owner.

    Moving keeps the anchor's time of change, and so does another machine that looks at the same
    disk, whatever its clock says. Changing owner or rights keeps the number of the folder.
    """
    if now["anchor_changed_ns"] == before["anchor_changed_ns"]:
        return True
    return (now["device"], now["inode"]) == (before["device"], before["inode"])
