"""What was made for the trials of a sweep, and whether its storage tells what the home has."""

from collections.abc import Collection, Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from diamond.engine.stage_cost import denoiser_calls
from diamond.engine.store import Store
from diamond.engine.study_history import check_plan, read_entries
from diamond.errors import RequestError, StoreError
from diamond.plan.plan import Run
from diamond.plan.stage_keys import StageSpec
from diamond.sweep.declaration import Sweep
from diamond.sweep.proposals import CALLS, MADE, SOURCE, TO_MAKE, WARM
from diamond.sweep.space import texts_of
from diamond.sweep.trial_values import trial_value
from diamond.sweep.trials import instances, trial_name, trial_plan


class Account:
    """Denoiser calls, each stage charged to one trial, kept in the storage of Optuna.

    It is written before a stage is made and when it is: a kill between loses nothing.
    """

    def __init__(self, study: optuna.Study) -> None:
        """Name the study; nothing is read."""
        self._study = study

    def spent(self) -> float:
        """Denoiser calls in the stages that were made for trials, shared ones once."""
        return sum(float(trial.user_attrs.get(CALLS, 0.0)) for trial in self._trials())

    def charge(self, trial: optuna.Trial, runs: Sequence[Run], spec: StageSpec) -> None:
        """Charge a stage that was made to a trial, unless one is charged with it.

        A trial that another command brought to its end meanwhile is left as it is.

        Args:
            trial: It waits for the stage.
            runs: Its runs; a stage that none of them has, as those of a baseline, costs nothing.
            spec: The stage.
        """
        run = next((run for run in runs if spec.key in {own.key for own in run.stages}), None)
        calls = 0.0 if run is None else denoiser_calls(run.config, spec.stage)
        trials = self._trials()
        charged = {key for one in trials for key in one.user_attrs.get(MADE, {})}
        stored = trials[trial.number]
        if run is None or not calls or spec.key in charged or stored.state != TrialState.RUNNING:
            return
        what = f"{spec.stage} {run.config.game} {run.config.seed}"
        made = {**stored.user_attrs.get(MADE, {}), spec.key: (what, calls)}
        trial.set_user_attr(MADE, made)
        trial.set_user_attr(CALLS, _calls(made.values()))

    def take_on(
        self,
        trial: optuna.Trial,
        runs: Sequence[Run],
        specs: Iterable[StageSpec],
        done: Collection[str],
    ) -> None:
        """Charge what a killed command made for a trial, and write down what is still to make.

        Args:
            trial: It is about to be worked on.
            runs: Its runs.
            specs: The stages that it waits for.
            done: Keys of those that are done.
        """
        specs = list(specs)
        known = set(self._trials()[trial.number].user_attrs.get(TO_MAKE, ()))
        for spec in specs:
            if spec.key in known and spec.key in done:
                self.charge(trial, runs, spec)
        wanted = known | {spec.key for spec in specs if spec.key not in done}
        if wanted != known:
            trial.set_user_attr(TO_MAKE, sorted(wanted))

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def _calls(made: Iterable[tuple[str, float]]) -> float:
    """Denoiser calls in some stages.

    A denoiser that went on from its stop counts once, with all of its updates.
    """
    most: dict[str, float] = {}
    for what, calls in made:
        before = most.get(what, 0.0)
        most[what] = max(before, calls) if what.startswith("denoiser ") else before + calls
    return sum(most.values())


def check_told(sweep: Sweep, study: optuna.Study, store: Store, address: str) -> None:
    """Hold what a storage tells of finished trials against their plans and stages.

    Costs are not compared: a stage that was made again took another time.

    Args:
        sweep: The sweep.
        study: Its study in the storage.
        store: The home.
        address: Of the storage, without a password.

    Raises:
        StoreError: A trial has other parameters than it was planned with, or another value of
            an objective than its stages have; or the plans cannot be read.
    """
    said = sweep.declaration
    entries = read_entries(store.home / "studies" / sweep.name)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if str(trial.user_attrs.get(SOURCE, "")).startswith(WARM):
            continue
        name = trial_name(trial.number)
        try:
            plan = trial_plan(sweep, name, texts_of(said.parameters, trial.params))
            check_plan(plan, entries)
        except RequestError as error:
            raise StoreError(
                f"{address} was changed: {error}\n  or put a copy of the storage back"
            ) from error
        runs = instances(plan)
        for measure, told in zip(said.measures, trial.values, strict=True):
            made = None
            if measure.quantity.origin != "cost":
                made = trial_value(plan, runs, store, measure)
            if made is not None and made != told:
                raise StoreError(
                    f"{address} was changed: {name} of {sweep.name} has {measure.name} {told:g} "
                    f"there, and {made:g} by its stages\n"
                    "  put a copy of the storage back, or give the sweep another name with --name"
                )
