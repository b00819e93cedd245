"""Options that several commands have, and their defaults; no torch, no numpy."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diamond.cli.system import check_text
from diamond.errors import RequestError
from diamond.tracking.uris import TRACKING_VARIABLE, default_uri, hide_secrets

if TYPE_CHECKING:
    from diamond.engine.devices import Workers

DEFAULT_HOME = Path("mlruns")


def check_home_text(home: Path) -> Path:
    """Return a home that a database can hold.

    Raises:
        RequestError: Its path is no text.
    """
    check_text("the home", str(home.absolute()))
    return home


Home = Annotated[
    Path,
    typer.Option("--home", help="Folder for everything that runs make.", callback=check_home_text),
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
        "--tracking-uri",
        envvar=TRACKING_VARIABLE,
        show_envvar=False,
        help=f"MLflow tracking URI; by default {TRACKING_VARIABLE}, without it a SQLite file in "
        "the home.",
    ),
]


def game_names(games: str | Sequence[str]) -> tuple[str, ...]:
    """Names of games, from one text with commas or from several."""
    parts = games.split(",") if isinstance(games, str) else games
    return tuple(part.strip() for part in parts)


def check_workers(jobs: int | None, compiled: bool) -> "Workers":
    """The processes that make stages, as many as there are GPUs or cores where none says.

    Raises:
        RequestError: There would be none, or torch cannot compile here.
    """
    from diamond.engine.devices import Workers, check_compiler, default_jobs

    if jobs is not None and jobs < 1:
        raise RequestError(f"--jobs {jobs}: at least 1 process is needed")
    if compiled:
        check_compiler()
    return Workers(jobs or default_jobs(), compiled)


def given_command() -> str:
    """The command as the user typed it, with passwords hidden: it is shown and written down."""
    return shlex.join(["diamond", *map(hide_secrets, sys.argv[1:])])


def say_tracking(home: Path, tracking_uri: str | None) -> None:
    """Print on standard error where runs are tracked, and what says so.

    Raises:
        StoreError: The path of the home is none that a database can have.
    """
    why = "of the home"
    if tracking_uri is not None:
        by_variable = tracking_uri == os.environ.get(TRACKING_VARIABLE)
        why = TRACKING_VARIABLE if by_variable else "--tracking-uri"
    typer.echo(f"tracking: {hide_secrets(tracking_uri or default_uri(home))} ({why})", err=True)
