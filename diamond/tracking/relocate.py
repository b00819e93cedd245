"""The MLflow database of a home, after the home was moved or copied.

MLflow keeps where files go as absolute addresses, one for each experiment and run: without this, a
copy would write into the folder of the original. Only `mlflow_open` calls it, before MLflow sees
the database.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from diamond.tracking.mlflow_records import HOME_TAG
from diamond.tracking.uris import EXPERIMENT

_WAIT_SECONDS = 60.0


def relocate(database: Path, home_id: str = "", former: Sequence[str] = ()) -> None:
    """Let everything in the database of a home point into that home, all at once or not at all.

    Files that the user keeps elsewhere, such as in a bucket, stay there.

    Args:
        database: An MLflow database in the home's folder.
        former: Identities that it had, in whose place its studies get this one.

    Raises:
        sqlite3.Error: The database cannot be read or written.
    """
    new = artifact_root(database.parent)
    with closing(sqlite3.connect(database, timeout=_WAIT_SECONDS)) as connection, connection:
        found = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)
        ).fetchone()
        old = new if found is None else str(found[0])
        if old != new and old.startswith("file:"):
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608
                    f" WHERE substr({column} || '/', 1, ?) = ?",
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )
        for old_id in former:
            connection.execute(
                "UPDATE tags SET value = ? WHERE key = ? AND value = ?", (home_id, HOME_TAG, old_id)
            )


def artifact_root(folder: Path) -> str:
    """Where the files of runs go whose database a process opens itself."""
    return (folder.resolve() / "artifacts").as_uri()
