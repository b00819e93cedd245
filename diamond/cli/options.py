"""Options that several commands have, and their defaults; no torch, no numpy."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_HOME = Path("mlruns")

Home = Annotated[Path, typer.Option("--home", help="Folder for everything that runs make.")]
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
