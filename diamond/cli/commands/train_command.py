"""`diamond train`: its options."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from diamond.cli.options import (
    DEFAULT_GAMES,
    Execution,
    Frames,
    Preset,
    choice,
    game_names,
    takes_records,
)
from diamond.config.defaults import DEFAULT_PRESET, default_game


@dataclass(frozen=True)
class AgentOptions:
    """Which agents are trained, and how."""

    PANEL: ClassVar = "Agents"

    game: Annotated[
        str | None,
        typer.Option(
            help=f"An Atari game, an id of Gymnasium, or several: A,B; by default {DEFAULT_GAMES}."
        ),
    ] = None
    frames: Frames = None
    preset: Preset = DEFAULT_PRESET
    seeds: Annotated[int, typer.Option(help="Agents per game, with seeds 0 to N-1.")] = 1
    protocol: Annotated[
        str | None,
        choice(
            "online",
            "static",
            help="online: collect and train in turn, the default; static: train on scripted play, "
            "or with --frames on a recording, the default there.",
            show_default=False,
        ),
    ] = None
    name: Annotated[
        str | None, typer.Option(help="Name of the study; made from game and preset if absent.")
    ] = None


@takes_records
def train(
    *,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AXIS=VALUE...",
            help="What differs from the preset: a named axis or any config field, one value each.",
            show_default=False,
        ),
    ] = None,
    agents: AgentOptions,
    execution: Execution,
) -> None:
    """Train an agent for each game and seed, as Atari 100k does.

    It collects with its own policy, trains on what it saw, imagines, and plays the real game; the
    same command goes on where it stopped.
    """
    from diamond.cli.ablate import run_study
    from diamond.plan.recipe import base_of, find_preset
    from diamond.plan.recordings.asked_recordings import asked_recordings, games_of
    from diamond.plan.request import Request, check_protocol_name

    preset = find_preset(agents.preset)
    named = None if agents.game is None else game_names(agents.game)
    games = games_of(agents.frames, named) or game_names(default_game(base_of(preset)))
    request = Request(
        tuple(settings or ()),
        preset,
        games,
        agents.seeds,
        None,
        agents.name,
        protocol=check_protocol_name(
            agents.protocol or ("online" if agents.frames is None else "static")
        ),
        goal="agent",
        recordings=asked_recordings(agents.frames, games, execution.home.absolute()),
    )
    raise typer.Exit(run_study(request, execution.options()))
