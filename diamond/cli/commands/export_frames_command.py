"""`diamond export-frames`: real frames for other programs, and for `diamond import-frames`."""

from pathlib import Path
from typing import Annotated

import typer

from diamond.cli.options import DEFAULT_HOME, AsJson, Home


def export_frames(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|RECORDING|KEY",
            help="A study, whose training frames are meant; a recording; or the key or folder of a "
            "stage of the home: frames, or references, the held-out ones.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="npz|minari|video",
            autocompletion=lambda: ["npz", "minari", "video"],
            help="For each episode a compressed .npz; a Minari data set; for each episode a "
            "lossless video, H.264 of RGB, which browsers do not show, with a table of actions.",
        ),
    ] = "npz",
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write real frames with their actions, rewards and ends, for other programs.

    Action i leads from frame i to frame i + 1. Nothing is lost: `diamond import-frames` reads the
    same numbers back. about.json in the folder says what they are.
    """
    from diamond.cli.exported_frames import export_and_show

    export_and_show(source, form, output, as_json, home.absolute())
