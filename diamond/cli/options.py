"""Options that several commands have, and their defaults; no torch, no numpy."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_HOME = Path("mlruns")

Home = Annotated[Path, typer.Option("--home", help="Folder for everything that runs make.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri", help="MLflow tracking URI; by default a SQLite file in the home."
    ),
]
