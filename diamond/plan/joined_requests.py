"""Requests as plain data, as the command that asks for them, and two requests as one."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diamond.config.game_names import recording_of
from diamond.config.recorded import RecordedFrames
from diamond.errors import RequestError
from diamond.plan.grammar import parse_assignments
from diamond.plan.recipe import Recipe
from diamond.plan.recordings.asked_recordings import FLAG
from diamond.plan.request import Request

if TYPE_CHECKING:
    from diamond.plan.declarations import Declared

SHARED: Mapping[str, str] = {
    "goal": "the command",
    "preset": "--preset",
    "protocol": "--protocol",
    "until": "--until",
    "design": "--design",
    "path_from": "--from",
    "path_to": "--to",
    "settings": "--set",
    "match": "--match",
    "aa": "--aa",
    "controls": "--controls",
    "checkpoint": "--checkpoint",
    "first_start": "--first-start",
    "recordings": "--frames",
}
"""What two requests must agree on to be joined, by field; as the command line calls it."""


def request_data(request: Request) -> dict[str, object]:
    """A request as plain data for JSON; its declaration is kept elsewhere."""
    found: dict[str, object] = {}
    for name in (one.name for one in fields(Request) if one.name != "declared"):
        value = getattr(request, name)
        found[name] = list(value) if isinstance(value, tuple) else value
    if isinstance(request.preset, Recipe):
        found["preset"] = asdict(request.preset)
    recordings = [one.model_dump(mode="json") for one in request.recordings]
    del found["recordings"]
    found |= {"recordings": recordings} if recordings else {}
    checkpoint = request.checkpoint
    return found | {"checkpoint": None if checkpoint is None else str(checkpoint)}


def read_request(data: Mapping[str, Any], declared: "Declared | None") -> Request:
    """The request that `request_data` returned.

    Args:
        data: As it was written.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    if isinstance(data["preset"], Mapping):
        settings = tuple(data["preset"]["settings"])
        values["preset"] = Recipe(**{**data["preset"], "settings": settings})
    values["recordings"] = tuple(map(RecordedFrames.model_validate, data.get("recordings", ())))
    checkpoint = None if data["checkpoint"] is None else Path(data["checkpoint"])
    return Request(**values | {"checkpoint": checkpoint, "declared": declared})


def join_requests(here: Request, there: Request) -> Request:
    """The smallest request that asks for all runs of two; where it has more, these are pending.

    Seeds become one range, values of an axis, arms and games are put together, those of `here`
    first.

    Args:
        here: The one whose first arm stays the baseline.
        there: The other one.

    Raises:
        RequestError: They differ in something else; the text names it with both values.
    """
    for name, option in SHARED.items():
        _check_equal(option, getattr(here, name), getattr(there, name))
    said, other = here.declared, there.declared
    if (said and said.declaration) != (other and other.declaration):
        raise RequestError("the declarations differ")
    if here.aa:
        _check_equal("--seeds, which says the seeds of --aa,", here.seeds, there.seeds)
    assignments = here.assignments
    if here.design in ("zip", "path"):
        _check_equal(f"what a {here.design} goes over", assignments, there.assignments)
    elif assignments != there.assignments:
        assignments = _joined_axes(here, there)
    first = min(here.first_seed, there.first_seed)
    return replace(
        here,
        assignments=assignments,
        games=tuple(dict.fromkeys((*here.games, *there.games))),
        arms=tuple(dict.fromkeys((*here.arms, *there.arms))),
        first_seed=first,
        num_seeds=max(here.seeds.stop, there.seeds.stop) - first,
    )


def command_words(request: Request) -> list[str]:
    """The command that asks for a request, without its home."""
    if request.declared is not None:
        words = ["diamond", "ablate", str(request.declared.path)]
    else:
        words = ["diamond", "train" if request.goal == "agent" else "ablate", *request.assignments]
        words += _design_words(request)
    preset = request.preset.file if isinstance(request.preset, Recipe) else request.preset
    words += ["--preset", preset]
    if request.recordings:
        words += [FLAG, ",".join(one.name for one in request.recordings)]
    if any(recording_of(game) is None for game in request.games):
        words += ["--game", ",".join(request.games)]
    words += ["--seeds", str(request.num_seeds)]
    optional = {
        "--first-seed": request.first_seed,
        "--first-start": request.first_start,
        "--until": request.until,
        "--match": request.match,
        "--checkpoint": request.checkpoint,
    }
    for option, value in optional.items():
        words += [option, str(value)] if value else []
    words += ["--aa"] if request.aa else []
    words += ["--controls"] if request.controls else []
    words += ["--protocol", request.protocol]
    return words if request.name is None else [*words, "--name", request.name]


def _design_words(request: Request) -> list[str]:
    words = [] if request.design == "grid" else ["--design", request.design]
    for option, texts in (
        ("--from", request.path_from),
        ("--to", request.path_to),
        ("--set", request.settings),
        ("--arm", request.arms),
    ):
        for text in texts:
            words += [option, text]
    return words


def _joined_axes(here: Request, there: Request) -> tuple[str, ...]:
    """The assignments of two grids, each axis with the values of both."""
    found, others = (
        {one.name: one.values for one in parse_assignments(request.assignments)}
        if request.assignments
        else {}
        for request in (here, there)
    )
    _check_equal("what varies", sorted(found), sorted(others))
    return tuple(
        f"{name}={','.join(dict.fromkeys((*values, *others[name])))}"
        for name, values in found.items()
    )


def _check_equal(what: str, here: object, there: object) -> None:
    if here != there:
        raise RequestError(f"{what} is {_shown(here)} in one and {_shown(there)} in the other")


def _shown(value: object) -> str:
    if isinstance(value, range):
        return f"{value.start} to {value.stop - 1}"
    if isinstance(value, Recipe):
        return value.told
    if isinstance(value, tuple | list):
        return shlex.join(map(str, value)) or "nothing"
    return "not given" if value is None else str(value)
