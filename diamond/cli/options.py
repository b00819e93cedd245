"""Options that several commands have, and their defaults; no torch, no numpy."""

from pathlib import Path
from typing import Annotated

import typer

from diamond.cli.system import check_text

DEFAULT_HOME = Path("mlruns")


def _checked_home(home: Path) -> Path:
    check_text("the home", str(home.absolute()))
    return home


Home = Annotated[
    Path,
    typer.Option("--home", help="Folder for everything that runs make.", callback=_checked_home),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Let torch compile the networks of the world model: a minute or more in every worker, "
        "for long trainings. Results differ by rounding.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri", help="MLflow tracking URI; by default a SQLite file in the home."
    ),
]
