"""What commands that run a study have in common, whether its arms are declared or searched for.

Checks, progress, the report, what is printed, the end in the tracking store.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from diamond.cli.documents import print_document, report_places
from diamond.cli.options import say_tracking
from diamond.engine.devices import Workers
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.store import Store
from diamond.errors import ExitCode, RequestError
from diamond.studies.frame_retention import Keep
from diamond.tracking.uris import absolute_uri, default_uri, hide_secrets
from diamond.workers.engines import EngineChoice, find_launcher

if TYPE_CHECKING:
    from rich.console import Console

    from diamond.results.model import Result
    from diamond.tracking.mlflow_records import RunStatus
    from diamond.workers.executor import Executor
    from diamond.workers.launcher import Launcher

MAX_NAME = 200


@dataclass(frozen=True)
class Options:
    """How a command executes; none of it changes a result.

    Attributes:
        home: Absolute folder for everything that runs make.
        workers: The processes that make stages.
        dry_run: Show the plan only.
        as_json: Standard output carries the result document alone.
        tracking_uri: MLflow tracking URI, None for the home's own.
        command: The command as the user typed it, with passwords hidden.
        only: Names of the arms to make; empty for all.
        retry_failed: Whether what failed before is tried again.
        keep: What of imagined frames stays once they are scored; None where nothing was said.
        show: What is done with the result; None prints it.
        engine: Where stages are made.
        launcher: Starts workers elsewhere; None: this machine has them.
    """

    home: Path
    workers: Workers
    dry_run: bool
    as_json: bool
    tracking_uri: str | None
    command: str
    only: tuple[str, ...] = ()
    retry_failed: bool = False
    keep: Keep | None = None
    show: "Callable[[Result], None] | None" = None
    engine: EngineChoice = field(default_factory=EngineChoice)
    launcher: "Launcher | None" = None


class Tracked(Protocol):
    """Writes the end of a study to the tracking store."""

    def finish(
        self, result: "Result", artifacts: "Mapping[str, Path]", status: "RunStatus"
    ) -> dict[str, str]:
        """Write the final state; returns addresses in MLflow by what they show."""


def check_study(name: str, options: Options) -> Store:
    """Check what every study needs before it is looked at; return its home, which is not made.

    Raises:
        DiamondError: The name, the home or the tracking store cannot be used.
    """
    check_name(name)
    absolute_uri(options.tracking_uri or default_uri(options.home))
    return Store(options.home)


def begin_study(store: Store, study: str, options: Options) -> Options:
    """Make the home and find what starts workers, unless this is a dry run.

    Where runs are tracked is said afterwards: the address may have the home's id.

    Raises:
        StoreError: The home cannot be used.
        EngineError: What starts workers is not there, or does not know what was asked of it.
    """
    if not options.dry_run:
        found = find_launcher(options.engine, options.home, study, options.workers)
        options = replace(options, launcher=found)
        store.check_writable()
    say_tracking(options.home, options.tracking_uri)
    return options


def leading(
    store: Store,
    folder: Path,
    names: Mapping[str, str],
    options: Options,
    log: "Console",
    *,
    may_grow: bool = False,
) -> "Executor":
    """What leads the making of a study: it makes stages here, or has workers make them.

    Args:
        store: The home.
        folder: The study's folder.
        names: What people call the stage of each key; it may grow.
        options: Of the command.
        log: Where news of workers are printed.
        may_grow: Whether there may be more to make when all of it is made.
    """
    from diamond.workers.executor import Executor
    from diamond.workers.helpers import Helpers
    from diamond.workers.work_order import OrderWriter

    def say(line: str) -> None:
        log.print(line, style="dim", soft_wrap=True, markup=False)

    jobs, launcher = options.workers.jobs, options.launcher
    leaves = launcher is not None or jobs == 0
    helpers = Helpers(OrderWriter(folder, names, may_grow), launcher, jobs, leaves, say)
    here = options.workers if launcher is None else replace(options.workers, jobs=0)
    if launcher is None and jobs == 0:
        work = shlex.join(["diamond", "work", "--home", str(store.home), "--study", folder.name])
        say(f"this command makes nothing itself; on each machine that is to help: {work}")
    return Executor(store.home, here, helpers=helpers)


def conclude(
    result: "Result", folder: Path, failed: bool, tracking: Tracked, log: "Console"
) -> ExitCode:
    """Show the end of a study in the tracking store, and where; return how its command ends."""
    from diamond.cli.progress import doing

    status: RunStatus = "FAILED" if failed else "FINISHED"
    with doing("writing MLflow", log):
        links = tracking.finish(result, uploaded(result, folder), status)
    for what, link in links.items():
        log.print(f"{what} in MLflow: {link}", soft_wrap=True)
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


def report_study(store: Store, result: "Result", folder: Path, options: Options) -> "Result":
    """Write page and document of a study or a sweep; returns the result with what was written."""
    from diamond.engine.report_file import write_result
    from diamond.report.answer.answers import answered

    if result.search is None:
        uri = options.tracking_uri
        tracking = [] if uri is None else ["--tracking-uri", hide_secrets(uri)]
        mlflow = shlex.join(["diamond", "ui", "--home", str(options.home), *tracking])
        places = report_places(result.paths, folder, mlflow)
        result = result.model_copy(update={"paths": places})
    result = write_page(answered(result), store, folder)
    write_result(folder / REPORT_FILE, result)
    return result


def uploaded(result: "Result", folder: Path) -> dict[str, Path]:
    """The files of a report that the tracking store shows, by their names there."""
    names = [name for name in result.files if name.endswith((".html", ".md", ".png"))]
    return {name: folder / name for name in (*names, REPORT_FILE)}


def write_page(result: "Result", store: Store, folder: Path) -> "Result":
    """Write page, Markdown, figures and tables of a study, unless they show these results already.

    What is damaged or missing is written again.

    Args:
        result: Of the study.
        store: Where the frames of films are.
        folder: The study's folder.

    Returns:
        The result with its film strips, and SHA-256 of each file by name.

    Raises:
        StoreError: The frames cannot be read.
    """
    from diamond.findings.ablation_result import kept_files
    from diamond.report.figures.strips import film_strips, named_strips
    from diamond.report.page import write_report
    from diamond.studies.compared_frames import load_films

    films = load_films(result, store)
    strips = film_strips(films, result.report_steps)
    result = result.model_copy(update={"strips": named_strips(strips)})
    kept = kept_files(folder, result)
    files = write_report(result, strips, folder, films).digests if kept is None else kept
    return result.model_copy(update={"files": dict(files)})


def show(result: "Result", options: Options) -> None:
    """Show a result to who asked for it: the caller, a program or a person."""
    if options.show is not None:
        options.show(result)
        return
    if options.as_json:
        print_document(result)
        return
    from diamond.cli.result_view import show_result

    show_result(result)


def check_name(study: str) -> None:
    """Refuse a name of a study that cannot be that of a folder.

    Raises:
        RequestError: What is allowed.
    """
    if len(study) > MAX_NAME or not re.fullmatch(r"\w[\w.=+-]*", study):
        raise RequestError(
            f"{study!r} cannot be the name of a study: it names a folder\n"
            f"  allowed: at most {MAX_NAME} of letters, digits and . _ - = +, first a letter\n"
            "  give one with --name, for instance --name my-study"
        )
