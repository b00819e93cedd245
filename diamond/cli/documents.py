"""Results as commands show them: as JSON on standard output, and where their report is."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diamond.engine.needed_stages import REPORT_FILE

if TYPE_CHECKING:
    from diamond.results.model import Places, Result


def report_places(places: "Places", folder: Path, mlflow_command: str | None) -> "Places":
    """Where the report of a study is, in its folder."""
    return places.model_copy(
        update={
            "report_html": str(folder / "report.html"),
            "report_md": str(folder / "report.md"),
            "report_json": str(folder / REPORT_FILE),
            "mlflow_command": mlflow_command,
        }
    )


def document_text(result: "Result") -> str:
    """A result as `report.json` has it."""
    from diamond.engine.sealed_json import sealed
    from diamond.results.document import to_document

    return json.dumps(sealed(to_document(result)), indent=1, allow_nan=False) + "\n"


def print_document(result: "Result") -> None:
    """Print a result as JSON, and nothing else."""
    sys.stdout.write(document_text(result))
