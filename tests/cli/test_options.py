"""Options as records: what Typer reads of them, and what a command gets."""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from diamond.cli.app import app as diamond
from diamond.cli.options import RUNNING, takes_records
from diamond.config.engine_options import OPTIONS
from diamond.config.presets import PRESETS
from diamond.config.run import Protocol
from diamond.plan.request import NO_MATCH, Design, Match
from diamond.studies.frame_retention import Keep
from tests.commands import environment


@dataclass(frozen=True)
class Size:
    """Two options, one of which must be given."""

    width: Annotated[int, typer.Option(help="columns")]
    height: Annotated[int, typer.Option("--rows")] = 2


def told(*words: str) -> str:
    app = typer.Typer(add_completion=False)

    @app.command()
    @takes_records
    def draw(
        *,
        name: Annotated[str, typer.Argument()] = "x",
        size: Size,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        typer.echo(f"{name} {size} {loud}")

    return CliRunner().invoke(app, words).output


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--width", "3"), f"x {Size(3, 2)} False"),
        (("a", "--rows", "5", "--width", "3", "--loud"), f"a {Size(3, 5)} True"),
    ],
)
def test_a_command_gets_records_of_what_was_said(words: tuple[str, ...], shown: str) -> None:
    assert told(*words).strip() == shown


def test_a_field_without_a_default_must_be_given() -> None:
    assert "Missing option" in told("a")


def test_fields_stand_in_the_place_of_their_record() -> None:
    def command(*, first: int, size: Size, last: int = 4) -> None:
        """Nothing."""

    found = inspect.signature(takes_records(command)).parameters
    assert [(name, one.default) for name, one in found.items()] == [
        ("first", inspect.Parameter.empty),
        ("width", inspect.Parameter.empty),
        ("height", 2),
        ("last", 4),
    ]


def test_one_name_is_one_option() -> None:
    def command(*, height: int, size: Size) -> None:
        """Nothing."""

    with pytest.raises(AssertionError, match="two options height"):
        takes_records(command)


def commands() -> dict[str, Any]:
    """The commands of `diamond`, as Click has them."""
    found: dict[str, Any] = typer.main.get_command(diamond).commands  # type: ignore[attr-defined]
    return found


def squashed(text: str) -> str:
    """A text without spaces, frames and the marks of its source."""
    return re.sub(r"[\s│╭╮╰╯─`]+", "", text)


@pytest.mark.parametrize("name", sorted(commands()))
@pytest.mark.parametrize("width", [80, 100])
def test_the_help_of_a_command_loses_no_word_and_ends_in_an_example(name: str, width: int) -> None:
    command = commands()[name]
    done = CliRunner().invoke(diamond, [name, "-h"], env={"COLUMNS": str(width)})
    assert done.exit_code == 0
    shown = squashed(done.output)
    texts = [command.help, *(option.help for option in command.params if option.help)]
    for word in " ".join(texts).split():
        assert squashed(word) in shown, word
    for option in command.params:
        assert squashed(option.metavar or "") in shown
    # The example is a command of this name, with options that there are.
    _, _, example = done.output.rpartition("Example: ")
    program, called, *words = shlex.split(example)
    assert (program, called) == ("diamond", name)
    command.make_context(name, words)


@pytest.mark.parametrize(
    ("option", "command", "closed"),
    [
        ("design", "ablate", get_args(Design)),
        ("match", "ablate", (*get_args(Match), NO_MATCH)),
        ("protocol", "ablate", get_args(Protocol)),
        ("protocol", "train", get_args(Protocol)),
        ("keep", "sweep", get_args(Keep)),
        ("engine", "sweep", OPTIONS),
    ],
)
def test_a_closed_list_is_shown_and_completed(
    option: str, command: str, closed: Collection[str]
) -> None:
    (found,) = (one for one in commands()[command].params if one.name == option)
    assert sorted(found.metavar.split("|")) == sorted(closed)
    assert {one.value for one in found.shell_complete(None, "")} == set(closed)


def test_presets_are_completed() -> None:
    (found,) = (one for one in commands()["ablate"].params if one.name == "preset")
    assert {one.value for one in found.shell_complete(None, "")} == set(PRESETS)


@pytest.mark.parametrize(
    ("typed", "wanted"), [("diamond abl", "ablate"), ("diamond ablate --des", "--design")]
)
def test_a_shell_completes_commands_and_options(typed: str, wanted: str) -> None:
    asked = {
        "_DIAMOND_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "diamond"],
        capture_output=True,
        text=True,
        check=False,
        env=environment() | asked,
    )
    assert wanted in done.stdout.split()


def test_options_of_a_record_stand_in_its_panel() -> None:
    done = CliRunner().invoke(diamond, ["ablate", "-h"], env={"COLUMNS": "100"})
    heads = re.findall(r"^╭─ ([\w ]+?) ─", done.output, re.MULTILINE)
    assert heads == ["Arguments", "Options", "Arms", "Study", RUNNING]
    _, _, arms = done.output.partition("─ Arms ─")
    assert "--design" in arms.partition("─ Study ─")[0]
