"""`diamond ablate`: from a request to plan, stages, table, report and runs in the tracking store."""

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from diamond.ablation.plan import Plan, Request, make_plan
from diamond.cli.plan_table import show_plan
from diamond.errors import ExitCode, InterruptedRunError
from diamond.pipeline.files import read_json, write_json
from diamond.pipeline.history import check_history, record_plan
from diamond.pipeline.store import Store

TABLE_WIDTH = 100


@dataclass(frozen=True)
class Options:
    """How a command executes; none of it changes a result.

    Attributes:
        home: Absolute folder for everything that runs make.
        jobs: Worker processes.
        dry_run: Show the plan only.
        as_json: Standard output carries the result document alone.
        tracking_uri: MLflow tracking URI, None for the home's own.
        command: The command as the user typed it.
    """

    home: Path
    jobs: int
    dry_run: bool
    as_json: bool
    tracking_uri: str | None
    command: str


def run_ablation(request: Request, options: Options) -> ExitCode:
    """Run a study to its end.

    Returns:
        DONE, or RUN_FAILED when a run did not succeed.

    Raises:
        DiamondError: The request is wrong, the home or the tracking store cannot be used, or the user
            interrupted.
    """
    plan = make_plan(request)
    store = Store(options.home)
    folder = options.home / "studies" / plan.study
    check_history(plan, folder)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else TABLE_WIDTH)
    if options.dry_run:
        show_plan(
            plan, store, options.jobs, Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
        )
        return ExitCode.DONE
    store.check_writable()
    return _run(plan, store, options, console)


def _run(plan: Plan, store: Store, options: Options, console: Console) -> ExitCode:
    from diamond.cli.progress import ProgressView
    from diamond.pipeline.executor import LocalExecutor
    from diamond.pipeline.study import StudyRun, Tracking

    study = StudyRun(plan, store, options.command)
    study.check_store()
    for line in study.damaged:
        console.print(line, style="yellow", highlight=False)
    show_plan(plan, store, options.jobs, console)
    record_plan(plan, study.folder, options.command)
    tracking = Tracking(study, options.tracking_uri)
    executor = LocalExecutor(options.home, options.jobs)
    try:
        with _interruptible(), ProgressView(plan, console) as view:
            tracking.start()
            study.execute(executor, view.show, lambda: None)
    except InterruptedRunError:
        tracking.finish(study.document(), (), "KILLED")
        raise InterruptedRunError(
            f"interrupted; what was done is kept. Go on with the same command:\n  {options.command}"
        ) from None
    document, artifacts = _report(plan, store, study.document(), study.folder, options)
    failed = study.failed()
    tracking.finish(document, artifacts, "FAILED" if failed else "FINISHED")
    _show(document, options, console)
    for spec, cause in failed:
        console.print(
            f"failed: {spec.stage} {spec.key}: {cause}", style="red", markup=False, highlight=False
        )
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


def _report(
    plan: Plan, store: Store, document: dict[str, Any], folder: Path, options: Options
) -> tuple[dict[str, Any], list[Path]]:
    from diamond.pipeline.result import same_results
    from diamond.pipeline.strips import load_strips
    from diamond.report.page import write_report
    from diamond.report.strips import Strips
    from diamond.report.summary import summarise

    document["summary"] = summarise(document)
    strips = [Strips(s.game, s.start, s.start, s.steps, s.rows) for s in load_strips(plan, store)]
    document["strips"] = [
        {
            "game": s.game,
            "start": s.start,
            "steps": list(s.steps),
            "rows": [name for name, _ in s.rows],
        }
        for s in strips
    ]
    tracking = [] if options.tracking_uri is None else ["--tracking-uri", options.tracking_uri]
    json_path = folder / "report.json"
    document["paths"] |= {
        "report_html": str(folder / "report.html"),
        "report_md": str(folder / "report.md"),
        "report_json": str(json_path),
        "mlflow_command": shlex.join(["diamond", "ui", "--home", str(options.home), *tracking]),
    }
    if not same_results(read_json(json_path), document):
        write_report(document, strips, folder)
    write_json(json_path, document)
    figures = sorted((folder / "figures").glob("*.png"))
    return document, [folder / "report.html", folder / "report.md", json_path, *figures]


def _show(document: dict[str, Any], options: Options, console: Console) -> None:
    from diamond.report.console import result_table

    if options.as_json:
        json.dump(document, sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
        return
    out = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    for game in document["games"]:
        out.print(result_table(document, game))
    out.print(document["summary"], highlight=False, markup=False)
    paths = document["paths"]
    out.print(f"report:  {paths['report_html']}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"         {paths['report_md']}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"compare: {paths['mlflow_command']}", highlight=False, soft_wrap=True, markup=False)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into InterruptedRunError in the main thread, once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise InterruptedRunError(signal.Signals(number).name)

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
