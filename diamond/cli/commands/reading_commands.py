"""Commands that read what is there: axes, studies, results, reports, claims, scores, the UI."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from diamond.cli.options import DEFAULT_HOME, AsJson, Home, StudyName, TrackingUri
from diamond.errors import RequestError
from diamond.sweep.dashboard_links import DASHBOARD_PORT

DEFAULT_PORT = 5000
DEFAULT_RESAMPLES = 2000


def list_axes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show this axis alone.", show_default=False),
    ] = None,
    fields: Annotated[
        bool, typer.Option("--fields", help="List every config field that can be varied as well.")
    ] = False,
) -> None:
    """List what can be varied: meaning, allowed values, default, the first stage it touches."""
    from diamond.cli.axes import show_axes

    show_axes(fields, name)


def studies(home: Home = DEFAULT_HOME) -> None:
    """List the studies of a home: what they vary, how far they are, what they take on disk."""
    from diamond.cli.reading.studies import show_studies

    show_studies(home.absolute())


def show(
    study: StudyName,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the result of a study again; before its first result, how far its runs are."""
    from diamond.cli.reading.studies import show_study

    show_study(home.absolute(), study)


def report(
    study: StudyName,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write into; by default the study's own.",
            show_default=False,
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the report of a study again from what is stored: HTML, Markdown, figures, LaTeX.

    The page is one file that needs no network; with JavaScript it has a player and sorts tables.
    """
    from diamond.cli.reading.report import write_again

    write_again(home.absolute(), study, None if out is None else out.absolute())


def gc(
    forget: Annotated[
        list[str] | None,
        typer.Option(metavar="STUDY", help="Remove this study as well; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only list.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """List the stages and imported weights that no study needs; with --yes, remove them.

    What a study needs stays, and so do the folders of checkpoints; what is removed can be made
    again.
    """
    from diamond.cli.reading.gc import collect

    collect(home.absolute(), tuple(forget or ()), yes, sys.argv[1:])


def scores(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.json...",
            help="Scores of one agent, {game: [score of each run]}; its name is that of the file.",
            show_default=False,
        ),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    resamples: Annotated[
        int, typer.Option(help="Bootstrap samples behind every interval.")
    ] = DEFAULT_RESAMPLES,
    as_json: AsJson = False,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE.tex", help="Write the tables as LaTeX.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw aggregates and performance profiles: .png, .svg or .pdf.",
        ),
    ] = None,
) -> None:
    """Aggregate scores on Atari 100k, with intervals, beside published agents.

    Mean, median, IQM and optimality gap of human-normalised scores, performance profile, and the
    probability that a run of one file scores above a run of another.
    """
    from diamond.cli.reading.scores import ScoreOptions, show_scores

    show_scores(files, ScoreOptions(seed, resamples, as_json, latex, figure))


def verify(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study with claims.")],
    declaration: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="Declaration whose claims are judged; by default the study's own.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print claims and evidence as data, and only that.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Judge the claims of a study: PASS, FAIL or UNDECIDED, with the evidence.

    It trains nothing and changes nothing. The exit code is 0 whatever the verdicts: a negative
    result is a result.
    """
    from diamond.cli.reading.verify import verify_and_show

    verify_and_show(study, declaration, home.absolute(), as_json)


def ui(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    tracking_uri: TrackingUri = None,
    studies: Annotated[
        bool, typer.Option("--studies", help="Open Optuna's dashboard on the Optuna studies.")
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.journal|URL",
            help="With --studies: where they are; by default studies/optuna.journal in the home.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help=f"Port on the loopback address; by default {DEFAULT_PORT}, with --studies "
            f"{DASHBOARD_PORT}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Open the MLflow UI on the runs of a home, or Optuna's dashboard; on the loopback address."""
    if studies:
        source = context.get_parameter_source("tracking_uri")
        if source is not None and source.name == "COMMANDLINE":
            raise RequestError(
                "--studies shows no MLflow runs: --tracking-uri has no place there\n"
                "  leave one of the two out; --storage says where Optuna studies are"
            )
        from diamond.cli.reading.dashboard import serve_studies

        raise typer.Exit(serve_studies(home.absolute(), storage, port or DASHBOARD_PORT))
    if storage is not None:
        raise RequestError(
            "--storage is for --studies\n  add --studies; for MLflow runs: --tracking-uri"
        )
    from diamond.cli.reading.ui import serve_ui

    raise typer.Exit(serve_ui(home.absolute(), tracking_uri, port or DEFAULT_PORT))
