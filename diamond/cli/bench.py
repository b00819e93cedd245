"""`diamond bench`: how fast the parts run on this machine, also beside the released code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from diamond.cli.options import AsJson, Compile, takes_records
from diamond.errors import ExitCode


@dataclass(frozen=True)
class Measured:
    """What is measured, beside the parts."""

    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Checkout of the released code, to be measured in turn and held against: "
            "github.com/eloialonso/diamond.",
            show_default=False,
        ),
    ] = None
    preset: Annotated[
        str, typer.Option(help="Networks and batches: smoke, tiny, small or paper.")
    ] = "paper"
    game: Annotated[str, typer.Option(help="One of the 26 games of Atari 100k.")] = "Breakout"
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="'AXIS=V ...'",
            help="What differs from the preset: a named axis or any config field; may be repeated.",
            show_default=False,
        ),
    ] = None
    compile_: Compile = False


@takes_records
def bench(
    *,
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART]...",
            help="What to measure: peak, environment, denoiser, reward_end, policy, imagination, "
            "scoring, startup, scale, packing; by default all but the last two.",
            show_default=False,
        ),
    ] = None,
    measured: Measured,
    as_json: AsJson = False,
) -> None:
    """Measure how fast each part runs on this machine.

    With --reference the released code runs the same cases in turn, on the same weights and inputs,
    and what both compute is compared; a difference is exit code 1.
    """
    from diamond.bench.document import bench_document
    from diamond.bench.measure import measure
    from diamond.bench.request import make_request
    from diamond.bench.table import bench_tables, heading
    from diamond.cli.widths import console

    request = make_request(
        parts or (),
        measured.preset,
        measured.game,
        measured.settings or (),
        measured.reference,
        measured.compile_,
    )
    errors = console(stderr=True)

    def note(line: str) -> None:
        errors.print(line, soft_wrap=True)

    found = measure(request, note)
    document = bench_document(request, found)
    if as_json:
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        out = console()
        out.print(heading(document), soft_wrap=True)
        for table in bench_tables(document):
            out.print()
            out.print(table)
    for check in found.checks:
        if not check.passed:
            note(
                f"diamond: the {check.part} of both sides differs: {check.what} by "
                f"{check.difference:.3g}, allowed is {check.limit:.3g}"
            )
    if not found.passed:
        raise typer.Exit(ExitCode.RUN_FAILED)
