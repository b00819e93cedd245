"""`diamond import-checkpoint` and `diamond export-checkpoint`: show what was made."""

import shlex
from pathlib import Path

import typer

from diamond.config.checkpoint import CHECKPOINT_FILE
from diamond.errors import RequestError
from diamond.pipeline.checkpoints import (
    export_released,
    import_released,
    read_parts,
    trained_parts,
)


def import_and_show(source: str, game: str | None, output: Path | None, home: Path) -> None:
    """Import an agent; print the folder and the command that uses it."""
    folder = import_released(source, game, output, home)
    typer.echo(f"checkpoint: {folder}")
    command = ["diamond", "ablate", "steps=1,3,10", "--checkpoint", str(folder)]
    typer.echo(f"use it:     {shlex.join(command)}")


def export_and_show(source: str, target: Path, arm: str | None, seed: int, home: Path) -> None:
    """Export a checkpoint folder, or a run of a study; print the file."""
    folder = Path(source)
    if (folder / CHECKPOINT_FILE).is_file():
        if arm is not None or seed != 0:
            raise RequestError(
                f"{source!r} is a checkpoint folder: it has no arms and seeds\n"
                "  leave --arm and --seed out"
            )
        export_released(*read_parts(folder), target)
    else:
        export_released(*trained_parts(source, arm, seed, home), target)
    typer.echo(f"released agent: {target}")
