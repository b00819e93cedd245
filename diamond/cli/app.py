"""The commands of `diamond` and how errors become messages and exit codes."""

import os
import sys
import threading
import traceback
from dataclasses import replace
from gc import set_threshold
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from diamond import __version__
from diamond.cli.doctor import doctor
from diamond.cli.fidelity_command import fidelity
from diamond.cli.options import (
    DEFAULT_HOME,
    Compile,
    Home,
    TrackingUri,
    check_workers,
    game_names,
    given_command,
)
from diamond.cli.reading_commands import gc, list_axes, report, scores, show, studies, ui, verify
from diamond.cli.system import Streams, check_text, quiet_mlflow
from diamond.cli.travel import export_study, import_study
from diamond.config.defaults import (
    ATARI_PRESETS,
    DEFAULT_ATARI_GAME,
    DEFAULT_GAME,
    DEFAULT_PRESET,
    default_game,
)
from diamond.errors import DiamondError, ExitCode, RequestError, refusals
from diamond.tracking.uris import hide_secrets

if TYPE_CHECKING:
    from diamond.cli.ablate import Options
    from diamond.cli.ablation_request import Asked

DEFAULT_EPISODES = 100
DEFAULT_GAMES = f"{DEFAULT_GAME} ({DEFAULT_ATARI_GAME} with {', '.join(ATARI_PRESETS)})"
COLLECT_AFTER = 50_000
"""New objects after which Python looks for garbage in cycles."""

app = typer.Typer(
    name="diamond",
    help="Ablate the DIAMOND diffusion world model: train, imagine, score against the real game, "
    "compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; run nothing.")]
Jobs = Annotated[
    int | None,
    typer.Option(help="Worker processes; default: one per GPU, without one as many as cores."),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Try again what failed before; without it, only what was killed."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result document, and only that.")]
KeepFrames = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="all|films|none",
        help="Imagined frames that stay once they are scored: all, the default; films, what the "
        "report shows; none. Given, it makes again what it asks for and was dropped before.",
        show_default=False,
    ),
]


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


@app.command()
def ablate(
    context: typer.Context,
    axes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AXIS=V1,V2...|NAME|FILE.toml",
            help="What to vary: a named axis (`diamond axes`) or any config field by its dotted "
            "name; or a declaration, by its name in ablations/ or by its file.",
            show_default=False,
        ),
    ] = None,
    design: Annotated[
        str,
        typer.Option(
            help="grid: all combinations; ofat: one factor at a time against the first values; "
            "zip: values side by side; path: from one config to another, one flip at a time."
        ),
    ] = "grid",
    path_from: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="AXIS=V ...",
            help="Where a path begins, for instance formulation=ddpm; may be repeated.",
            show_default=False,
        ),
    ] = None,
    path_to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="AXIS=V ...", help="Where a path ends.", show_default=False),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: AXIS=V ...'",
            help="One arm written out, with a name of its own; may be repeated.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="'AXIS=V ...'",
            help="What all arms share in place of the preset's values, before any axis; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    aa: Annotated[
        bool,
        typer.Option(
            "--aa", help="Add the baseline with other seeds: no difference should be found."
        ),
    ] = False,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Add the baseline's world model with known defects: which metrics tell them?",
        ),
    ] = False,
    match: Annotated[
        str | None,
        typer.Option(
            help="Arms at equal cost: updates (samples trained on), nfe (denoiser calls per "
            "frame), seconds (expected time of training); none: as they are."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="smoke, tiny, desk, small or paper.")
    ] = DEFAULT_PRESET,
    game: Annotated[
        str | None,
        typer.Option(
            help=f"An Atari game, an id of Gymnasium, or several: A,B; by default {DEFAULT_GAMES}, "
            "or the checkpoint's game."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Training seeds per arm: N, from --first-seed on.")
    ] = 1,
    first_seed: Annotated[
        int, typer.Option(help="The first training seed; seeds not seen yet confirm a finding.")
    ] = 0,
    first_start: Annotated[
        int,
        typer.Option(
            help="Number of the first held-out start; starts not seen yet confirm a finding."
        ),
    ] = 0,
    protocol: Annotated[
        str,
        typer.Option(
            help="static: all arms train on the same real frames; online: each agent collects its "
            "own, as Atari 100k does."
        ),
    ] = "static",
    until: Annotated[
        str | None,
        typer.Option(help="Stop after this stage, for instance fidelity; all: after none."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the study; made from axes, game, preset if absent.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained agent (`diamond import-checkpoint`, `diamond "
            "export-checkpoint`): nothing is trained."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM",
            help="Make this arm alone, named as in the table; may be repeated. The others are "
            "shown as they are.",
        ),
    ] = None,
    dry_run: DryRun = False,
    jobs: Jobs = None,
    compile_: Compile = False,
    retry_failed: RetryFailed = False,
    keep: KeepFrames = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
    tracking_uri: TrackingUri = None,
) -> None:
    """Run an ablation.

    Every combination of the values is an arm, unless --design says otherwise; the first arm
    that imagines is the baseline, and arms share the stages they agree on.
    """
    from diamond.cli.ablate import run_study
    from diamond.cli.ablation_request import ablation_request

    options = _options(home, (jobs, compile_), dry_run, as_json, tracking_uri, keep)
    options = replace(options, only=tuple(only or ()), retry_failed=retry_failed)
    raise typer.Exit(run_study(ablation_request(axes or (), _given(context)), options))


@app.command()
def sweep(
    declaration: Annotated[
        str,
        typer.Argument(metavar="FILE.toml|NAME", help="A sweep: a file, or its name in studies/."),
    ],
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, in place of what is declared.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="smoke, tiny, desk, small or paper, in place of what is declared."),
    ] = None,
    game: Annotated[
        str | None, typer.Option(help="One game or several, A,B, in place of what is declared.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Training seeds per trial, in place of what is declared.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained agent: nothing is trained, trials sample from it."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the study; by default the file's.")
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STUDY",
            help="Take finished arms of this study as trials, so that sampling and importance "
            "learn from them; may be repeated.",
        ),
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="At the end, hold the best against the preset on fresh seeds and fresh starts.",
        ),
    ] = False,
    dry_run: DryRun = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Trials at work at once; default: one per GPU, without one as many as cores."
        ),
    ] = None,
    compile_: Compile = False,
    keep: KeepFrames = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.journal|URL",
            help="Where trials are kept: a journal file, postgresql://... for several machines; "
            "by default studies/optuna.journal in the home.",
            show_default=False,
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Search a space of axes with Optuna.

    Trials share stages with every earlier study; the same command goes on where it stopped, and
    several commands may work on one sweep.
    """
    from diamond.cli.sweep import SweepWork, run_sweep
    from diamond.sweep.declaration import SweepOptions, load_sweep

    options = _options(home, (jobs, compile_), dry_run, as_json, tracking_uri, keep)
    given = SweepOptions(
        trials,
        preset,
        None if game is None else game_names(game),
        seeds,
        name,
        None if checkpoint is None else checkpoint.absolute(),
    )
    work = SweepWork(storage, tuple(warm_start or ()), confirm)
    raise typer.Exit(run_sweep(load_sweep(declaration, given), work, options))


@app.command()
def train(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AXIS=VALUE...",
            help="What differs from the preset: a named axis or any config field, one value each.",
            show_default=False,
        ),
    ] = None,
    game: Annotated[
        str | None,
        typer.Option(
            help=f"An Atari game, an id of Gymnasium, or several: A,B; by default {DEFAULT_GAMES}."
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="smoke, tiny, desk, small or paper.")
    ] = DEFAULT_PRESET,
    seeds: Annotated[int, typer.Option(help="Agents per game, with seeds 0 to N-1.")] = 1,
    protocol: Annotated[
        str, typer.Option(help="online: collect and train in turn; static: train on scripted play.")
    ] = "online",
    name: Annotated[
        str | None, typer.Option(help="Name of the study; made from game and preset if absent.")
    ] = None,
    dry_run: DryRun = False,
    jobs: Jobs = None,
    compile_: Compile = False,
    retry_failed: RetryFailed = False,
    keep: KeepFrames = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
    tracking_uri: TrackingUri = None,
) -> None:
    """Train an agent for each game and seed, as Atari 100k does.

    It collects with its own policy, trains on what it saw, imagines, and plays the real game; the
    same command goes on where it stopped.
    """
    from diamond.cli.ablate import run_study
    from diamond.plan.request import Request, check_protocol_name

    request = Request(
        tuple(settings or ()),
        preset,
        game_names(game or default_game(preset)),
        seeds,
        None,
        name,
        protocol=check_protocol_name(protocol),
        goal="agent",
    )
    options = _options(home, (jobs, compile_), dry_run, as_json, tracking_uri, keep)
    raise typer.Exit(run_study(request, replace(options, retry_failed=retry_failed)))


@app.command(name="import-checkpoint")
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


@app.command(name="export-checkpoint")
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


@app.command()
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


app.command()(fidelity)
app.command()(doctor)
app.command(name="axes")(list_axes)
app.command(name="export-study")(export_study)
app.command(name="import-study")(import_study)
for look in (studies, show, report, gc, scores, verify, ui):
    app.command()(look)


def _given(context: typer.Context) -> "Asked":
    """What the command line says itself, by parameter, without defaults."""
    given = {
        name: value
        for name, value in context.params.items()
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    return cast("Asked", given)


def _options(
    home: Path,
    workers: tuple[int | None, bool],
    dry_run: bool,
    as_json: bool,
    tracking_uri: str | None,
    keep: str | None,
) -> "Options":
    from diamond.cli.ablate import Options
    from diamond.studies.frame_retention import check_keep

    if dry_run and as_json:
        raise RequestError("--dry-run has no result for --json\n  leave one of the two out")
    return Options(
        home=home.absolute(),
        workers=check_workers(*workers),
        dry_run=dry_run,
        as_json=as_json,
        tracking_uri=tracking_uri,
        command=given_command(),
        keep=check_keep(keep),
    )


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
