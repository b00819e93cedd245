"""`diamond ablate`: its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

import typer

from diamond.cli.options import DEFAULT_GAMES, Execution, Frames, Preset, choice, takes_records
from diamond.config.defaults import DEFAULT_PRESET

if TYPE_CHECKING:
    from diamond.cli.ablation_request import Asked


@dataclass(frozen=True)
class ArmOptions:
    """Which arms there are, beside the axes."""

    PANEL: ClassVar = "Arms"

    design: Annotated[
        str,
        choice(
            "grid",
            "ofat",
            "zip",
            "path",
            help="grid: all combinations; ofat: one factor at a time against the first values; "
            "zip: values side by side; path: from one config to another, one flip at a time.",
        ),
    ] = "grid"
    path_from: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="AXIS=V ...",
            help="Where a path begins, for instance formulation=ddpm; may be repeated.",
            show_default=False,
        ),
    ] = None
    path_to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="AXIS=V ...", help="Where a path ends.", show_default=False),
    ] = None
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: AXIS=V ...'",
            help="One arm written out, with a name of its own; may be repeated.",
            show_default=False,
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="'AXIS=V ...'",
            help="What all arms share in place of the preset's values, before any axis; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None
    aa: Annotated[
        bool,
        typer.Option(
            "--aa", help="Add the baseline with other seeds: no difference should be found."
        ),
    ] = False
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Add the baseline's world model with known defects: which metrics tell them?",
        ),
    ] = False
    match: Annotated[
        str | None,
        choice(
            "updates",
            "nfe",
            "seconds",
            "none",
            help="Arms at equal cost: updates (samples trained on), nfe (denoiser calls per "
            "frame), seconds (expected time of training); none: as they are.",
        ),
    ] = None


@dataclass(frozen=True)
class StudyOptions:
    """What the arms are tried on, how far, and under which name."""

    PANEL: ClassVar = "Study"

    preset: Preset = DEFAULT_PRESET
    game: Annotated[
        str | None,
        typer.Option(
            help=f"An Atari game, an id of Gymnasium, or several: A,B; by default {DEFAULT_GAMES}, "
            "or the checkpoint's game."
        ),
    ] = None
    frames: Frames = None
    seeds: Annotated[int, typer.Option(help="Training seeds per arm: N, from --first-seed on.")] = 1
    first_seed: Annotated[
        int, typer.Option(help="The first training seed; seeds not seen yet confirm a finding.")
    ] = 0
    first_start: Annotated[
        int,
        typer.Option(
            help="Number of the first held-out start; starts not seen yet confirm a finding."
        ),
    ] = 0
    protocol: Annotated[
        str,
        choice(
            "static",
            "online",
            help="static: all arms train on the same real frames; online: each agent collects its "
            "own, as Atari 100k does.",
        ),
    ] = "static"
    until: Annotated[
        str | None,
        typer.Option(help="Stop after this stage, for instance fidelity; all: after none."),
    ] = None
    name: Annotated[
        str | None, typer.Option(help="Name of the study; made from axes, game, preset if absent.")
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained agent (`diamond import-checkpoint`, `diamond "
            "export-checkpoint`): nothing is trained."
        ),
    ] = None


@takes_records
def ablate(
    *,
    context: typer.Context,
    axes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AXIS=V1,V2|NAME|FILE.toml",
            help="What to vary: a named axis (`diamond axes`) or any config field by its dotted "
            "name; or a declaration, by its name in ablations/ or by its file.",
            show_default=False,
        ),
    ] = None,
    arms: ArmOptions,
    study: StudyOptions,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM",
            help="Make this arm alone, named as in the table; may be repeated. The others are "
            "shown as they are.",
        ),
    ] = None,
    execution: Execution,
) -> None:
    """Run an ablation.

    Every combination of the values is an arm, unless --design says otherwise; the first arm
    that imagines is the baseline, and arms share the stages they agree on.
    """
    from diamond.cli.ablate import run_study
    from diamond.cli.ablation_request import ablation_request

    request = ablation_request(axes or (), _asked(context))
    raise typer.Exit(run_study(request, execution.options(only or (), request.slurm)))


def _asked(context: typer.Context) -> "Asked":
    """What the command line says itself, by parameter, without defaults."""
    given = {
        name: value
        for name, value in context.params.items()
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    return cast("Asked", given)
