"""`diamond ablate` and `diamond train`.

From a request to plan, stages, table, report and runs in the tracking store.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diamond.cli.interrupt import resumable
from diamond.cli.study_command import (
    Options,
    begin_study,
    check_study,
    conclude,
    leading,
    report_study,
    show,
)
from diamond.cli.tables.plan_table import show_plan
from diamond.cli.widths import console
from diamond.engine.files import in_use
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME, check_ablation, check_history, record_plan
from diamond.errors import ExitCode
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.studies.arm_selection import check_arms

if TYPE_CHECKING:
    from rich.console import Console

    from diamond.studies.run_study import StudyRun


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
    if request.recordings:
        # Games are opened, which a study without recordings leaves to its workers.
        from diamond.recordings.fit import check_recordings

        check_recordings(plan, options.home)
    remarks = _claim_remarks(plan)
    check_arms(plan, options.only)
    store = check_study(plan.study, options)
    folder = options.home / "studies" / plan.study
    check_ablation(folder)
    check_history(plan, folder)
    options = begin_study(store, plan.study, options)
    if options.dry_run:
        show_plan(plan, store, options.workers, sys.stdout, options.only, remarks, options.keep)
        return ExitCode.DONE
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
    from diamond.cli.progress import ProgressView, doing, stage_names
    from diamond.studies.run_study import Tracking

    plan, store, log = study.plan, study.store, console(stderr=True)
    names = stage_names(plan)
    study.check_store()
    for line in study.damaged:
        log.print(line, style="yellow")
    show_plan(plan, store, options.workers, sys.stderr, options.only, remarks, options.keep)
    executor = leading(store, study.folder, names, options, log)
    if options.engine.detach:
        study.hand_over(executor)
        show_failed(study, log)
        log.print(f"the same command without --detach shows how far it is:\n  {options.command}")
        return ExitCode.DONE
    tracking = Tracking(study, options.tracking_uri)
    try:
        with ProgressView(names, log) as view:

            def on_tick() -> None:
                view.tick()
                tracking.check()

            tracking.start()
            study.execute(executor, view.show, on_tick, on_work=view.expect)
        with doing("reckoning intervals", log):
            result = study.result()
        with doing("writing report", log):
            result = report_study(store, result, study.folder, options)
        try:
            code = conclude(result, study.folder, bool(study.failed()), tracking, log)
        finally:
            show(result, options)
            show_failed(study, log)
    except BaseException:
        tracking.abandon()
        raise
    return code


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
