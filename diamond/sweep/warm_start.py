"""Finished arms of other studies as trials of a sweep, so that it learns from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import create_trial
from pydantic import ValidationError

from diamond.config.base import canonical
from diamond.config.run import RunConfig
from diamond.engine.study_history import record_plan
from diamond.errors import RequestError
from diamond.plan.plan import Plan
from diamond.plan.variants import current_texts
from diamond.studies.study_list import named_study
from diamond.sweep.declaration import Sweep
from diamond.sweep.engine import SweepRun
from diamond.sweep.ownership import Ledger
from diamond.sweep.proposals import (
    ATTEMPTS,
    MLFLOW_LINK,
    MLFLOW_RUN,
    SOURCE,
    WARM,
    distributions,
    points_equal,
    quiet,
)
from diamond.sweep.space import Value, texts_of, values_of
from diamond.sweep.trial_runs import TrialState
from diamond.sweep.trial_values import run_value, trial_value, violations
from diamond.sweep.trials import instances, own_arms, trial_name, trial_plan


@dataclass(frozen=True)
class WarmStart:
    """What became of the arms of a study.

    Attributes:
        added: Names of the arms that are trials now.
        left: Why each of the others is not.
    """

    added: tuple[str, ...]
    left: Mapping[str, str]


def add_arms(run: SweepRun, source: str) -> WarmStart:
    """Add the finished arms of a study to a sweep.

    An arm is added where its values are a point of the space, everything else about it is what
    the sweep's trials share, and its runs are scored on the sweep's games and seeds.

    Args:
        run: The sweep; its tracking is under way.
        source: Name of the other study.

    Raises:
        RequestError: There is no such study in the home.
        StoreError: Its plans are lost, or runs cannot be tracked.
    """
    added, left = [], {}
    arms: dict[str, dict[str, Any]] = {}
    for entry in named_study(run.store, source).entries:
        for name, config in entry["arms"].items():
            arm, _, game = name.rpartition(" | ")
            arms.setdefault(arm, {})[game] = config
    with Ledger(run.folder).asking():
        for name, configs in arms.items():
            why = _add(run, f"{WARM}: {source}, {name}", configs)
            if why is None:
                added.append(name)
            else:
                left[name] = why
    return WarmStart(tuple(added), left)


def _add(run: SweepRun, source: str, configs: Mapping[str, Any]) -> str | None:
    """Add one arm; why not, None where it is a trial now."""
    said, trials = run.sweep.declaration, run.study.get_trials(deepcopy=False)
    missing = [game for game in said.games if game not in configs]
    if missing:
        return f"it has no {missing[0]}"
    point = _point(run.sweep, configs)
    if isinstance(point, str):
        return point
    if any(points_equal(trial.params, point) for trial in trials):
        return "a trial has these values already"
    texts = texts_of(said.parameters, point)
    try:
        plan = trial_plan(run.sweep, trial_name(len(trials)), texts)
    except RequestError as error:
        return " ".join(str(error).split())
    for arm in own_arms(plan):
        if _identity(canonical(arm.runs[0].config)) != _identity(configs[arm.game]):
            return "it differs from this sweep's trials in more than the searched values"
    runs = instances(plan)
    values = {m.name: trial_value(plan, runs, run.store, m) for m in said.measures}
    bounds = [trial_value(plan, runs, run.store, measure) for measure in said.bounds]
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < len(values) or None in bounds:
        return f"it is not scored on seeds 0 to {said.seeds - 1}, or a baseline is not"
    shown = TrialState(len(trials), plan, texts, source, known, "FINISHED")
    run_id, link = run.tracking.show(shown).result()
    record_plan(plan, run.folder, run.command)
    with quiet():
        trial = create_trial(
            state=optuna.trial.TrialState.COMPLETE,
            params=dict(point),
            distributions=distributions(said.parameters, point),
            values=list(known.values()),
            intermediate_values=_instances(run, plan),
            user_attrs={SOURCE: source, ATTEMPTS: 1, MLFLOW_RUN: run_id, MLFLOW_LINK: link},
        )
        for name, violation in violations(run.sweep, bounds).items():
            trial.set_constraint(name, violation)
        run.study.add_trial(trial)
    return None


def _instances(run: SweepRun, plan: Plan) -> dict[int, float]:
    """What the pruner wilcoxon would have been told on the way; empty for the others."""
    said = run.sweep.declaration
    if said.pruner is None or said.pruner.name != "wilcoxon":
        return {}
    values = [run_value(plan, one, run.store, said.measures[0]) for one in instances(plan)]
    return {number: value for number, value in enumerate(values) if value is not None}


def _point(sweep: Sweep, configs: Mapping[str, Any]) -> dict[str, Value] | str:
    """The point of the space that an arm is, or why it is none."""
    said = sweep.declaration
    try:
        config = RunConfig.model_validate(configs[said.games[0]])
    except ValidationError:
        return "another version planned it"
    texts = current_texts((parameter.name for parameter in said.parameters), config)
    point = values_of(said.parameters, texts)
    if point is None:
        return "its values lie outside the space"
    return point


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config without its seed, as it is written down."""
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return plain | {"seed": None}
