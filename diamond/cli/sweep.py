"""`diamond sweep`: from a declared space to trials, page, table and runs in the tracking store."""

import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import typer

from diamond.cli.ablate import Options, check_name, run_study, uploaded
from diamond.cli.declaration_options import override_lines
from diamond.cli.documents import print_document
from diamond.cli.interrupt import resumable
from diamond.cli.options import say_tracking
from diamond.cli.plan_table import duration_text
from diamond.cli.widths import console, table_lines, text_width, wrapper
from diamond.engine.devices import Workers
from diamond.engine.files import in_use
from diamond.engine.home import open_home
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.plan_duration import Estimate
from diamond.engine.store import Store
from diamond.engine.study_history import (
    RUNNING_NAME,
    begin_sweep,
    check_sweep_folder,
    read_entries,
)
from diamond.errors import ExitCode, RequestError
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import extras_of
from diamond.stages.registry import find_stage_record
from diamond.sweep.addresses import (
    check_shared_home,
    default_storage,
    is_inside,
    storage_address,
)
from diamond.sweep.declaration import Sweep
from diamond.sweep.space import condition_text, range_text, texts_of
from diamond.sweep.trials import (
    baseline_texts,
    check_sweep,
    first_stage,
    instances,
    num_trials,
    trial_plan,
)
from diamond.tracking.uris import absolute_uri, default_uri, hide_secrets

if TYPE_CHECKING:
    from diamond.results.model import Result
    from diamond.sweep.engine import SweepRun
    from diamond.tracking.mlflow_records import TrackedStudy


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
    check_name(sweep.name)
    absolute_uri(options.tracking_uri or default_uri(options.home))
    say_tracking(options.home, options.tracking_uri)
    check_shared_home(options.home, options.tracking_uri)
    store = Store(options.home)
    if options.dry_run:
        show_space(sweep, baseline, store, options.workers, sys.stdout)
        return ExitCode.DONE
    store.check_writable()
    if asked := extras_of(baseline.stages()):
        from diamond.fidelity.extras import check_extras

        check_extras(asked)
    folder = options.home / "studies" / sweep.name
    folder.mkdir(parents=True, exist_ok=True)
    with in_use(folder / RUNNING_NAME):
        return _run(sweep, work, options, address)


def _open(sweep: Sweep, options: Options, address: str) -> "SweepRun":
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
    log = console(stderr=True)

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
    from diamond.cli.result_view import show_result
    from diamond.sweep.storage import database_errors

    run = _open(sweep, options, address)
    if sweep.checkpoint is not None:
        from diamond.weights.checkpoint_folders import adopt

        adopt(sweep.checkpoint, options.home)
    for line in override_lines(sweep.overrides):
        run.news(line)
    run.tracking.start()
    with database_errors("use", address):
        try:
            _search(run, work, options)
            result = report_sweep(run, _result(run, address, options))
            confirmed = ExitCode.DONE
            if work.confirm:
                confirmed = _confirm(run, result, options)
                result = report_sweep(run, _result(run, address, options))
            _show_in_store(run, result)
        finally:
            run.tracking.stop()
    if options.as_json:
        print_document(result)
    else:
        show_result(result)
    assert result.search is not None, "a sweep has trials"
    return confirmed if any(t.values for t in result.search.trials) else ExitCode.RUN_FAILED


def _search(run: "SweepRun", work: SweepWork, options: Options) -> None:
    """Take over arms of other studies, then run trials."""
    from diamond.cli.progress import ProgressView
    from diamond.engine.executor import LocalExecutor
    from diamond.sweep.warm_start import add_arms

    for name in work.warm_start:
        found = add_arms(run, name)
        run.news(
            f"warm start from {name}: {len(found.added)} arms are trials now"
            + (f": {', '.join(found.added)}" if found.added else "")
        )
        for arm, why in found.left.items():
            run.news(f"  not {arm}: {why}")
    executor = LocalExecutor(options.home, options.workers)
    with ProgressView(run.names, console(stderr=True)) as view:
        run.execute(executor, options.workers.jobs, view.show, run.tracking.check)
    if run.stopped:
        run.news(run.stopped)


def _confirm(run: "SweepRun", result: "Result", options: Options) -> ExitCode:
    """Run the ablation that confirms the best of a sweep, once all trials are at their end."""
    from diamond.sweep.confirm import confirm_request
    from diamond.sweep.search_result import confirmed_points

    others = run.others_at_work()
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
    ablation = Options(
        home=options.home,
        workers=options.workers,
        dry_run=False,
        as_json=False,
        tracking_uri=options.tracking_uri,
        command=options.command,
        retry_failed=True,
        keep=options.keep,
    )
    with redirect_stdout(sys.stderr):
        return run_study(request, ablation)


def _result(run: "SweepRun", address: str, options: Options) -> "Result":
    from diamond.report.summary import summarise
    from diamond.sweep.search_result import sweep_result

    result = sweep_result(run, address, options.home, options.tracking_uri)
    return result.model_copy(update={"summary": summarise(result)})


def report_sweep(run: "SweepRun", result: "Result") -> "Result":
    """Write the page and the document of a sweep; returns the result with what was written."""
    from diamond.engine.report_file import write_result
    from diamond.report.page import write_report

    files = dict(write_report(result, (), run.folder).digests)
    result = result.model_copy(update={"files": files})
    write_result(run.folder / REPORT_FILE, result)
    return result


def _show_in_store(run: "SweepRun", result: "Result") -> None:
    """Show the study with its files in the tracking store."""
    artifacts = uploaded(result, run.folder)

    def study(experiment_id: str, run_id: str) -> "TrackedStudy":
        from diamond.sweep.trial_runs import tracked_sweep

        return tracked_sweep(result, artifacts, experiment_id, run_id)

    run.tracking.finish(study)


def show_space(sweep: Sweep, baseline: Plan, store: Store, workers: Workers, out: TextIO) -> None:
    """Print what is searched, for what, and what a trial costs; nothing is made."""
    said = sweep.declaration
    width = text_width(out)
    title = f"sweep {sweep.name}"
    head = wrapper(width).fill(
        f"{title}  preset {said.preset}  protocol {said.protocol}  "
        f"games {', '.join(said.games)}  seeds {said.seeds}"
    )
    typer.echo(head.replace(title, typer.style(title, bold=True), 1), out)
    declared = f"declared in {sweep.path}: {said.question}"
    for line in [declared, *override_lines(sweep.overrides)]:
        typer.echo(wrapper(width).fill(line), out)
    texts = baseline_texts(sweep)
    rows = [("parameter", "values", "preset's", "first stage")]
    for parameter in said.parameters:
        condition = condition_text(parameter)
        values = range_text(parameter) + (f" ({condition})" if condition else "")
        own = texts.get(parameter.name, "none")
        rows.append((parameter.name, values, own, first_stage(parameter)))
    typer.echo(file=out)
    for line in table_lines(rows, width, folded=1):
        typer.echo(line, out)
    typer.echo(file=out)
    for line in [*_aims(sweep), *_costs(sweep, baseline, store, workers.device)]:
        typer.echo(wrapper(width).fill(line), out)


def _aims(sweep: Sweep) -> list[str]:
    said = sweep.declaration
    lines = [
        f"{aim} {measure.label} ({measure.name})"
        for measure, aim in zip(said.measures, said.directions, strict=True)
    ]
    for bound, measure in zip(said.constraints, said.bounds, strict=True):
        limit = f"at most {bound.at_most:g}" if bound.at_most is not None else ""
        limit = limit or f"at least {bound.at_least:g}"
        lines.append(f"kept: {measure.label} ({measure.name}) {limit}")
    pruner: str = "none" if said.pruner is None else said.pruner.name
    if said.pruner is not None and said.pruner.at:
        pruner += f" at {', '.join(map(str, said.pruner.at))} updates"
    budget = {name: value for name, value in said.budget.model_dump().items() if value is not None}
    shown = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in budget.items())
    lines.append(
        f"sampler {said.sampler.name}; pruner {pruner}; budget {shown or 'the whole grid'}"
    )
    return lines


def _costs(sweep: Sweep, baseline: Plan, store: Store, device: str) -> list[str]:
    """Core time of a trial, at the preset's values and with each parameter at its ends."""
    plans = [baseline, *_end_plans(sweep)]
    stages = [{spec.key: spec for run in instances(plan) for spec in run.stages} for plan in plans]
    shared = set.intersection(*(set(found) for found in stages))
    estimates = [Estimate(plan, store, device) for plan in plans]
    seconds = [
        sum(estimate.seconds(spec) for key, spec in found.items() if key not in shared)
        for estimate, found in zip(estimates, stages, strict=True)
    ]
    once = sum(
        estimates[0].seconds(spec)
        for spec in baseline.stages()
        if store.status(spec) != "done" and spec.key not in stages[0].keys() - shared
    )
    lines = [
        f"a trial takes about {duration_text(seconds[0])} of core time at the preset's values, "
        f"{duration_text(min(seconds))} to {duration_text(max(seconds))} with one value at an end"
    ]
    trained = {
        key
        for key, spec in stages[0].items()
        if find_stage_record(spec.stage, spec.config.get("family", "")).is_trained
    }
    if trained <= shared:
        lines.append("all trials sample from the same trained networks: nothing is trained again")
    if once >= 1:
        lines.append(f"once, for all trials: {duration_text(once)} of core time")
    trials = sweep.declaration.budget.trials
    if trials is not None:
        total = once + trials * sum(seconds) / len(seconds)
        lines.append(f"{trials} trials: roughly {duration_text(total)} of core time")
    return lines


def _end_plans(sweep: Sweep) -> list[Plan]:
    """Plans with one parameter at an end and the others at the preset's values."""
    space, texts = sweep.declaration.parameters, baseline_texts(sweep)
    here = [parameter for parameter in space if parameter.name in texts]
    known = {p.name: value for p in here if (value := p.read(texts[p.name])) is not None}
    plans = []
    for parameter in space:
        if parameter.when is not None:
            continue
        for value in parameter.ends():
            chosen = known | {parameter.name: value}
            # A value that is not allowed beside the preset's others is the end of no trial.
            with suppress(RequestError):
                plans.append(trial_plan(sweep, "end", texts_of(space, chosen)))
    return plans
