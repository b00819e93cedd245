"""The command `diamond import-frames`: its arguments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from diamond.cli.options import DEFAULT_HOME, RUNNING, AsJson, Home, takes_records


@dataclass(frozen=True)
class KeepOptions:
    """What is kept of the files."""

    PANEL: ClassVar = None

    actions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table of the actions of a video or of PNGs, CSV or Parquet; by default the one "
            "beside them.",
            show_default=False,
        ),
    ] = None
    hold_out: Annotated[
        str,
        typer.Option(
            metavar="FRACTION|NAME,NAME",
            help="Episodes on which arms are scored: a share of them, evenly spread, or their "
            "names. Of a single episode, the end.",
        ),
    ] = "0.1"
    shift: Annotated[
        int,
        typer.Option(
            metavar="STEPS",
            help="Take action i + STEPS for the one that leads from frame i to frame i + 1.",
        ),
    ] = 0


@dataclass(frozen=True)
class OutputOptions:
    """Where it goes and what is shown."""

    PANEL: ClassVar = RUNNING

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what was found; write nothing.")
    ] = False
    as_json: AsJson = False
    home: Home = DEFAULT_HOME


@takes_records
def import_frames(
    *,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Episodes: .npz, folders of .npy, .hdf5, a Minari data set, videos or folders of "
            "PNGs with tables of actions; a file, or a folder of them.",
        ),
    ],
    name: Annotated[str, typer.Option(help="What to call it: `--frames NAME` of other commands.")],
    keep: KeepOptions,
    output: OutputOptions,
) -> None:
    """Take in a recording of your own: frames and the actions between them.

    It is checked before anything is written. Action i leads from frame i to frame i + 1; where
    frames and actions seem shifted, that is said. Frames are kept as they are, without loss.
    """
    from diamond.cli.imported_frames import Showing, import_and_show
    from diamond.recordings.examined import Wanted

    import_and_show(
        keep.actions,
        Wanted(name, path, keep.hold_out, keep.shift),
        Showing(output.dry_run, output.as_json),
        output.home.absolute(),
    )
