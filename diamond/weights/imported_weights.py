"""Weights of imported checkpoints in a home: where they lie, and which of them a study needs.

`diamond.weights.checkpoint_folders` brings them, `diamond.studies.garbage` removes them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from diamond.engine.files import in_use, locked

FOLDER = "weights"
LOCK_NAME = ".lock"
"""Beside the weights: held by who brings some until its plan is recorded, and by who removes."""
_FILE = re.compile(r"([0-9a-f]{64})\.safetensors")
_UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.safetensors\..+\.tmp")


def weights_path(home: Path, sha256: str) -> Path:
    """Where a home keeps imported weights, by the digest of their file."""
    return home / FOLDER / f"{sha256}.safetensors"


@contextmanager
def bringing_weights(home: Path) -> Iterator[None]:
    """Keep weights from being removed until the block ends, which records what needs them."""
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    with in_use(home / FOLDER / LOCK_NAME):
        yield


@contextmanager
def removing_weights(home: Path) -> Iterator[None]:
    """Wait until nobody brings weights, and let nobody begin until the block ends."""
    with ExitStack() as stack:
        if (home / FOLDER).is_dir():
            stack.enter_context(locked(home / FOLDER / LOCK_NAME))
        yield


def stored_weights(home: Path) -> dict[str, Path]:
    """The files of imported weights in a home, by digest; other files are not this project's."""
    folder = home / FOLDER
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = (_FILE.fullmatch(name) for name in names)
    return {match[1]: folder / match[0] for match in found if match}


def unfinished_weights(home: Path) -> list[Path]:
    """Files of weights whose copying was cut short, or still goes on."""
    folder = home / FOLDER
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if _UNFINISHED.fullmatch(path.name)]


def named_weights(home: Path, documents: Iterable[Any]) -> set[str]:
    """The digests of stored weights that plans or manifests name, wherever in them it stands.

    Args:
        documents: Plain data, also as an earlier version of the code wrote it.
    """
    text = json.dumps(list(documents))
    return {digest for digest in stored_weights(home) if digest in text}
