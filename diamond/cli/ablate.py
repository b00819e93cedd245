"""`diamond ablate` and `diamond train`.

From a request to plan, stages, table, report and runs in the tracking store.
"""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diamond.cli.documents import print_document, report_places
from diamond.cli.interrupt import resumable
from diamond.cli.options import say_tracking
from diamond.cli.plan_table import show_plan
from diamond.cli.widths import console
from diamond.engine.devices import Workers
from diamond.engine.files import in_use
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME, check_ablation, check_history, record_plan
from diamond.errors import ExitCode, RequestError
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.studies.arm_selection import check_arms
from diamond.studies.frame_retention import Keep
from diamond.tracking.uris import absolute_uri, default_uri, hide_secrets

if TYPE_CHECKING:
    from rich.console import Console

    from diamond.results.model import Result
    from diamond.studies.run_study import StudyRun
    from diamond.tracking.mlflow_records import RunStatus

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


def run_study(request: Request, options: Options) -> ExitCode:
    """Run a study to its end.

    Returns:
        DONE, or RUN_FAILED when a run did not succeed.

    Raises:
        DiamondError: The request is wrong, the home or the tracking store cannot be used, or the
            user interrupted.
    """
    with resumable(options.command):
        return _study(request, options)


def _study(request: Request, options: Options) -> ExitCode:
    plan = make_plan(request)
    remarks = _claim_remarks(plan)
    check_name(plan.study)
    check_arms(plan, options.only)
    absolute_uri(options.tracking_uri or default_uri(options.home))
    say_tracking(options.home, options.tracking_uri)
    store = Store(options.home)
    folder = options.home / "studies" / plan.study
    check_ablation(folder)
    check_history(plan, folder)
    if options.dry_run:
        show_plan(plan, store, options.workers, sys.stdout, options.only, remarks, options.keep)
        return ExitCode.DONE
    store.check_writable()
    return _run(plan, store, options, remarks)


def _claim_remarks(plan: Plan) -> list[str]:
    """What will keep a declared claim undecided; what reads claims is loaded where there are any.

    Raises:
        RequestError: A claim means no arm, or more than one.
    """
    if plan.request.declared is None:
        return []
    from diamond.plan.claims.claim_arms import check_claims

    return check_claims(plan)


def _run(plan: Plan, store: Store, options: Options, remarks: Sequence[str]) -> ExitCode:
    from diamond.studies.run_study import StudyRun

    study = StudyRun(plan, store, options.command, options.only, options.retry_failed, options.keep)
    study.check_extras()
    if plan.request.checkpoint or any(Path(text).is_dir() for text in plan.collectors):
        _record_with_weights(plan, study.folder, options)
    else:
        record_plan(plan, study.folder, options.command)
    # From here on `diamond gc` knows what the study needs: what is found whole now stays.
    with in_use(study.folder / RUNNING_NAME):
        return _make(study, options, remarks)


def _record_with_weights(plan: Plan, folder: Path, options: Options) -> None:
    """Bring the weights that a plan needs into the home, then record the plan."""
    from diamond.weights.checkpoint_folders import adopt, adopt_players
    from diamond.weights.imported_weights import bringing_weights

    with bringing_weights(options.home):
        if plan.request.checkpoint is not None:
            adopt(plan.request.checkpoint, options.home)
        adopt_players(plan, options.home)
        record_plan(plan, folder, options.command)


def _make(study: "StudyRun", options: Options, remarks: Sequence[str]) -> ExitCode:
    """Make what is missing of a study whose plan is recorded, and report it."""
    from diamond.cli.progress import ProgressView, stage_names
    from diamond.engine.executor import LocalExecutor
    from diamond.studies.run_study import Tracking

    plan, store, log = study.plan, study.store, console(stderr=True)
    study.check_store()
    for line in study.damaged:
        log.print(line, style="yellow")
    show_plan(plan, store, options.workers, sys.stderr, options.only, remarks, options.keep)
    tracking = Tracking(study, options.tracking_uri)
    executor = LocalExecutor(options.home, options.workers)
    try:
        with ProgressView(stage_names(plan), log) as view:
            tracking.start()
            study.execute(executor, view.show, tracking.check)
        result = report_study(store, study.result(), study.folder, options)
        _show(result, options)
        show_failed(study, log)
        failed = bool(study.failed())
        status: RunStatus = "FAILED" if failed else "FINISHED"
        tracking.finish(result, uploaded(result, study.folder), status)
    except BaseException:
        tracking.abandon()
        raise
    return ExitCode.RUN_FAILED if failed else ExitCode.DONE


def report_study(store: Store, result: "Result", folder: Path, options: Options) -> "Result":
    """Write page and document of a study; returns the result with what was written."""
    from diamond.engine.report_file import write_result
    from diamond.report.summary import summarise
    from diamond.report.warning import warn

    uri = options.tracking_uri
    tracking = [] if uri is None else ["--tracking-uri", hide_secrets(uri)]
    mlflow = shlex.join(["diamond", "ui", "--home", str(options.home), *tracking])
    places = report_places(result.paths, folder, mlflow)
    said = {"summary": summarise(result), "warning": warn(result)}
    result = result.model_copy(update=said | {"paths": places})
    result = write_page(result, store, folder)
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
    from diamond.report.page import write_report
    from diamond.report.strips import film_strips, named_strips
    from diamond.studies.compared_frames import load_films

    films = load_films(result, store)
    strips = film_strips(films, result.report_steps)
    result = result.model_copy(update={"strips": named_strips(strips)})
    kept = kept_files(folder, result)
    files = write_report(result, strips, folder, films).digests if kept is None else kept
    return result.model_copy(update={"files": dict(files)})


def show_failed(study: "StudyRun", log: "Console") -> None:
    """Print what failed, what was not made for it, and what the same command would do."""
    from diamond.cli.progress import stage_names

    failed, names = study.failed(), stage_names(study.plan)
    for spec, cause in failed:
        log.print(f"failed: {names[spec.key]}: {cause}", style="red")
    if not failed:
        return
    blocked = len(study.blocked)
    if blocked:
        log.print(
            f"{blocked} stage{'' if blocked == 1 else 's'} that read what failed "
            f"{'was' if blocked == 1 else 'were'} not made",
            style="red",
        )
    staying = sum(study.stays_failed(spec) for spec, _ in failed)
    if staying < len(failed):
        log.print("the same command tries again what was killed or lacked room", style="red")
    if staying:
        log.print(
            "what failed by itself would fail again and is left alone; after a change of the "
            "code, add --retry-failed",
            style="red",
        )


def _show(result: "Result", options: Options) -> None:
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
