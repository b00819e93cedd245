"""The sweep's document: one plain value for JSON, page, terminal and tracking store."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from diamond.ablation.axes import find_axis
from diamond.config.base import canonical
from diamond.pipeline.notes import scoring_notes
from diamond.pipeline.provenance import code_version
from diamond.pipeline.scores import number
from diamond.pipeline.store import Store
from diamond.study import proposals
from diamond.study.addresses import default_storage
from diamond.study.confirm import MAX_CONFIRMED, command_of, confirm_request, confirmation
from diamond.study.declaration import Sweep
from diamond.study.engine import SweepRun
from diamond.study.front import Point, pareto_front, spread
from diamond.study.importance import importance_rows
from diamond.study.proposals import SOURCE
from diamond.study.scoring import trial_interval, trial_seconds
from diamond.study.space import plain_space, texts_of, values_of
from diamond.study.trials import (
    base_config,
    baseline_texts,
    first_stage,
    instances,
    trial_name,
    trial_plan,
)
from diamond.tracking.uris import hide_secrets

STATES: Mapping[TrialState, str] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def sweep_document(
    run: SweepRun, storage: str, home: Path, tracking_uri: str | None
) -> dict[str, Any]:
    """Gather everything that is known of a sweep; its summary is made where it is shown.

    Args:
        run: The sweep.
        storage: Address of Optuna's storage.
        home: The home.
        tracking_uri: MLflow tracking URI, None for the home's own.

    Returns:
        The document; docs/reference/result.md names its parts.
    """
    sweep, said = run.sweep, run.sweep.declaration
    trials = run.study.get_trials(deepcopy=False)
    rows = [_trial(sweep, run.store, trial) for trial in trials]
    points = [Point(r["number"], tuple(r["values"])) for r in rows if r["values"] and r["feasible"]]
    front = pareto_front(points, said.directions)
    config = base_config(sweep, said.games[0])
    return {
        "schema": 1,
        "kind": "sweep",
        "study": sweep.name,
        "question": said.question,
        "command": run.command,
        "file": str(sweep.path),
        "preset": said.preset,
        "games": list(said.games),
        "seeds": list(range(said.seeds)),
        "protocol": said.protocol,
        "until": said.until or "returns",
        "horizon": config.rollouts.horizon_steps,
        "sampler": {"name": said.sampler.name, "seed": said.sampler.seed},
        "pruner": None if said.pruner is None else _pruner(sweep),
        "budget": said.budget.model_dump(),
        "spent": {
            "trials": len(run.counted()),
            "hours": round(run.hours(), 4),
            "denoiser_calls": run.spent_calls(),
        },
        "space": _space(sweep),
        "objectives": [
            {
                "name": measure.name,
                "at": measure.at,
                "label": measure.label,
                "unit": measure.quantity.unit,
                "direction": aim,
            }
            for measure, aim in zip(said.measures, said.directions, strict=True)
        ],
        "constraints": [
            {
                "name": measure.name,
                "at": measure.at,
                "label": measure.label,
                "unit": measure.quantity.unit,
                "at_most": bound.at_most,
                "at_least": bound.at_least,
            }
            for measure, bound in zip(said.bounds, said.constraints, strict=True)
        ],
        "trials": rows,
        "baseline": _baseline(sweep, rows),
        "front": [point.number for point in front],
        "best": front[0].number if front and len(said.objectives) == 1 else None,
        "importance": [
            {"objective": index, "rows": found, "reason": reason}
            for index in range(len(said.objectives))
            for found, reason in (importance_rows(run.study, index),)
        ],
        "confirm": _confirm(run, front, rows, home, tracking_uri),
        "summary": "",
        "notes": _notes(run, rows),
        "provenance": {
            **code_version(),
            "device": _device(run.store, sweep, rows),
            "config": {game: canonical(base_config(sweep, game)) for game in said.games},
        },
        "paths": _paths(run, storage, home, tracking_uri),
    }


def confirmed_points(sweep: Sweep, document: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    """Text per axis of the trials that are to be confirmed, by number.

    The preset's own point is left out: it is what the others are held against.
    """
    trials = {trial["number"]: trial for trial in document["trials"]}
    front = [
        Point(number_, tuple(trials[number_]["values"]))
        for number_ in document["front"]
        if number_ != document["baseline"]["trial"]
    ]
    return _texts(sweep, spread(front, MAX_CONFIRMED), trials)


def _texts(
    sweep: Sweep, points: Sequence[Point], trials: Mapping[int, Mapping[str, Any]]
) -> dict[int, dict[str, str]]:
    space = sweep.declaration.parameters
    return {one.number: texts_of(space, trials[one.number]["params"]) for one in points}


def _space(sweep: Sweep) -> list[dict[str, Any]]:
    texts, space = baseline_texts(sweep), sweep.declaration.parameters
    return [
        row
        | {
            "baseline": texts[parameter.name],
            "in_range": parameter.read(texts[parameter.name]) is not None,
            "meaning": find_axis(parameter.name).meaning,
            "first_stage": first_stage(parameter),
        }
        for row, parameter in zip(plain_space(space), space, strict=True)
    ]


def _pruner(sweep: Sweep) -> dict[str, Any]:
    pruner = sweep.declaration.pruner
    assert pruner is not None
    what = "instances" if pruner.name == "wilcoxon" else "updates of the denoiser"
    return {"name": pruner.name, "at": list(pruner.at), "what": what}


def _trial(sweep: Sweep, store: Store, trial: FrozenTrial) -> dict[str, Any]:
    said = sweep.declaration
    texts = texts_of(said.parameters, trial.params)
    complete = trial.state == TrialState.COMPLETE
    seconds, stages, intervals = None, {}, None
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        plan = trial_plan(sweep, trial_name(trial.number), texts)
        seconds = round(trial_seconds(plan, store), 3)
        stages = {spec.stage: spec.key for spec in instances(plan)[0].stages}
        if complete:
            intervals = [
                None
                if (found := trial_interval(plan, store, measure)) is None
                else {"lo": number(found.lo), "hi": number(found.hi)}
                for measure in said.measures
            ]
    kept = list(trial.constraints.values())
    return {
        "number": trial.number,
        "name": trial_name(trial.number),
        "state": STATES[trial.state],
        "source": str(trial.user_attrs.get(SOURCE, proposals.SAMPLED)),
        "params": {p.name: trial.params[p.name] for p in said.parameters if p.name in trial.params},
        "values": list(trial.values) if complete else None,
        "intervals": intervals,
        "constraints": kept if complete and said.constraints else None,
        "feasible": complete and all(value <= 0 for value in kept),
        "intermediate": {str(step): v for step, v in trial.intermediate_values.items()},
        "attempts": int(trial.user_attrs.get(proposals.ATTEMPTS, 1)),
        "error": trial.user_attrs.get(proposals.ERROR),
        "seconds": seconds,
        "mlflow_run": trial.user_attrs.get(proposals.MLFLOW_RUN),
        "stages": stages,
    }


def _baseline(sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The trial that has the preset's values."""
    said = sweep.declaration
    point = values_of(said.parameters, baseline_texts(sweep)) or {}
    texts = texts_of(said.parameters, point)
    for row in rows:
        if texts and row["values"] and texts_of(said.parameters, row["params"]) == texts:
            return {"trial": row["number"], "values": row["values"]}
    return {"trial": None, "values": None}


def _confirm(
    run: SweepRun,
    front: Sequence[Point],
    rows: Sequence[Mapping[str, Any]],
    home: Path,
    tracking_uri: str | None,
) -> dict[str, Any] | None:
    """How the best of a sweep is confirmed, and what that said; None where nothing is better."""
    sweep = run.sweep
    baseline = _baseline(sweep, rows)["trial"]
    trials = {row["number"]: row for row in rows}
    chosen = spread([point for point in front if point.number != baseline], MAX_CONFIRMED)
    if not chosen:
        return None
    texts = _texts(sweep, chosen, trials)
    request = confirm_request(sweep, texts)
    return {
        "command": command_of(request, home, tracking_uri),
        "study": request.name,
        "trials": list(texts),
        "arms": ["baseline", *(trial_name(number_) for number_ in texts)],
        "result": confirmation(sweep, request, run.store, texts),
    }


def _notes(run: SweepRun, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of how trials were scored and chosen."""
    sweep, said = run.sweep, run.sweep.declaration
    notes = [
        "The best of many trials is too good by chance: it was chosen for its value on these "
        "starts. Its value elsewhere is what a confirmation gives."
    ]
    if run.stopped:
        notes.append(f"No further trial is begun: {run.stopped}.")
    outside = [row["name"] for row in _space(sweep) if not row["in_range"]]
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
    warm = [row for row in rows if row["source"].startswith(proposals.WARM)]
    if warm:
        notes.append(f"{len(warm)} trials are arms of other studies; the budget leaves them out.")
    complete = next((row for row in rows if row["values"]), None)
    if complete is not None:
        texts = texts_of(said.parameters, complete["params"])
        notes += scoring_notes(trial_plan(sweep, complete["name"], texts))
    return notes


def _device(store: Store, sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> str | None:
    found = set()
    for row in rows:
        for stage, key in row["stages"].items():
            manifest = store.manifest(stage, key)
            if manifest and manifest["device"]:
                found.add(manifest["device"])
    return ", ".join(sorted(found)) or None


def _paths(run: SweepRun, storage: str, home: Path, tracking_uri: str | None) -> dict[str, Any]:
    where = [] if home == Path("mlruns").absolute() else ["--home", str(home)]
    tracking = [] if tracking_uri is None else ["--tracking-uri", hide_secrets(tracking_uri)]
    is_own = storage == default_storage(home)
    own_storage = [] if is_own else ["--storage", hide_secrets(storage)]
    return {
        "home": str(home),
        "report_html": str(run.folder / "report.html"),
        "report_md": str(run.folder / "report.md"),
        "report_json": str(run.folder / "report.json"),
        "storage": hide_secrets(storage),
        "dashboard_command": shlex.join(["diamond", "ui", "--studies", *where, *own_storage]),
        "mlflow_command": shlex.join(["diamond", "ui", *where, *tracking]),
    }
