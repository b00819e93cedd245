"""`diamond work`: its options."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from diamond.cli.options import DEFAULT_HOME, Compile, Home, takes_records


@dataclass(frozen=True)
class WorkOptions:
    """What a worker makes, how, and for how long."""

    PANEL: ClassVar = "Options"

    study: Annotated[
        str | None, typer.Option(help="Work for this study alone.", show_default=False)
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Stages at once; default: one per GPU, without one as many as cores.",
            show_default=False,
        ),
    ] = None
    gpu_share: Annotated[
        int, typer.Option(help="Stages at once on each GPU; each has its part of the memory.")
    ] = 1
    compile_: Compile = False
    idle: Annotated[
        str, typer.Option(help="End when no stage could begin for so long, such as 90s or 5m.")
    ] = "60s"
    max_hours: Annotated[
        float | None,
        typer.Option(help="Save what is being made and end after so long.", show_default=False),
    ] = None
    status: Annotated[
        bool,
        typer.Option("--status", help="Show who works on what, since when and how far; end."),
    ] = False
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel", help="End the workers that a cluster runs for the study; they save first."
        ),
    ] = False


@takes_records
def work(*, home: Home = DEFAULT_HOME, asked: WorkOptions) -> None:
    """Make stages that commands ask for, beside other workers.

    It takes what is ready from the home until nothing is left, so any number of machines that share
    the home may run it, and come and go. SIGTERM and SIGUSR1 save what is being made and end it.
    """
    from diamond.cli.work import run_work

    raise typer.Exit(run_work(home.absolute(), asked))
