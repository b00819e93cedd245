"""`diamond import-checkpoint` and `diamond export-checkpoint`: show what was made."""

import shlex
from pathlib import Path

import typer

from diamond.config.checkpoint_record import CHECKPOINT_FILE
from diamond.engine.home import check_format
from diamond.errors import RequestError
from diamond.studies.export_agents import (
    RunChoice,
    export_folder,
    export_released,
    read_parts,
    trained_run,
)
from diamond.weights.checkpoint_folders import import_released

RELEASED_SUFFIX = ".pt"


def import_and_show(source: str, game: str | None, output: Path | None, home: Path) -> None:
    """Import an agent; print the folder and the command that uses it."""
    if output is None:
        check_format(home)
    _show_folder(import_released(source, game, output, home))


def export_and_show(source: str, target: Path, choice: RunChoice, home: Path) -> None:
    """Export a run of a study, or a checkpoint folder; print what was made.

    Raises:
        RequestError: The source does not exist, is ambiguous or not trained, or the target exists.
        StoreError: The target cannot be written.
    """
    released = target.suffix == RELEASED_SUFFIX
    folder = Path(source)
    if (folder / CHECKPOINT_FILE).is_file():
        if choice != RunChoice():
            raise RequestError(
                f"{source!r} is a checkpoint folder: it has no arms, games and seeds\n"
                "  leave --arm, --game and --seed out"
            )
        if not released:
            raise RequestError(
                f"{source!r} is a checkpoint folder already: it can be copied\n"
                f"  for the released code give a file, {target}{RELEASED_SUFFIX}"
            )
        export_released(*read_parts(folder), target)
    else:
        run = trained_run(source, choice, home)
        if not released:
            export_folder(run, target)
            _show_folder(target)
            return
        export_released(run.config, run.parts(), target)
    typer.echo(f"released agent: {target}")


def _show_folder(folder: Path) -> None:
    typer.echo(f"checkpoint: {folder}")
    command = ["diamond", "ablate", "steps=1,3,10", "--checkpoint", str(folder)]
    typer.echo(f"use it:     {shlex.join(command)}")
