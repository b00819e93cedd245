"""Options that several commands have, and records of them; no torch, no numpy.

A command takes records, whose fields are options: `takes_records` shows them to Typer one by one.
"""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_type_hints

import typer

from diamond.cli.system import check_text
from diamond.config.defaults import ATARI_PRESETS, DEFAULT_ATARI_GAME, DEFAULT_GAME
from diamond.config.engine_options import OPTIONS
from diamond.errors import RequestError
from diamond.tracking.mounts import network_file_system
from diamond.tracking.uris import TRACKING_VARIABLE, default_uri, hide_secrets

if TYPE_CHECKING:
    from diamond.cli.study_command import Options
    from diamond.engine.devices import Workers

RUNNING = "Running and output"
"""The panel of options that change no result."""
DEFAULT_HOME = Path("mlruns")
DEFAULT_GAMES = f"{DEFAULT_GAME} ({DEFAULT_ATARI_GAME} with {', '.join(ATARI_PRESETS)})"


def takes_records(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command whose parameters may be records into one that Typer can read.

    Every field of a dataclass among its parameters becomes a parameter of that name, type and
    default in its place, in the panel of the help that `PANEL` of the dataclass names; called with
    these, it makes the records again.
    """
    hints = get_type_hints(command, include_extras=True)
    records: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    flat: dict[str, Parameter] = {}
    for name, own in signature(command).parameters.items():
        for one in _field_parameters(hints[name]) if name in records else [own]:
            assert one.name not in flat, f"{command.__name__} has two options {one.name}"
            flat[one.name] = one.replace(kind=Parameter.KEYWORD_ONLY)

    @wraps(command)
    def with_records(**values: object) -> None:
        made = {
            name: record(**{one.name: values.pop(one.name) for one in fields(record)})
            for name, record in records.items()
        }
        command(**values, **made)

    with_records.__annotations__ = {one.name: one.annotation for one in flat.values()}
    with_records.__signature__ = Signature(list(flat.values()))  # type: ignore[attr-defined]
    return with_records


def _field_parameters(record: type[Any]) -> list[Parameter]:
    """The fields of a dataclass as parameters; none has a factory of its default."""
    hints = get_type_hints(record, include_extras=True)
    panel = getattr(record, "PANEL", None)
    return [
        Parameter(
            one.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if one.default is MISSING else one.default,
            annotation=_in_panel(hints[one.name], panel),
        )
        for one in fields(record)
    ]


def _in_panel(hint: Any, panel: str | None) -> Any:
    """An option, in a panel of the help."""
    kind, told = get_args(hint)
    told = copy(told)
    told.rich_help_panel = panel
    return Annotated[kind, told]


def choice(*words: str, **told: Any) -> Any:
    """An option of a closed list: its help shows the words, a shell completes them.

    Typer's own choices would refuse a word without the nearest match, and Python otherwise than the
    command line.
    """
    shown = {"metavar": "|".join(words)} | told
    return typer.Option(autocompletion=lambda: list(words), **shown)


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
REMOTE_JOBS = 8
DEFAULT_JOBS = f"default: one per GPU, without one as many as cores; {REMOTE_JOBS} on a cluster."
PRESET_HELP = "smoke, tiny, desk, small or paper; or a file of your own, FILE.toml."
PRESETS = ("smoke", "tiny", "desk", "small", "paper")
PRESET_WORD = "NAME|FILE.toml"
Preset = Annotated[str, choice(*PRESETS, metavar=PRESET_WORD, help=PRESET_HELP)]
Frames = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Recording of your own (`diamond import-frames`) in place of a game, or several: "
        "A,B. With --game the training frames come from one, and all else from the game.",
        show_default=False,
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name, as `diamond studies` says.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; run nothing.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        help=f"Worker processes; {DEFAULT_JOBS} 0: others make everything (`diamond work`)."
    ),
]
Engine = Annotated[
    str,
    choice(
        *OPTIONS,
        help="Who makes stages: this machine; or --jobs workers of a cluster, which this command "
        "submits and watches.",
    ),
]
EngineText = Annotated[
    str | None,
    typer.Option(
        "--engine-options",
        metavar="'NAME=VALUE ...'",
        help="For the engine, such as 'partition=gpu gres=gpu:1 time=24:00:00'.",
        show_default=False,
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach", help="Submit workers and end; the same command without it shows the result."
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Try again what failed before; without it, only what was killed."
    ),
]
KeepFrames = Annotated[
    str | None,
    choice(
        "all",
        "films",
        "none",
        help="Imagined frames that stay once they are scored: all, the default; films, what the "
        "report shows; none. Given, it makes again what it asks for and was dropped before.",
        show_default=False,
    ),
]
ResultAsJson = Annotated[
    bool, typer.Option("--json", help="Print the result document, and only that.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the document, and only that.")]


@dataclass(frozen=True)
class Execution:
    """How a study is run, where it goes and what is shown; none of it changes a result."""

    PANEL: ClassVar = RUNNING

    dry_run: DryRun = False
    jobs: Jobs = None
    compile_: Compile = False
    engine: Engine = "local"
    engine_options: EngineText = None
    detach: Detach = False
    retry_failed: RetryFailed = False
    keep: KeepFrames = None
    as_json: ResultAsJson = False
    home: Home = DEFAULT_HOME
    tracking_uri: TrackingUri = None

    def options(
        self, only: Sequence[str] = (), declared: Mapping[str, str] | None = None
    ) -> "Options":
        """The same, checked.

        Args:
            only: Names of the arms to make; empty for all.
            declared: What a declaration says to Slurm.

        Raises:
            RequestError: Two of them go not together, or one is not allowed.
        """
        from diamond.cli.study_command import Options
        from diamond.studies.frame_retention import check_keep
        from diamond.workers.engines import read_engine

        if self.dry_run and self.as_json:
            raise RequestError("--dry-run has no result for --json\n  leave one of the two out")
        return Options(
            home=self.home.absolute(),
            workers=check_workers(self.jobs, self.compile_, self.engine),
            engine=read_engine(self.engine, self.engine_options, self.detach, declared),
            dry_run=self.dry_run,
            as_json=self.as_json,
            tracking_uri=self.tracking_uri,
            command=given_command(),
            only=tuple(only),
            retry_failed=self.retry_failed,
            keep=check_keep(self.keep),
        )


def game_names(games: str | Sequence[str]) -> tuple[str, ...]:
    """Names of games, from one text with commas or from several."""
    parts = games.split(",") if isinstance(games, str) else games
    return tuple(part.strip() for part in parts)


def check_workers(jobs: int | None, compiled: bool, engine: str = "local") -> "Workers":
    """The processes that make stages, as many as there are GPUs or cores where none says.

    Raises:
        RequestError: There would be none, or torch cannot compile here.
    """
    from diamond.engine.devices import Workers, check_compiler, default_jobs

    least = 0 if engine == "local" else 1
    if jobs is not None and jobs < least:
        raise RequestError(f"--jobs {jobs}: at least {least} is needed")
    if compiled:
        check_compiler()
    if jobs is None:
        jobs = default_jobs() if engine == "local" else REMOTE_JOBS
    return Workers(jobs, compiled)


def given_command() -> str:
    """The command as the user typed it, with passwords hidden: it is shown and written down."""
    return shlex.join(["diamond", *map(hide_secrets, sys.argv[1:])])


def say_tracking(home: Path, tracking_uri: str | None) -> None:
    """Print on standard error where runs are tracked, and what says so.

    Raises:
        StoreError: The path of the home is none that a database can have.
    """
    kind = network_file_system(home)
    why = f"the home is on {kind}: MLflow's file stays on this machine" if kind else "of the home"
    if tracking_uri is not None:
        by_variable = tracking_uri == os.environ.get(TRACKING_VARIABLE)
        why = TRACKING_VARIABLE if by_variable else "--tracking-uri"
    typer.echo(f"tracking: {hide_secrets(tracking_uri or default_uri(home))} ({why})", err=True)
