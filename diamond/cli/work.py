"""`diamond work`: a worker, what workers do, and their end."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from diamond.cli.commands.work_command import WorkOptions
from diamond.cli.progress import clock_text
from diamond.cli.widths import console
from diamond.config.engine_options import read_seconds
from diamond.engine.devices import Workers, check_compiler, default_jobs, visible_gpus
from diamond.engine.stopping import Stopping
from diamond.errors import ExitCode, RequestError
from diamond.report.table import Cell, Row, Table
from diamond.report.terminal import terminal
from diamond.workers.pulling import Pulling, check_home
from diamond.workers.work_status import Worked, work_status


def run_work(home: Path, asked: WorkOptions) -> ExitCode:
    """Work, show who does, or end those that do.

    Returns:
        DONE, or RUN_FAILED when a stage failed here.

    Raises:
        DiamondError: The home, the study or an option cannot be used.
    """
    if asked.status or asked.cancel:
        check_home(home, asked.study)
        return _cancel(home, asked) if asked.cancel else _show(home, asked.study)
    workers, idle = _checked(asked)
    stopping = Stopping()
    with _ending(stopping, asked.max_hours):
        failed = Pulling(home, asked.study, workers, idle, stopping, _say).run()
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


def _checked(asked: WorkOptions) -> tuple[Workers, float]:
    """The processes of a worker, and its patience in seconds.

    Raises:
        RequestError: An option is out of range.
    """
    for name, value in (("--jobs", asked.jobs), ("--gpu-share", asked.gpu_share)):
        if value is not None and value < 1:
            raise RequestError(f"{name} {value}: at least 1 is needed")
    if asked.gpu_share > 1 and not visible_gpus():
        raise RequestError(
            f"--gpu-share {asked.gpu_share}: this machine shows no GPU to share\n"
            "  use --jobs for processes on its cores"
        )
    if asked.max_hours is not None and asked.max_hours <= 0:
        raise RequestError(f"--max-hours {asked.max_hours:g}: a number above 0 is needed")
    if asked.compile_:
        check_compiler()
    jobs = asked.jobs or default_jobs(asked.gpu_share)
    return Workers(jobs, asked.compile_, asked.gpu_share), read_seconds("--idle", asked.idle)


@contextmanager
def _ending(stopping: Stopping, max_hours: float | None) -> Iterator[None]:
    """Let signals, and the time, ask the worker to end."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stopping.ask())
    timer = threading.Timer((max_hours or 0.0) * 3600, stopping.ask)
    timer.daemon = True
    if max_hours is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(line: str) -> None:
    typer.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


def _show(home: Path, study: str | None) -> ExitCode:
    """Print who works on what, since when and how far."""
    found = work_status(home, study)
    if not found:
        typer.echo("no command asks for anything: nothing is left to make")
    for one in found:
        counts = f"{one.done} of {one.total} stages done, {len(one.held)} at work"
        rest = f"{one.ready} ready, {one.failed} failed, {one.blocked} wait for others"
        typer.echo(f"{one.study}: {counts}, {rest}")
        if one.held:
            screen = console()
            screen.print(terminal(_table(one), screen.width))
    return ExitCode.DONE


def _table(one: Worked) -> Table:
    columns = ("stage", "worker", "for", "progress")
    rows = tuple(
        Row(
            held.name,
            "arm",
            (Cell(held.holder), Cell(clock_text(held.seconds)), Cell(held.progress)),
        )
        for held in one.held
    )
    return Table("", columns, rows, words=frozenset({"worker", "progress"}))


def _cancel(home: Path, asked: WorkOptions) -> ExitCode:
    """End the workers that a cluster runs for a study.

    Raises:
        RequestError: It is not said which study.
    """
    from diamond.workers.engines import submitted_launchers

    if asked.study is None:
        raise RequestError("--cancel ends the workers of one study\n  name it with --study")
    launchers = submitted_launchers(home, asked.study)
    for launcher in launchers:
        launcher.cancel()
    typer.echo(
        f"asked the workers of {asked.study} to end: they save what they make"
        if launchers
        else f"no cluster runs workers for {asked.study}"
    )
    return ExitCode.DONE
