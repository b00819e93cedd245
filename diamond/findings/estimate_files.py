"""Where a home keeps estimates of scored stages; what they are is in `stored_estimates`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from diamond.config.base import content_hash

ESTIMATES = "estimates"
"""The folder, and what `diamond gc` calls the files."""
VERSION = 1
"""Raised by a change of what is estimated from equal scores."""
DIGITS = 12


def estimate_path(home: Path, key: str, depends: Mapping[str, object]) -> Path:
    """The file of estimates that go with a stage.

    Args:
        key: Of the stage, or of the first of several.
        depends: All that the estimates depend on, as plain data.
    """
    digest = content_hash({"version": VERSION, **depends})[:DIGITS]
    return home / ESTIMATES / f"{key}-{digest}.json"


def estimate_files(home: Path) -> Iterator[tuple[str, Path]]:
    """The estimates of a home, each with the key of the stage that it goes with."""
    for path in sorted((home / ESTIMATES).glob("*.json")):
        yield path.name.partition("-")[0], path
