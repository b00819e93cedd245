"""What an ablation is asked, from a command line or from Python: checked, and made a request."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import TypedDict

from diamond.cli.declaration_options import (
    asked_games,
    declared_request,
    known_recordings,
    names_declaration,
)
from diamond.cli.options import game_names
from diamond.config.checkpoint_record import read_checkpoint
from diamond.config.defaults import DEFAULT_PRESET, default_game
from diamond.plan.recipe import base_of, find_preset
from diamond.plan.request import Request, check_design, check_match, check_protocol_name

Texts = str | Sequence[str]
"""One text or several."""


class Asked(TypedDict, total=False):
    """What an ablation is asked beside its axes, by the name of the command's parameter.

    What is absent is what the command has by default, or what a declaration says.
    """

    design: str
    path_from: Texts
    path_to: Texts
    arm: Texts
    settings: Texts
    aa: bool
    controls: bool
    match: str
    preset: str
    game: Texts
    frames: str
    home: str | Path
    seeds: int
    first_seed: int
    first_start: int
    protocol: str
    until: str
    name: str
    checkpoint: str | Path


def ablation_request(words: Sequence[str], asked: Asked) -> Request:
    """The request of an ablation.

    Args:
        words: Axes with their values, or a declaration.
        asked: What was said beside them.

    Raises:
        RequestError: A word is not one of a closed list, or the declaration or the checkpoint
            cannot be used.
    """
    if names_declaration(words):
        return declared_request(words, asked)
    checkpoint = Path(asked["checkpoint"]) if "checkpoint" in asked else None
    preset = find_preset(asked.get("preset", DEFAULT_PRESET))
    games = asked_games(asked)
    if games is None:
        known = None if checkpoint is None else read_checkpoint(checkpoint).game
        games = game_names(known or default_game(base_of(preset)))
    return Request(
        tuple(words),
        preset,
        games,
        asked.get("seeds", 1),
        asked.get("until"),
        asked.get("name"),
        checkpoint,
        check_protocol_name(asked.get("protocol", "static")),
        design=check_design(asked.get("design", "grid")),
        path_from=texts(asked.get("path_from", ())),
        path_to=texts(asked.get("path_to", ())),
        arms=texts(asked.get("arm", ())),
        settings=texts(asked.get("settings", ())),
        aa=asked.get("aa", False),
        controls=asked.get("controls", False),
        match=check_match(asked.get("match")),
        first_seed=asked.get("first_seed", 0),
        first_start=asked.get("first_start", 0),
        recordings=known_recordings(asked, games),
    )


def texts(value: Texts) -> tuple[str, ...]:
    """One text or several as several."""
    return (value,) if isinstance(value, str) else tuple(value)
