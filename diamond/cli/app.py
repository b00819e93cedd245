"""The commands of `diamond` and how errors become messages and exit codes."""

import os
import sys
import threading
import traceback
from gc import set_threshold
from typing import Annotated

import typer

from diamond import __version__
from diamond.cli.commands.ablate_command import ablate
from diamond.cli.commands.checkpoint_commands import evaluate, export_checkpoint, import_checkpoint
from diamond.cli.commands.export_frames_command import export_frames
from diamond.cli.commands.fidelity_command import fidelity
from diamond.cli.commands.import_frames_command import import_frames
from diamond.cli.commands.reading_commands import (
    gc,
    list_axes,
    report,
    scores,
    show,
    studies,
    ui,
    verify,
)
from diamond.cli.commands.sweep_command import sweep
from diamond.cli.commands.train_command import train
from diamond.cli.commands.work_command import work
from diamond.cli.doctor import doctor
from diamond.cli.system import Streams, check_text, quiet_mlflow
from diamond.cli.travel import export_study, import_study
from diamond.errors import DiamondError, ExitCode, refusals
from diamond.tracking.uris import hide_secrets

COLLECT_AFTER = 50_000
"""New objects after which Python looks for garbage in cycles."""

app = typer.Typer(
    name="diamond",
    help="Ablate the DIAMOND diffusion world model: train, imagine, score against the real game, "
    "compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"diamond {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


COMMANDS = {
    "Run": (
        ("ablate", ablate, "diamond ablate steps=1,3,10"),
        ("sweep", sweep, "diamond sweep sampler --trials 20"),
        ("train", train, "diamond train --game Boxing --preset desk"),
        ("work", work, "diamond work --home /shared/mlruns"),
    ),
    "Read": (
        ("studies", studies, "diamond studies"),
        ("show", show, "diamond show steps-boxing-tiny-static"),
        ("report", report, "diamond report steps-boxing-tiny-static --out report"),
        ("verify", verify, "diamond verify edm_vs_ddpm"),
        ("axes", list_axes, "diamond axes history"),
        ("ui", ui, "diamond ui --port 5010"),
    ),
    "Score": (
        ("fidelity", fidelity, "diamond fidelity --real real.npz --imagined imagined.npz"),
        ("evaluate", evaluate, "diamond evaluate checkpoint --episodes 20 --json"),
        ("scores", scores, "diamond scores ours.json theirs.json"),
    ),
    "Home": (
        ("doctor", doctor, "diamond doctor"),
        ("gc", gc, "diamond gc --forget steps-boxing-tiny-static"),
        ("export-study", export_study, "diamond export-study edm_vs_ddpm edm_vs_ddpm.zip"),
        (
            "import-frames",
            import_frames,
            "diamond import-frames episodes --name mine",
        ),
        (
            "export-frames",
            export_frames,
            "diamond export-frames steps-boxing-tiny-static --output frames --format video",
        ),
        ("import-study", import_study, "diamond import-study edm_vs_ddpm.zip --home joined"),
        (
            "import-checkpoint",
            import_checkpoint,
            "diamond import-checkpoint Boxing.pt --output boxing",
        ),
        (
            "export-checkpoint",
            export_checkpoint,
            "diamond export-checkpoint edm_vs_ddpm agent --arm formulation=edm",
        ),
    ),
}
"""By panel: each command with its example."""

for panel, rows in COMMANDS.items():
    for name, make, example in rows:
        app.command(name, rich_help_panel=panel, epilog=f"Example: `{example}`")(make)


def main() -> None:
    """Entry point: errors of the user become a message and their exit code, faults a traceback."""
    quiet_mlflow()
    # Pydantic would look through all installed packages for plugins before its first record.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # What commands make at first stays: modules, and the hundred thousand objects of a large plan.
    set_threshold(COLLECT_AFTER)
    threading.excepthook = lambda fault: _show_fault(fault.exc_value)
    streams = Streams()
    sys.exit(streams.close(_exit_code()))


def _exit_code() -> int:
    """Run the command and say what went wrong."""
    try:
        with refusals():
            for word in sys.argv[1:]:
                check_text("the argument", word)
            app(prog_name="diamond")
    except SystemExit as done:
        return int(done.code or 0)
    except DiamondError as error:
        return _told(error)
    except KeyboardInterrupt:
        typer.echo("diamond: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except Exception as fault:
        _show_fault(fault)
        return ExitCode.RUN_FAILED
    return ExitCode.DONE


def _told(error: DiamondError) -> ExitCode:
    text = hide_secrets(f"diamond: {error}", *sys.argv)
    typer.secho(text, err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
    return error.exit_code


def _show_fault(fault: BaseException | None) -> None:
    """Print a traceback; libraries quote addresses in their errors, with the passwords."""
    text = "".join(traceback.format_exception(fault))
    typer.echo(hide_secrets(text, *sys.argv), err=True, nl=False)
