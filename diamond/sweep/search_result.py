"""The result of a sweep: for JSON, page, terminal and tracking store."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from diamond.config.base import canonical
from diamond.engine.provenance import made_on, provenance
from diamond.engine.store import Store
from diamond.findings.reader_notes import scoring_notes
from diamond.plan.find_axis import find_axis
from diamond.plan.plan import Plan
from diamond.results.arm_model import Machine, are_several_kinds
from diamond.results.model import Places, Result
from diamond.results.search import (
    INSTANCES,
    Bounds,
    Budget,
    Confirm,
    Constraint,
    Objective,
    Parameter,
    Preset,
    Pruner,
    Sampler,
    Search,
    Trial,
    When,
)
from diamond.results.search import TrialState as TrialEnd
from diamond.sweep import proposals
from diamond.sweep.addresses import default_storage
from diamond.sweep.confirm import MAX_CONFIRMED, command_of, confirm_request, confirmation
from diamond.sweep.declaration import Sweep
from diamond.sweep.engine import SweepRun
from diamond.sweep.front import Point, pareto_front, spread
from diamond.sweep.importance import importance_of
from diamond.sweep.objectives import Measure
from diamond.sweep.proposals import SOURCE
from diamond.sweep.space import texts_of, values_of
from diamond.sweep.trial_values import trial_interval, trial_seconds
from diamond.sweep.trials import (
    base_config,
    baseline_texts,
    first_stage,
    instances,
    trial_name,
    trial_plan,
)
from diamond.tracking.uris import hide_secrets

STATES: Mapping[TrialState, TrialEnd] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def sweep_result(run: SweepRun, storage: str, home: Path, tracking_uri: str | None) -> Result:
    """Gather everything that is known of a sweep.

    Args:
        run: The sweep.
        storage: Address of Optuna's storage.
        home: The home.
        tracking_uri: MLflow tracking URI, None for the home's own.

    Returns:
        The result, its summary empty: what is shown makes it.
    """
    sweep, said = run.sweep, run.sweep.declaration
    search = _search(run, home, tracking_uri)
    machines = _machines(run.store, search.trials)
    return Result(
        study=sweep.name,
        question=said.question,
        command=run.command,
        preset=str(said.preset),
        games=said.games,
        seeds=tuple(range(said.seeds)),
        protocol=said.protocol,
        until=said.until or "returns",
        design="search",
        horizon=base_config(sweep, said.games[0]).rollouts.horizon_steps,
        search=search,
        notes=(*_notes(run, search.trials), *machine_notes(machines)),
        provenance=provenance(
            ", ".join(sorted({one.device for one in machines})) or None,
            {game: canonical(base_config(sweep, game)) for game in said.games},
        ),
        paths=_paths(run, storage, home, tracking_uri),
    )


def _search(run: SweepRun, home: Path, tracking_uri: str | None) -> Search:
    sweep, said = run.sweep, run.sweep.declaration
    trials = tuple(
        _trial(sweep, run.store, trial) for trial in run.study.get_trials(deepcopy=False)
    )
    front = pareto_front(_points(t for t in trials if t.feasible), said.directions)
    baseline = _baseline(sweep, trials)
    importance = [importance_of(run.study, index) for index in range(len(said.objectives))]
    return Search(
        file=str(sweep.path),
        sampler=Sampler(name=said.sampler.name, seed=said.sampler.seed),
        pruner=_pruner(sweep),
        budget=Budget(**said.budget.model_dump()),
        spent=Budget(
            trials=len(run.turns.counted()),
            hours=round(run.turns.hours(), 4),
            denoiser_calls=run.turns.spent_calls(),
        ),
        space=_space(sweep),
        objectives=tuple(
            Objective(
                name=measure.name,
                at=measure.at,
                label=measure.label,
                unit=measure.quantity.unit,
                direction=aim,
            )
            for measure, aim in zip(said.measures, said.directions, strict=True)
        ),
        constraints=tuple(
            Constraint(
                name=measure.name,
                at=measure.at,
                label=measure.label,
                unit=measure.quantity.unit,
                at_most=bound.at_most,
                at_least=bound.at_least,
            )
            for measure, bound in zip(said.bounds, said.constraints, strict=True)
        ),
        trials=trials,
        baseline=baseline,
        front=tuple(point.number for point in front),
        best=front[0].number if front and len(said.objectives) == 1 else None,
        importance=tuple(importance),
        confirm=_confirm(run, _texts(sweep, _chosen(front, baseline), trials), home, tracking_uri),
    )


def confirmed_points(sweep: Sweep, result: Result) -> dict[int, dict[str, str]]:
    """Text per axis of the trials that are to be confirmed, by number.

    The preset's own point is left out: it is what the others are held against.
    """
    search = result.search
    assert search is not None, "a sweep has trials"
    front = _points(search.trial(number) for number in search.front)
    return _texts(sweep, _chosen(front, search.baseline), search.trials)


def _points(trials: Iterable[Trial]) -> list[Point]:
    return [Point(trial.number, trial.values) for trial in trials if trial.values]


def _chosen(front: Sequence[Point], baseline: Preset) -> list[Point]:
    return spread([point for point in front if point.number != baseline.trial], MAX_CONFIRMED)


def _texts(
    sweep: Sweep, points: Sequence[Point], trials: Sequence[Trial]
) -> dict[int, dict[str, str]]:
    space, params = sweep.declaration.parameters, {one.number: one.params for one in trials}
    return {one.number: texts_of(space, params[one.number]) for one in points}


def _space(sweep: Sweep) -> tuple[Parameter, ...]:
    texts, space = baseline_texts(sweep), sweep.declaration.parameters
    return tuple(
        Parameter(
            name=p.name,
            kind=p.kind,
            low=None if p.kind == "categorical" else p.low,
            high=None if p.kind == "categorical" else p.high,
            step=p.step,
            log=p.log,
            choices=tuple(p.choices) if p.kind == "categorical" else None,
            when=None if p.when is None else When(name=p.when.name, values=tuple(p.when.values)),
            baseline=texts.get(p.name, "none"),
            in_range=p.name in texts and p.read(texts[p.name]) is not None,
            meaning=find_axis(p.name).meaning,
            first_stage=first_stage(p),
        )
        for p in space
    )


def _pruner(sweep: Sweep) -> Pruner | None:
    pruner = sweep.declaration.pruner
    if pruner is None:
        return None
    what = INSTANCES if pruner.name == "wilcoxon" else "updates of the denoiser"
    return Pruner(name=pruner.name, at=tuple(pruner.at), what=what)


def _trial(sweep: Sweep, store: Store, trial: FrozenTrial) -> Trial:
    said = sweep.declaration
    texts = texts_of(said.parameters, trial.params)
    complete = trial.state == TrialState.COMPLETE
    seconds: float | None = None
    stages: dict[str, str] = {}
    intervals: tuple[Bounds | None, ...] = ()
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        plan = trial_plan(sweep, trial_name(trial.number), texts)
        seconds = round(trial_seconds(plan, store), 3)
        stages = {spec.stage: spec.key for spec in instances(plan)[0].stages}
        if complete:
            intervals = tuple(_bounds(plan, store, measure) for measure in said.measures)
    kept = tuple(trial.constraints.values())
    return Trial(
        number=trial.number,
        name=trial_name(trial.number),
        state=STATES[trial.state],
        source=str(trial.user_attrs.get(SOURCE, proposals.SAMPLED)),
        params={p.name: trial.params[p.name] for p in said.parameters if p.name in trial.params},
        values=tuple(trial.values) if complete else (),
        intervals=intervals,
        constraints=kept if complete and said.constraints else (),
        feasible=complete and all(value <= 0 for value in kept),
        intermediate=trial.intermediate_values,
        attempts=int(trial.user_attrs.get(proposals.ATTEMPTS, 1)),
        error=trial.user_attrs.get(proposals.ERROR),
        seconds=seconds,
        mlflow_run=trial.user_attrs.get(proposals.MLFLOW_RUN),
        stages=stages,
    )


def _bounds(plan: Plan, store: Store, measure: Measure) -> Bounds | None:
    found = trial_interval(plan, store, measure)
    if found is None or math.isnan(found.lo + found.hi):
        return None
    return Bounds(lo=found.lo, hi=found.hi)


def _baseline(sweep: Sweep, trials: Sequence[Trial]) -> Preset:
    """The trial that has the preset's values."""
    said = sweep.declaration
    point = values_of(said.parameters, baseline_texts(sweep)) or {}
    texts = texts_of(said.parameters, point)
    for trial in trials:
        if texts and trial.values and texts_of(said.parameters, trial.params) == texts:
            return Preset(trial=trial.number, values=trial.values)
    return Preset()


def _confirm(
    run: SweepRun, texts: Mapping[int, Mapping[str, str]], home: Path, tracking_uri: str | None
) -> Confirm | None:
    """How the best of a sweep is confirmed, and what that said; None where nothing is better."""
    if not texts:
        return None
    request = confirm_request(run.sweep, texts)
    return Confirm(
        command=command_of(request, home, tracking_uri),
        study=str(request.name),
        trials=tuple(texts),
        arms=("baseline", *(trial_name(number) for number in texts)),
        result=confirmation(run.sweep, request, run.store, texts),
    )


def _notes(run: SweepRun, trials: Sequence[Trial]) -> tuple[str, ...]:
    """What a reader must know of how trials were scored and chosen."""
    sweep, said = run.sweep, run.sweep.declaration
    notes = [
        "The best of many trials is too good by chance: it was chosen for its value on these "
        "starts. Its value elsewhere is what a confirmation gives."
    ]
    if run.turns.stopped:
        notes.append(f"No further trial is begun: {run.turns.stopped}.")
    outside = [parameter.name for parameter in _space(sweep) if not parameter.in_range]
    if outside and said.baseline:
        notes.append(
            f"The preset's own value of {', '.join(outside)} lies outside the space: there is no "
            "baseline trial."
        )
    played = [m.quantity.label for m in said.measures if m.quantity.origin == "return"]
    if played:
        notes.append(
            f"{' and '.join(played)}: search and confirmation play the same episodes of the real "
            "game (no-ops and draws of actions); training seeds are fresh in the confirmation."
        )
    warm = [trial for trial in trials if trial.source.startswith(proposals.WARM)]
    if warm:
        notes.append(f"{len(warm)} trials are arms of other studies; the budget leaves them out.")
    complete = next((trial for trial in trials if trial.values), None)
    if complete is not None:
        texts = texts_of(said.parameters, complete.params)
        notes += scoring_notes(trial_plan(sweep, complete.name, texts))
    return tuple(notes)


def _machines(store: Store, trials: Sequence[Trial]) -> set[Machine]:
    """What the stages of all trials were made on."""
    stages = {stage for trial in trials for stage in trial.stages.items()}
    found = (made_on(store.manifest(*stage)) for stage in stages)
    return {one for one in found if one is not None}


def machine_notes(machines: Set[Machine]) -> list[str]:
    """What a reader of trials must know of the machines that made them."""
    if not are_several_kinds(machines):
        return []
    kinds = ", ".join(sorted({one.kind for one in machines}))
    return [
        f"Trials were made on several kinds of machines ({kinds}): single frames may differ by "
        "rounding alone, and times do not compare."
    ]


def _paths(run: SweepRun, storage: str, home: Path, tracking_uri: str | None) -> Places:
    where = [] if home == Path("mlruns").absolute() else ["--home", str(home)]
    tracking = [] if tracking_uri is None else ["--tracking-uri", hide_secrets(tracking_uri)]
    is_own = storage == default_storage(home)
    own_storage = [] if is_own else ["--storage", hide_secrets(storage)]
    return Places(
        home=str(home),
        report_html=str(run.folder / "report.html"),
        report_md=str(run.folder / "report.md"),
        report_json=str(run.folder / "report.json"),
        storage=hide_secrets(storage),
        dashboard_command=shlex.join(["diamond", "ui", "--studies", *where, *own_storage]),
        mlflow_command=shlex.join(["diamond", "ui", *where, *tracking]),
    )
