"""Options as records: what Typer reads of them, and what a command gets."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from diamond.cli.options import takes_records


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
