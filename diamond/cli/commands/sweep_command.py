"""`diamond sweep`: its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from diamond.cli.options import (
    DEFAULT_HOME,
    DEFAULT_JOBS,
    PRESET_HELP,
    PRESET_WORD,
    PRESETS,
    RUNNING,
    Compile,
    DryRun,
    Engine,
    EngineText,
    Execution,
    Frames,
    Home,
    KeepFrames,
    ResultAsJson,
    TrackingUri,
    choice,
    game_names,
    takes_records,
)
from diamond.errors import RequestError

if TYPE_CHECKING:
    from diamond.sweep.declaration import SweepOptions


@dataclass(frozen=True)
class ChangedOptions:
    """What takes the place of what is declared."""

    PANEL: ClassVar = "In place of what is declared"

    trials: Annotated[
        int | None, typer.Option(help="Trials in all, in place of what is declared.")
    ] = None
    preset: Annotated[
        str | None,
        choice(
            *PRESETS,
            metavar=PRESET_WORD,
            help=f"{PRESET_HELP[:-1]}, in place of what is declared.",
        ),
    ] = None
    game: Annotated[
        str | None, typer.Option(help="One game or several, A,B, in place of what is declared.")
    ] = None
    frames: Frames = None
    seeds: Annotated[
        int | None, typer.Option(help="Training seeds per trial, in place of what is declared.")
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained agent: nothing is trained, trials sample from it."),
    ] = None
    name: Annotated[str | None, typer.Option(help="Name of the study; by default the file's.")] = (
        None
    )

    def declared(self, home: Path) -> "SweepOptions":
        """The same, as a declaration takes it; recordings are looked for in a home."""
        from diamond.plan.recordings.asked_recordings import games_of
        from diamond.sweep.declaration import SweepOptions

        return SweepOptions(
            self.trials,
            self.preset,
            games_of(self.frames, None if self.game is None else game_names(self.game)),
            self.seeds,
            self.name,
            None if self.checkpoint is None else self.checkpoint.absolute(),
            self.frames,
            home,
        )


@dataclass(frozen=True)
class SweepExecution:
    """How trials are run, where they go and what is shown."""

    PANEL: ClassVar = RUNNING

    dry_run: DryRun = False
    jobs: Annotated[int | None, typer.Option(help=f"Trials at work at once; {DEFAULT_JOBS}")] = None
    compile_: Compile = False
    engine: Engine = "local"
    engine_options: EngineText = None
    keep: KeepFrames = None
    as_json: ResultAsJson = False
    home: Home = DEFAULT_HOME
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.journal|URL",
            help="Where trials are kept: a journal file, postgresql://... for several machines; "
            "by default studies/optuna.journal in the home.",
            show_default=False,
        ),
    ] = None
    tracking_uri: TrackingUri = None

    def common(self) -> Execution:
        """What any study has of it.

        Raises:
            RequestError: No trial would be at work.
        """
        if self.jobs is not None and self.jobs < 1:
            raise RequestError(
                f"--jobs {self.jobs}: at least 1 trial at once is needed\n"
                "  `diamond work` on other machines helps with the stages of those at work"
            )
        return Execution(
            dry_run=self.dry_run,
            jobs=self.jobs,
            compile_=self.compile_,
            engine=self.engine,
            engine_options=self.engine_options,
            keep=self.keep,
            as_json=self.as_json,
            home=self.home,
            tracking_uri=self.tracking_uri,
        )


@takes_records
def sweep(
    *,
    declaration: Annotated[
        str,
        typer.Argument(metavar="FILE.toml|NAME", help="A sweep: a file, or its name in studies/."),
    ],
    changed: ChangedOptions,
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
    execution: SweepExecution,
) -> None:
    """Search a space of axes with Optuna.

    Trials share stages with every earlier study; the same command goes on where it stopped, and
    several commands may work on one sweep.
    """
    from diamond.cli.sweep import SweepWork, run_sweep
    from diamond.sweep.declaration import load_sweep

    asked = load_sweep(declaration, changed.declared(execution.home.absolute()))
    options = execution.common().options(declared=asked.declaration.slurm)
    work = SweepWork(execution.storage, tuple(warm_start or ()), confirm)
    raise typer.Exit(run_sweep(asked, work, options))
