"""Files that a command is asked to write: refused before anything is computed."""

import os
from collections.abc import Sequence
from pathlib import Path

from diamond.errors import RequestError


def check_output(flag: str, path: Path, suffixes: Sequence[str], example: str) -> None:
    """Refuse a file of the wrong kind or in a place that cannot be written.

    Args:
        flag: The option that names it.
        path: The file to write.
        suffixes: Allowed endings of its name.
        example: A stem for the example where the name has none.

    Raises:
        RequestError: What is wrong with it.
    """
    if path.suffix not in suffixes:
        raise RequestError(
            f"{flag} {str(path)!r} ends in {path.suffix!r}\n  allowed: {', '.join(suffixes)}\n"
            f"  for instance {flag} {path.stem or example}{suffixes[0]}"
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise RequestError(
            f"{flag} {str(path)!r}: there is no folder {str(folder)!r}\n"
            "  make it first, or give a file in a folder that exists"
        )
    if path.is_dir():
        raise RequestError(f"{flag} {str(path)!r} is a folder\n  give the name of a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RequestError(
            f"{flag} {str(path)!r}: you may not write in {str(folder)!r}\n"
            "  give a file in a folder that you may write"
        )


def check_folder(flag: str, folder: Path) -> None:
    """Refuse a folder for output that can neither be made nor written.

    Args:
        flag: The option that names it.
        folder: The folder; it may be absent.

    Raises:
        RequestError: What is wrong with it.
    """
    shown = f"{flag} {str(folder)!r}"
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{shown} is a file\n  give the name of a folder")
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise RequestError(
            f"{shown}: you may not write in {str(existing)!r}\n  give a folder that you may write"
        )
