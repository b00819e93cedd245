"""Commands on checkpoints of agents: import, export, play the real game; their options."""

from pathlib import Path
from typing import Annotated

import typer

from diamond.cli.options import DEFAULT_HOME, Home

DEFAULT_EPISODES = 100


def import_checkpoint(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE.pt|hf://REPO/PATH", help="An agent of the released code."),
    ],
    game: Annotated[
        str | None, typer.Option(help="What it was trained on; by default the file's name says it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to make; by default in the home.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Turn an agent of the released code into a checkpoint of this project."""
    from diamond.cli.checkpoints import import_and_show

    import_and_show(source, game, output, home)


def export_checkpoint(
    source: Annotated[
        str, typer.Argument(metavar="DIR|STUDY", help="A checkpoint folder, or a study's name.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE.pt",
            help="What to write: a checkpoint folder, or with .pt a file for the released code.",
        ),
    ],
    arm: Annotated[
        str | None, typer.Option(help="Arm of the study, for instance 'steps=3'.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Training seed of the study's run; by default its first.")
    ] = None,
    game: Annotated[
        str | None, typer.Option(help="Game of the study's run, where it has several.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a trained agent as a checkpoint folder, or as a file that the released code loads."""
    from diamond.cli.checkpoints import export_and_show
    from diamond.studies.export_agents import RunChoice

    export_and_show(source, target, RunChoice(arm, game, seed), home)


def evaluate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Folder of a trained agent (`diamond import-checkpoint`, `diamond "
            "export-checkpoint`).",
        ),
    ],
    game: Annotated[
        str | None, typer.Option(help="The checkpoint's game; another one is refused.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Real episodes to play.")] = DEFAULT_EPISODES,
    seed: Annotated[int, typer.Option(help="Seed of the episodes: no-ops and actions.")] = 0,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="Film the first episode.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the document, which `diamond scores` reads."),
    ] = False,
) -> None:
    """Play the real game with a checkpoint: returns, human-normalised score, intervals.

    Actions are sampled; lives lost do not end an episode.
    """
    from diamond.cli.evaluate import EvaluationOptions, evaluate_and_show

    evaluate_and_show(checkpoint, game, EvaluationOptions(episodes, seed, video, as_json))
