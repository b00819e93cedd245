"""`diamond scores`: files of scores against each other and against published agents."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diamond.cli.output_files import check_output
from diamond.cli.widths import console
from diamond.engine.files import write_together
from diamond.errors import RequestError, StoreError
from diamond.report.benchmark_tables import benchmark_latex, terminal_tables
from diamond.report.terminal import terminal
from diamond.results.benchmark import benchmark
from diamond.results.benchmark_model import Benchmark
from diamond.results.score_files import read_score_files

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
LATEX_SUFFIXES = (".tex",)
FEWEST_RESAMPLES = 100
MOST_RESAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How scores are computed and shown; None where no such file is wanted."""

    seed: int
    num_resamples: int
    as_json: bool
    latex: Path | None
    figure: Path | None


def show_scores(paths: Sequence[Path], options: ScoreOptions) -> None:
    """Read, compute, write the files that are wanted, print the tables or the document.

    Raises:
        RequestError: An option, an input or the place of an output is wrong; nothing is written.
        StoreError: The system refused to write.
    """
    if not FEWEST_RESAMPLES <= options.num_resamples <= MOST_RESAMPLES:
        raise RequestError(
            f"--resamples {options.num_resamples}: give {FEWEST_RESAMPLES} to {MOST_RESAMPLES}; "
            "fewer give no interval worth its name"
        )
    _check_outputs(paths, options)
    files = read_score_files(paths)
    doc = benchmark(files, options.seed, options.num_resamples)
    outputs = _outputs(doc, options)
    _write(outputs)
    if options.as_json:
        print(json.dumps(doc.model_dump(mode="json"), indent=1, allow_nan=False))
    else:
        out = console()
        for table in terminal_tables(doc, out.width):
            out.print(terminal(table, out.width))
            out.print()
    for path in outputs:
        console(stderr=True).print(f"wrote {path}", soft_wrap=True)


def _outputs(doc: Benchmark, options: ScoreOptions) -> dict[Path, bytes]:
    contents: dict[Path, bytes] = {}
    if options.latex:
        contents[options.latex] = benchmark_latex(doc).encode()
    if options.figure:
        from diamond.report.figures.benchmark_figure import benchmark_figure
        from diamond.report.figures.figure_style import figure_bytes

        figure = benchmark_figure(doc)
        match options.figure.suffix:
            case ".svg":
                contents[options.figure] = figure_bytes(figure, "svg")
            case ".pdf":
                contents[options.figure] = figure_bytes(figure, "pdf")
            case _:
                contents[options.figure] = figure_bytes(figure, "png")
    return contents


def _write(outputs: Mapping[Path, bytes]) -> None:
    try:
        write_together(outputs)
    except OSError as error:
        named = " and ".join(repr(str(path)) for path in outputs)
        raise StoreError(
            f"cannot write {named}: {error.strerror or error}\n  nothing was written"
        ) from error


def _check_outputs(inputs: Sequence[Path], options: ScoreOptions) -> None:
    taken = {path.resolve() for path in inputs}
    for flag, path, suffixes in (
        ("--latex", options.latex, LATEX_SUFFIXES),
        ("--figure", options.figure, FIGURE_SUFFIXES),
    ):
        if path is None:
            continue
        check_output(flag, path, suffixes, "scores")
        if path.resolve() in taken:
            raise RequestError(
                f"{flag} {str(path)!r} is a file that is read\n  give the output another name"
            )
