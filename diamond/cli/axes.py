"""`diamond axes`: the table of what can be varied, on the terminal and as a page of the docs."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby

import typer

from diamond.cli.widths import text_width, wrapper
from diamond.config.defaults import DEFAULT_GAME, DEFAULT_PRESET
from diamond.config.environments import default_environment
from diamond.config.overrides import field_description, get_field, variable_fields
from diamond.config.presets import make_preset
from diamond.config.run import RunConfig
from diamond.config.worlds import DIAMOND, broken_families, known_families
from diamond.errors import RequestError
from diamond.plan.axis import shown
from diamond.plan.find_axis import Axis, axes_of, find_axis, known_axes
from diamond.plan.stage_keys import StageName, first_stage_of_field
from diamond.plan.variants import apply_axes
from diamond.stages.registry import find_stage_record, stage_names

DEFAULT = f"default ({DEFAULT_PRESET})"
PARTS = "the first part of each family"
INDENT = 4
NUMBERS = ("1", "0.1")
"""Values of examples where an axis names none."""
HOW_TO = (
    "Any config field can be varied by its dotted name: `diamond axes --fields` lists them.",
    "Games and seeds are no axes: --game A,B and --seeds N. Quote values with parentheses: "
    "'noise=timesteps,lognormal(-0.4,1.2)'.",
)
PAGE_HEAD = """\
# Axes

What `diamond ablate AXIS=V1,V2` may vary by a short name. `diamond axes` prints this table,
`diamond axes --fields` every config field, which can be varied by its dotted name as well. The
first stage that an axis touches is that of the static protocol: arms share everything before it.
Online, an agent is one stage and arms share the references alone. A test holds the first stage of
every axis to the keys of the stages.

- Defaults are those of the preset `{preset}` for {game}.
- Games and seeds are no axes: `--game A,B`, `--seeds N`.
- `formulation` sets many fields at once; other axes change single ones of them again, wherever
  they stand in the command.
- Parentheses and brackets hold commas; the shell wants quotes around parentheses.
- A number of the wrong kind or range, an unknown word and two values that mean the same are
  refused before anything runs.

This page is made from the table: `python -m diamond.cli.axes > docs/reference/axes.md`.
"""


def show_axes(fields: bool, name: str | None = None) -> None:
    """Print the named axes, or one of them; if asked, every config field too.

    Raises:
        RequestError: There is no such axis.
    """
    width = text_width(sys.stdout)
    if name is not None:
        _show_axis(find_axis(name), width)
        return
    for stage, axes in _by_stage(known_axes()):
        _show_section(stage, axes, width)
    if fields:
        _show_fields(width)
        return
    for text in (*HOW_TO, *broken_families()):
        typer.echo(wrapper(width).fill(text))


def axes_page() -> str:
    """The page of the docs."""
    lines = [PAGE_HEAD.format(preset=DEFAULT_PRESET, game=DEFAULT_GAME)]
    for stage, axes in _by_stage(axes_of()):
        lines += [f"## First stage: {stage}", "", f"{_consequence(stage)}.", ""]
        lines += ["| axis | meaning | values | default | source |", "|---|---|---|---|---|"]
        for axis in axes:
            cells = (f"`{axis.name}`", axis.meaning, axis.values, _default(axis), axis.source)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _by_stage(axes: Sequence[Axis]) -> Iterator[tuple[StageName, list[Axis]]]:
    ordered = sorted(axes, key=lambda axis: _order(axis.first_stage))
    for stage, found in groupby(ordered, key=_first_stage):
        yield stage, list(found)


def _first_stage(axis: Axis) -> str:
    return PARTS if axis.kind == "family" else axis.first_stage


def _order(stage: StageName) -> tuple[bool, int]:
    """The stages of the static protocol first."""
    return "static" not in find_stage_record(stage).runs, stage_names().index(stage)


def _consequence(stage: StageName) -> str:
    text = "arms share the real frames" if stage == PARTS else find_stage_record(stage).arms
    return f"{text[:1].upper()}{text[1:]}"


def _show_section(stage: StageName, axes: Sequence[Axis], width: int) -> None:
    """Names on the left, what there is to know of each on the right.

    Without a table of rich's, whose import would be a fifth of the command's time.
    """
    left = max(len(axis.name) for axis in known_axes()) + 2
    cell = wrapper(width - left)
    head = f"First stage: {stage}. {_consequence(stage)}."
    typer.secho(f"{wrapper(width).fill(head)}\n", bold=True)
    for axis in axes:
        facts = f"values: {axis.values}; {DEFAULT}: {_default(axis)}"
        meaning, *more = [*cell.wrap(axis.meaning), *cell.wrap(facts)]
        typer.echo(f"{typer.style(axis.name.ljust(left), bold=True)}{meaning}")
        for line in more:
            typer.echo(f"{'':{left}}{line}")
        for line in cell.wrap(f"source: {axis.source}"):
            typer.echo(f"{'':{left}}{typer.style(line, dim=True)}")
        typer.echo()


GAME_OF_ANOTHER_KIND = ("Boxing", "CarRacing-v3")
"""Games whose environments have the fields that the default game has not."""


def _show_axis(axis: Axis, width: int) -> None:
    """All there is to know of one axis, and a command that varies it."""
    facts = {
        "values": axis.values,
        "default": f"{_default(axis)} ({DEFAULT_PRESET})",
        "sets": ", ".join(axis.fields),
        "stage": f"{axis.first_stage}; {_consequence(axis.first_stage)}",
        "source": axis.source,
        "example": axis_example(axis),
    }
    left = max(map(len, facts)) + 2
    typer.echo(wrapper(width).fill(f"{typer.style(axis.name, bold=True)}: {axis.meaning}"))
    for head, text in facts.items():
        for at, line in enumerate(wrapper(width - left).wrap(text)):
            typer.echo(f"{'' if at else head:{left}}{line}")


def axis_example(axis: Axis) -> str:
    """A command that varies an axis: its default and another value, as far as they are known."""
    found: dict[str, RunConfig] = {}
    with suppress(RequestError):
        config = _preset(axis.fields, _owner(axis))
        default = axis.current(config)
        for text in (default, *_near(default), *re.findall(r"[^\s,;]+", axis.values), *NUMBERS):
            with suppress(RequestError):
                changed = apply_axes(config, [(axis, text)])
                if len(found) < 2 and changed not in found.values():
                    found[text] = changed
    values = ",".join([*found, "VALUE", "VALUE"][:2])
    return f"diamond ablate {shlex.quote(f'{axis.name}={values}')}"


def _near(text: str) -> list[str]:
    """Half and twice a number; of words there is nothing near."""
    try:
        return [f"{float(text) * factor:g}" for factor in (0.5, 2)]
    except ValueError:
        return []


def _owner(axis: Axis) -> str:
    """The family that has an axis."""
    return next((name for name, one in known_families().items() if axis in one.axes), DIAMOND)


def _show_fields(width: int) -> None:
    """Every config field: its name in one line, as a command takes it, what it is below."""
    cell = wrapper(width - INDENT)
    typer.secho(f"Config fields, defaults of {DEFAULT_PRESET} and {DEFAULT_GAME}\n", bold=True)
    seen: set[str] = set()
    for family in known_families():
        for name in (name for name in variable_fields(family) if name not in seen):
            seen.add(name)
            meaning, value = field_description(name, family), _default_of_field(name, family)
            typer.secho(name, bold=True)
            facts = f"default: {value}; first stage: {first_stage_of_field(name)}"
            for line in [*cell.wrap(meaning), *cell.wrap(facts)]:
                typer.echo(f"{'':{INDENT}}{line}")


def _default(axis: Axis) -> str:
    owner = _owner(axis)
    try:
        return axis.current(_preset(axis.fields, owner))
    except RequestError:
        return _no_recipe(owner)


def _default_of_field(name: str, family: str) -> str:
    section, _, leaf = name.partition(".")
    if section == "environment":
        played = map(default_environment, (DEFAULT_GAME, *GAME_OF_ANOTHER_KIND))
        owner = next(one for one in played if leaf in type(one).model_fields)
        return f"{shown(getattr(owner, leaf))} ({owner.kind} games)"
    try:
        return shown(get_field(_preset([name], family), name))
    except RequestError:
        return _no_recipe(family)


def _no_recipe(family: str) -> str:
    return f"none: {family} has no recipe for {DEFAULT_PRESET}"


def _preset(fields: Sequence[str], family: str) -> RunConfig:
    """The default preset of a family under the protocol that has the fields."""
    online = fields[0].startswith("online.")
    config = make_preset(DEFAULT_PRESET, DEFAULT_GAME, "online" if online else "static")
    return config if family == DIAMOND else apply_axes(config, [(find_axis("family"), family)])


if __name__ == "__main__":
    print(axes_page(), end="")
