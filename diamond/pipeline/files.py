"""Files that are either whole or absent: write beside, then rename."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader or a crash never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def write_json(path: Path, data: object) -> None:
    """Write plain data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; None when it is absent, not readable as JSON, or cut."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    hasher = sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
