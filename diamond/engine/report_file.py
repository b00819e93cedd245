"""The result of a study as a file of its folder, sealed: a damaged one is never used."""

from pathlib import Path

from diamond.engine.files import read_json, write_json
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.results.document import from_document, to_document
from diamond.results.model import Result


def write_result(path: Path, result: Result) -> None:
    """Write a result, whole or not at all."""
    write_json(path, sealed(to_document(result)))


def read_result(path: Path) -> Result | None:
    """Read a result; None where it is absent, damaged, or that of another version."""
    document = read_json(path)
    if not is_whole(document):
        return None
    try:
        return from_document(unsealed(document))
    except ValueError:
        return None
