"""A declaration on the command line: which word is one, and what options change of it.

What reads declarations is loaded where there is one.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diamond.cli.options import DEFAULT_HOME, game_names
from diamond.config.checkpoint_record import read_checkpoint
from diamond.config.recorded import RecordedFrames
from diamond.errors import RequestError
from diamond.plan.grammar import is_declaration
from diamond.plan.plan import Plan
from diamond.plan.recipe import Preset, Recipe, find_preset
from diamond.plan.recordings.asked_recordings import asked_recordings, games_of, recorded_word
from diamond.plan.request import Request

if TYPE_CHECKING:
    from diamond.cli.ablation_request import Asked
    from diamond.plan.declarations import Override

DESIGN_OPTIONS: Mapping[str, str] = {
    "design": "--design",
    "path_from": "--from",
    "path_to": "--to",
    "arm": "--arm",
    "settings": "--set",
}
"""Options that a declaration leaves no room for: they are what it declares."""


def names_declaration(words: Sequence[str] | None) -> bool:
    """Whether the words of `diamond ablate` begin with a declaration."""
    return bool(words) and any(is_declaration(word) for word in words or ())


def declared_request(words: Sequence[str], given: "Asked") -> Request:
    """Make a request from a declaration and the options of a command.

    Args:
        words: What stands after `diamond ablate`.
        given: What was said beside them.

    Raises:
        RequestError: The declaration is not valid, or something stands beside it that cannot.
    """
    from diamond.plan.declarations import Given, load_declaration

    word = next(word for word in words if is_declaration(word))
    _check_no_axis(word)
    declared = load_declaration(word)
    others = [word for word in words if word != declared.name and not word.endswith(".toml")]
    if len(words) > 1:
        raise RequestError(
            f"the declaration {declared.name!r} says what varies; beside it stands "
            f"{' '.join(others or words[1:])!r}\n"
            f"  change the file {declared.path}, or copy it under another name"
        )
    refused = [option for name, option in DESIGN_OPTIONS.items() if name in given]
    if refused:
        raise RequestError(
            f"{refused[0]} changes what the declaration {declared.name!r} declares\n"
            f"  change the file {declared.path}, or copy it under another name"
        )
    checkpoint = Path(given["checkpoint"]) if "checkpoint" in given else None
    options = Given(
        seeds=given.get("seeds"),
        games=asked_games(given),
        preset=find_preset(given["preset"]) if "preset" in given else None,
        protocol=given.get("protocol"),
        until=given.get("until"),
        match=given.get("match"),
        name=given.get("name"),
        checkpoint=None if checkpoint is None else (checkpoint, read_checkpoint(checkpoint).game),
        aa=bool(given.get("aa")),
        controls=bool(given.get("controls")),
        first_seed=given.get("first_seed", 0),
        first_start=given.get("first_start", 0),
    )
    request = Request(**declared.request(options))
    found = known_recordings(given, request.games)
    if "frames" in given and "game" in given and "name" not in given:
        request = replace(request, name=f"{request.name}-{recorded_word(found)}")
    return replace(request, recordings=found)


def asked_games(asked: "Asked") -> tuple[str, ...] | None:
    """The games that were named, or the recordings in their place; None where neither was.

    Raises:
        RequestError: There are more than one of each.
    """
    named = game_names(asked["game"]) if "game" in asked else None
    return games_of(asked.get("frames"), named)


def known_recordings(asked: "Asked", games: Sequence[str]) -> tuple[RecordedFrames, ...]:
    """What must be known of the recordings that were named, as the home has them.

    Raises:
        RequestError: The home has none of a name.
    """
    home = Path(asked.get("home", DEFAULT_HOME)).absolute()
    return asked_recordings(asked.get("frames"), games, home)


def _check_no_axis(word: str) -> None:
    """Refuse the bare name of an axis, even where a declaration has it too.

    Raises:
        RequestError: Both commands that can be meant.
    """
    from diamond.cli.axes import axis_example
    from diamond.plan.declarations import declaration_names, load_declaration
    from diamond.plan.find_axis import known_axes

    axis = next((one for one in known_axes() if one.name == word), None)
    if axis is None:
        return
    vary = f"  vary the axis: {axis_example(axis)}"
    if word not in declaration_names():
        raise RequestError(f"{word!r} is an axis, and it has no values here\n{vary}")
    path = load_declaration(word).path
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    raise RequestError(
        f"{word!r} is an axis and a declaration\n{vary}\n"
        f"  run the declaration: {shlex.join(['diamond', 'ablate', str(shown)])}"
    )


def declared_lines(plan: Plan) -> Iterator[str]:
    """What to know of the declaration of a plan before it runs."""
    declared = plan.request.declared
    if declared is None:
        return
    from diamond.plan.declarations import claims_hash

    said = declared.declaration
    yield f"declared in {declared.path}: {said.question}"
    for claim in said.claims:
        yield f"claim {claim.name!r}: {claim.expression}"
    yield f"primary metric {said.primary}; hash of the claims {claims_hash(said)[:12]}"
    yield from override_lines(declared.overrides)


def preset_lines(preset: Preset) -> Iterator[str]:
    """What a preset file says."""
    if isinstance(preset, Recipe):
        yield preset.told


def override_lines(overrides: "Sequence[Override]") -> Iterator[str]:
    """What a command changed of what is declared."""
    for change in overrides:
        yield f"{change.option}: {change.given} in place of the declared {change.declared}"
