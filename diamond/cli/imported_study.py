"""A study that was imported: its report and its runs in MLflow, as if all of it was made here."""

from pathlib import Path

from diamond.cli.options import given_command, say_tracking
from diamond.cli.reading.report import write_again
from diamond.cli.result_view import show_result
from diamond.cli.study_command import Options, conclude, report_study
from diamond.cli.widths import console
from diamond.engine.devices import Workers
from diamond.engine.files import in_use
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME
from diamond.findings.ablation_result import build_result, same_results
from diamond.findings.store_view import SeenStore
from diamond.plan.plan import Plan
from diamond.studies.frame_retention import dropped_note
from diamond.studies.import_study import Received, import_study
from diamond.studies.run_study import StudyRun, Tracking, failures
from diamond.studies.study_list import named_study, report_of
from diamond.tracking.uris import absolute_uri, default_uri


def import_and_show(file: Path, home: Path, tracking_uri: str | None) -> None:
    """Import a study, write its report, show it in the tracking store.

    Raises:
        DiamondError: The file, the home or the tracking store cannot be used, or file and home
            disagree.
    """
    absolute_uri(tracking_uri or default_uri(home))
    store, out = Store(home), console()
    received = import_study(store, file, _bring_trials)
    out.print(
        f"study {received.study}: {received.num_new} stages are new, {received.num_known} were "
        "there already",
        soft_wrap=True,
    )
    if received.plan is None:
        if (home / "studies" / received.study / REPORT_FILE).exists():
            write_again(home, received.study, None)
        out.print("its trials are in `diamond ui --studies`; MLflow shows none of them")
        return
    say_tracking(home, tracking_uri)
    options = Options(home, Workers(1), False, False, tracking_uri, given_command())
    _report_and_track(received, received.plan, store, options)


def _bring_trials(home: Path, study: str, journal: Path) -> None:
    """Bring the trials of a sweep; Optuna is loaded for a sweep alone."""
    from diamond.sweep.trial_archive import bring_trials

    bring_trials(home, study, journal)


def _report_and_track(received: Received, plan: Plan, store: Store, options: Options) -> None:
    study = StudyRun(plan, store, received.command)
    everything = plan.stages()
    with in_use(study.folder / RUNNING_NAME):
        seen = SeenStore(store.home)
        result = build_result(
            plan,
            seen,
            failures(seen, everything),
            frozenset(),
            0.0,
            received.command,
            frozenset(spec.key for spec in everything),
        )
        notes = (*result.notes, *dropped_note(plan, seen))
        old = report_of(named_study(store, received.study))
        if old is not None and same_results(old, old.model_copy(update={"arms": result.arms})):
            result = old
        else:
            result = result.model_copy(update={"notes": notes})
            result = report_study(store, result, study.folder, options)
        tracking, log = Tracking(study, options.tracking_uri), console(stderr=True)
        conclude(result, study.folder, False, tracking, log)
    show_result(result)
