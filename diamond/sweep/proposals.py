"""From a declared sweep to Optuna: its study, its samplers and pruners, and what a trial is asked.

A sampler is made anew for each proposal, with a seed of its own: a sweep that was interrupted, and
several processes on one storage, go on as one.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import assert_never

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner, WilcoxonPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from diamond.errors import RequestError
from diamond.seeds import Purpose, derive
from diamond.sweep.declaration import Sweep
from diamond.sweep.declared_sweep import SweepDeclaration
from diamond.sweep.space import Parameter, Space, Value, grid_of, is_asked
from diamond.sweep.trials import identity_of

IDENTITY = "diamond.identity"
"""Attribute of a study: what its trials agree on."""
MARK = "diamond.home"
"""Attribute of a study: the mark of the folder in which trials are claimed, with its home's id
where the storage lies outside the home."""
SOURCE = "diamond.source"
"""Attribute of a trial: sampled, baseline, or a warm start from an arm."""
ATTEMPTS = "diamond.attempts"
ERROR = "diamond.error"
CALLS = "diamond.denoiser_calls"
MADE = "diamond.made"
"""Attribute of a trial: what was made for it, with its denoiser calls, by stage key."""
TO_MAKE = "diamond.to_make"
"""Attribute of a trial: keys of the stages that were not there when it began."""
MLFLOW_RUN = "mlflow.run_id"
MLFLOW_LINK = "mlflow.link"
SAMPLED, BASELINE, WARM = "sampled", "baseline", "warm start"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep from the user what Optuna remarks on parts that the user did not choose.

    That they are experimental, and that a parameter is asked for in few trials: a bootstrap draws
    such samples, and its interval says so.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
        yield


def open_study(sweep: Sweep, storage: BaseStorage, mark: str = "") -> optuna.Study:
    """The study of a sweep, made where it is missing.

    Args:
        sweep: The sweep.
        storage: Where studies are kept.
        mark: That of the sweep's folder: claims on trials are there.

    Raises:
        RequestError: A study of this name was something else, or belongs to another home.
    """
    said = sweep.declaration
    with quiet():
        study = optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            directions=list(said.directions),
            load_if_exists=True,
            sampler=RandomSampler(),
            pruner=make_pruner(said),
        )
        identity = identity_of(sweep)
        known, owner = study.user_attrs.get(IDENTITY), study.user_attrs.get(MARK)
        if known is None:
            study.set_user_attr(IDENTITY, identity)
            study.set_user_attr(MARK, mark)
            study.set_user_attr("diamond.question", said.question)
            study.set_metric_names([measure.name for measure in said.measures])
    if owner not in (None, mark):
        raise RequestError(
            f"the study {sweep.name!r} of this storage belongs to another home: who works on which "
            "trial is written down there\n  give --home of that one, or this sweep another name, "
            f"for instance --name {sweep.name}-2"
        )
    if known not in (None, identity):
        raise RequestError(
            f"the study {sweep.name!r} had another space, other objectives or other settings\n"
            "  its trials cannot be compared with new ones: give this sweep another name with "
            f"--name, for instance --name {sweep.name}-2"
        )
    return study


def make_sampler(said: SweepDeclaration, num_trials: int) -> BaseSampler:
    """The sampler for the trial after so many others."""
    chosen = said.sampler
    seed = derive(chosen.seed, Purpose.SWEEP_PROPOSAL, num_trials) % 2**32
    with quiet():
        match chosen.name:
            case "tpe":
                grouped = any(p.when is not None for p in said.parameters)
                return TPESampler(
                    n_startup_trials=chosen.startup_trials,
                    seed=seed,
                    multivariate=True,
                    group=grouped,
                )
            case "nsga2":
                return NSGAIISampler(population_size=chosen.population, seed=seed)
            case "random" | "grid":
                return RandomSampler(seed=seed)
            case _:
                assert_never(chosen.name)


def make_pruner(said: SweepDeclaration) -> BasePruner:
    """The pruner of a sweep; without one, nothing is pruned."""
    chosen = said.pruner
    if chosen is None:
        return NopPruner()
    with quiet():
        match chosen.name:
            case "median":
                return MedianPruner(n_startup_trials=chosen.startup_trials)
            case "percentile":
                return PercentilePruner(chosen.percentile, n_startup_trials=chosen.startup_trials)
            case "wilcoxon":
                return WilcoxonPruner(p_threshold=chosen.p_threshold)
            case _:
                assert_never(chosen.name)


def ask(
    study: optuna.Study, sweep: Sweep, baseline: Mapping[str, Value] | None
) -> optuna.Trial | None:
    """Ask for the next trial; the caller holds the lock of the study.

    Args:
        study: The study.
        sweep: What is searched.
        baseline: The preset's point of the space, which comes first; None where there is none.

    Returns:
        A trial with all its values; None where a grid is at its end.
    """
    said, trials = sweep.declaration, study.get_trials(deepcopy=False)
    study.sampler = make_sampler(said, len(trials))
    with quiet():
        # A command that was killed may have laid down a point that it did not ask for.
        if not any(trial.state == TrialState.WAITING for trial in trials):
            known = [trial.params for trial in trials]
            if baseline is not None and not any(points_equal(one, baseline) for one in known):
                study.enqueue_trial(dict(baseline))
            elif said.sampler.name == "grid":
                point = next_of_grid(said.parameters, known)
                if point is None:
                    return None
                study.enqueue_trial(point)
        trial = study.ask()
        point = suggest(trial, said.parameters)
        first = baseline is not None and points_equal(point, baseline)
        trial.set_user_attr(SOURCE, BASELINE if first else SAMPLED)
    return trial


def next_of_grid(space: Space, seen: Sequence[Mapping[str, Value]]) -> dict[str, Value] | None:
    """The first point of a grid that is not among those seen; None at its end."""
    return next((p for p in grid_of(space) if not any(points_equal(p, s) for s in seen)), None)


def points_equal(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Whether two points of a space are the same."""
    return dict(one) == dict(other)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Ask a trial for the value of every parameter that applies; known values stay."""
    chosen: dict[str, Value] = {}
    for parameter in space:
        if is_asked(parameter, chosen):
            chosen[parameter.name] = _suggested(trial, parameter)
    return chosen


def _suggested(trial: optuna.Trial, parameter: Parameter) -> Value:
    match parameter.kind:
        case "categorical":
            return str(trial.suggest_categorical(parameter.name, parameter.choices))
        case "int":
            low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
            return trial.suggest_int(parameter.name, low, high, step=step, log=parameter.log)
        case "float":
            return trial.suggest_float(
                parameter.name,
                parameter.low,
                parameter.high,
                step=parameter.step,
                log=parameter.log,
            )
        case _:
            assert_never(parameter.kind)


def distributions(space: Space, values: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """The distributions of the parameters that a point has."""
    return {p.name: _distribution(p) for p in space if p.name in values}


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter.kind:
        case "categorical":
            return CategoricalDistribution(parameter.choices)
        case "int":
            low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
            return IntDistribution(low, high, log=parameter.log, step=step)
        case "float":
            return FloatDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
        case _:
            assert_never(parameter.kind)
