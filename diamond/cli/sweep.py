"""`diamond sweep`: from a declared space to trials, page, table and runs in the tracking store."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diamond.cli.ablate import run_study
from diamond.cli.declaration_options import override_lines
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
from diamond.cli.tables.space_table import show_space
from diamond.cli.widths import console
from diamond.engine.files import in_use
from diamond.engine.home import open_home
from diamond.engine.store import Store
from diamond.engine.study_history import (
    RUNNING_NAME,
    begin_sweep,
    check_sweep_folder,
    read_entries,
)
from diamond.errors import ExitCode
from diamond.plan.make_plan import make_plan
from diamond.plan.stage_keys import extras_of
from diamond.sweep.addresses import (
    check_shared_home,
    default_storage,
    is_inside,
    storage_address,
)
from diamond.sweep.declaration import Sweep
from diamond.sweep.trials import (
    check_sweep,
    num_trials,
)
from diamond.tracking.uris import hide_secrets

if TYPE_CHECKING:
    from rich.console import Console

    from diamond.results.model import Result
    from diamond.sweep.engine import SweepRun


@dataclass(frozen=True)
class SweepWork:
    """What a command does with a sweep beside running its trials.

    Attributes:
        storage: Address of Optuna's storage as the user gave it, None for the home's journal.
        warm_start: Names of studies whose finished arms become trials.
        confirm: Whether the best is confirmed at the end.
    """

    storage: str | None = None
    warm_start: tuple[str, ...] = ()
    confirm: bool = False


def run_sweep(sweep: Sweep, work: SweepWork, options: Options) -> ExitCode:
    """Run a sweep until its budget is spent.

    Returns:
        DONE, or RUN_FAILED when no trial succeeded or a confirmation failed.

    Raises:
        DiamondError: The request is wrong, a storage cannot be used, or the user interrupted.
    """
    home = options.home
    address = default_storage(home) if work.storage is None else storage_address(work.storage)
    with resumable(options.command, "finished trials are kept, the others go on with"):
        return _sweep(sweep, work, options, address)


def _sweep(sweep: Sweep, work: SweepWork, options: Options, address: str) -> ExitCode:
    baseline = check_sweep(sweep)
    if sweep.recordings:
        from diamond.recordings.fit import check_recordings
        from diamond.sweep.confirm import confirm_request

        check_recordings(baseline, options.home)
        if work.confirm:
            make_plan(confirm_request(sweep, {}))  # there may be no fresh starts left
    store = check_study(sweep.name, options)
    check_shared_home(address, options.tracking_uri)
    options = begin_study(store, sweep.name, options)
    if options.dry_run:
        show_space(sweep, baseline, store, options.workers, sys.stdout)
        return ExitCode.DONE
    if asked := extras_of(baseline.stages()):
        from diamond.fidelity.extras import check_extras

        check_extras(asked)
    folder = options.home / "studies" / sweep.name
    folder.mkdir(parents=True, exist_ok=True)
    with in_use(folder / RUNNING_NAME):
        return _run(sweep, work, options, address)


def _open(sweep: Sweep, options: Options, address: str, log: "Console") -> "SweepRun":
    """Open the storage and mark the folder; nothing is marked where the storage refuses."""
    from diamond.sweep.account import check_told
    from diamond.sweep.engine import SweepRun
    from diamond.sweep.ownership import Ledger
    from diamond.sweep.proposals import open_study
    from diamond.sweep.storage import open_storage, storage_errors
    from diamond.sweep.trial_runs import TrialTracking

    store, folder = Store(options.home), options.home / "studies" / sweep.name
    with Ledger(folder).asking():
        mark = check_sweep_folder(folder)
        # A journal in the home goes where the home goes; elsewhere, a copy is another home.
        owner = mark if is_inside(address, options.home) else f"{open_home(options.home).id} {mark}"
        with storage_errors("use", address):
            storage = open_storage(address)
            study = open_study(sweep, storage, owner)
            study_id = storage.get_study_id_from_name(sweep.name)
        begin_sweep(folder, sweep.path, mark)
    tracking = TrialTracking(sweep, store, options.tracking_uri, study_id)

    def news(text: str) -> None:
        log.print(text, soft_wrap=True)

    known, found = num_trials(read_entries(folder)), len(study.get_trials(deepcopy=False))
    if found < known:
        news(
            f"trials of {sweep.name} are lost: {hide_secrets(address)} has {found} of the {known} "
            "that ran before; the search goes on from those, on the stages that are there"
        )
    check_told(sweep, study, store, hide_secrets(address))
    return SweepRun(sweep, store, study, tracking, options.command, news, options.keep)


def _run(sweep: Sweep, work: SweepWork, options: Options, address: str) -> ExitCode:
    from diamond.cli.progress import doing
    from diamond.sweep.dashboard_note import note_sweep
    from diamond.sweep.search_result import sweep_result
    from diamond.sweep.storage import database_errors

    # One console: what is printed on another while progress is drawn is glued to its lines.
    log = console(stderr=True)
    run = _open(sweep, options, address, log)
    if sweep.checkpoint is not None:
        from diamond.weights.checkpoint_folders import adopt

        adopt(sweep.checkpoint, options.home)
    for line in override_lines(sweep.overrides):
        run.news(line)

    def report() -> "Result":
        with doing("writing report", log):
            found = sweep_result(run, address, options.home, options.tracking_uri)
            result = report_study(run.store, found, run.folder, options)
            note_sweep(run.study, result)
        return result

    run.tracking.thread.start()
    with database_errors("use", address):
        try:
            _search(run, work, options, log)
            result, confirmed = report(), ExitCode.DONE
            if work.confirm:
                confirmed = _confirm(run, result, options)
                result = report()
            trials = () if result.search is None else result.search.trials
            scored = any(trial.values for trial in trials)
            code = conclude(result, run.folder, not scored, run.tracking, log)
        finally:
            run.tracking.thread.stop()
    show(result, options)
    return code or confirmed


def _search(run: "SweepRun", work: SweepWork, options: Options, log: "Console") -> None:
    """Take over arms of other studies, then run trials."""
    from diamond.cli.progress import ProgressView
    from diamond.sweep.warm_start import add_arms

    for name in work.warm_start:
        found = add_arms(run, name)
        run.news(
            f"warm start from {name}: {len(found.added)} arms are trials now"
            + (f": {', '.join(found.added)}" if found.added else "")
        )
        for arm, why in found.left.items():
            run.news(f"  not {arm}: {why}")
    executor = leading(run.store, run.folder, run.names, options, log, may_grow=True)
    with ProgressView(run.names, log) as view:

        def on_tick() -> None:
            view.tick()
            run.tracking.thread.check()

        run.execute(executor, options.workers.jobs, view.show, on_tick)
    if run.turns.stopped:
        run.news(run.turns.stopped)


def _confirm(run: "SweepRun", result: "Result", options: Options) -> ExitCode:
    """Run the ablation that confirms the best of a sweep, once all trials are at their end."""
    from diamond.sweep.confirm import confirm_request
    from diamond.sweep.search_result import confirmed_points

    others = run.turns.others_at_work()
    if others:
        run.news(
            f"not confirmed yet: other commands still work on trials {', '.join(map(str, others))}"
            "; the same command confirms once they are done"
        )
        return ExitCode.DONE
    texts = confirmed_points(run.sweep, result)
    if not texts:
        run.news("nothing to confirm: no trial is better than the preset's own values")
        return ExitCode.DONE
    request = confirm_request(run.sweep, texts)
    run.news(f"confirms {', '.join(f'trial {number}' for number in texts)}: {request.name}")
    ablation = replace(options, as_json=False, retry_failed=True)
    with redirect_stdout(sys.stderr):
        return run_study(request, ablation)
