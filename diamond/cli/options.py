"""Options that several commands have, and their defaults; no torch, no numpy."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from diamond.tracking.uris import hide_secrets

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


def given_command() -> str:
    """The command as the user typed it, with passwords hidden: it is shown and written down."""
    return shlex.join(["diamond", *map(hide_secrets, sys.argv[1:])])
