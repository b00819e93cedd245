"""The loop of a sweep: ask for trials, make their stages, tell what they are worth.

Who proposes values: `proposals`. Who works on what: `ownership`. What a trial is worth:
`trial_values`.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import save_note

from diamond.engine.executor import LocalExecutor, StageEvent
from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.errors import RequestError
from diamond.plan.plan import Plan, Run
from diamond.plan.stage_keys import StageSpec
from diamond.stages.registry import stage_names
from diamond.studies.frame_retention import Dropping, Keep
from diamond.sweep import proposals
from diamond.sweep.account import Account
from diamond.sweep.declaration import Sweep
from diamond.sweep.ownership import Ledger
from diamond.sweep.proposals import ATTEMPTS, ERROR, MLFLOW_LINK, MLFLOW_RUN, SOURCE
from diamond.sweep.space import Value, texts_of, values_of
from diamond.sweep.trial_runs import TrialState as Shown
from diamond.sweep.trial_runs import TrialTracking
from diamond.sweep.trial_values import run_value, trial_value
from diamond.sweep.trials import (
    baseline_texts,
    instances,
    rung_plan,
    stages_for,
    trial_name,
    trial_plan,
)

MAX_ATTEMPTS = 2
"""A trial that fails, or kills its worker, is tried once more; a killed command is no failure."""
MAX_FAILED_FIRST = 5
"""Trials that fail before any succeeds: then something is wrong with the sweep, not with them."""
News = Callable[[str], None]
"""Told in words what became of trials."""


@dataclass(frozen=True)
class Phase:
    """A part of a trial at whose end a pruner looks, or the trial ends.

    Attributes:
        step: What the pruner is told that the value belongs to; None: nothing is told.
        plan: The plan whose stages are made.
        runs: The runs that are made whole.
        specs: Their stages.
    """

    step: int | None
    plan: Plan
    runs: tuple[Run, ...]
    specs: tuple[StageSpec, ...]


@dataclass
class Active:
    """A trial at work. Mutable: phases are taken off as they are done.

    Attributes:
        trial: The trial as Optuna has it.
        plan: Its whole plan.
        texts: Text per axis.
        source: Where its values come from.
        phases: What is left, the first at work.
        attempts: How often it was begun after a failure, the first time included.
        claim: Closed to let go of it.
        run_id: Its run in the tracking store, once that is written.
    """

    trial: optuna.Trial
    plan: Plan
    texts: dict[str, str]
    source: str
    phases: list[Phase]
    attempts: int
    claim: ExitStack
    run_id: "Future[tuple[str, str]]"


@dataclass
class SweepRun:
    """One command at work on a sweep. Mutable: it gathers what happened.

    Attributes:
        sweep: The sweep.
        store: The home.
        study: The study in Optuna's storage.
        tracking: Where trials are shown.
        command: As the user can repeat it.
        news: Told what became of trials.
        keep: What of imagined frames stays once they are scored; None where nothing was said.
        names: What to call the stage of each key, for progress.
    """

    sweep: Sweep
    store: Store
    study: optuna.Study
    tracking: TrialTracking
    command: str
    news: News
    keep: Keep | None = None
    names: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    _active: dict[int, Active] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _failed: dict[str, str] = field(default_factory=dict)
    _failed_first: int = 0

    def __post_init__(self) -> None:
        """Find the folder; nothing is written."""
        self._ledger = Ledger(self.folder)
        self._account = Account(self.study)
        self._dropping = Dropping(self.store, self.keep, self.sweep.name)
        said = self.sweep.declaration
        known = values_of(said.parameters, baseline_texts(self.sweep)) if said.baseline else None
        self._baseline: dict[str, Value] | None = known

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.store.home / "studies" / self.sweep.name

    def execute(
        self,
        executor: LocalExecutor,
        jobs: int,
        on_event: Callable[[StageEvent], None],
        on_tick: Callable[[], None],
    ) -> None:
        """Run trials until the budget is spent; what is at work then is brought to its end.

        Args:
            executor: Makes the stages.
            jobs: Trials at work at once.
            on_event: Told of stages.
            on_tick: Called every fraction of a second.
        """

        def note(event: StageEvent) -> None:
            if event.kind in ("made", "reused"):
                self._note_done(event.spec, event.kind == "made")
            elif event.kind in ("failed", "blocked"):
                self._failed[event.spec.key] = event.note
            on_event(event)

        try:
            while True:
                self._ledger.note_work()
                while len(self._active) < jobs and (number := self._next(executor)) is not None:
                    self._advance(number, executor)
                if not self._active:
                    running = self.others_at_work()
                    # Of another host it takes a minute to see that nobody is at work there.
                    if self._ledger.others(running) == running:
                        return
                    continue
                executor.step(note)
                for number in list(self._active):
                    self._advance(number, executor)
                on_tick()
        finally:
            executor.stop()
            self._let_go()

    def others_at_work(self) -> list[int]:
        """Numbers of the trials that other commands have not brought to their end."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in running]

    def hours(self) -> float:
        """Hours during which the sweep was at work."""
        return self._ledger.hours()

    def spent_calls(self) -> float:
        """Calls of the denoiser in the stages that were made for trials, shared ones once."""
        return self._account.spent()

    def counted(self) -> list[FrozenTrial]:
        """The trials that the budget counts: not those that were taken over from other studies."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if not str(trial.user_attrs.get(SOURCE, "")).startswith(proposals.WARM)
        ]

    def _next(self, executor: LocalExecutor) -> int | None:
        """Begin a trial that nobody works on, or a new one; None where there is none."""
        while True:
            with self._ledger.asking():
                found = self._orphan() or self._new()
                if found is None:
                    return None
                trial, claim = found
                values = proposals.suggest(trial, self.sweep.declaration.parameters)
            attempts = int(trial.user_attrs.get(ATTEMPTS, 1))
            trial.set_user_attr(ATTEMPTS, attempts)
            texts = texts_of(self.sweep.declaration.parameters, values)
            if self._begin(executor, trial, texts, attempts, claim):
                return trial.number

    def _new(self) -> tuple[optuna.Trial, ExitStack] | None:
        """A new trial, where the budget allows one; the caller holds the lock."""
        self.stopped = self._spent()
        if self.stopped:
            return None
        trial = proposals.ask(self.study, self.sweep, self._baseline)
        if trial is None:
            self.stopped = "the grid is at its end"
            return None
        taken = self._ledger.take(trial.number)
        assert taken is not None, "a trial that was just made belongs to nobody"
        claim = ExitStack()
        claim.enter_context(taken.kept_alive())
        return trial, claim

    def _orphan(self) -> tuple[optuna.Trial, ExitStack] | None:
        """A trial that was begun and that nobody works on; the caller holds the lock."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for found in running:
            taken = None if found.number in self._active else self._ledger.take(found.number)
            if taken is None:
                continue
            kept = ExitStack()
            kept.enter_context(taken.kept_alive())
            return optuna.Trial(self.study, found._trial_id), kept
        return None

    def _spent(self) -> str:
        """Why no further trial is begun; empty where one may be."""
        budget, counted = self.sweep.declaration.budget, self.counted()
        if self._failed_first >= MAX_FAILED_FIRST:
            return f"the first {self._failed_first} trials failed and none succeeded"
        if budget.trials is not None and len(counted) >= budget.trials:
            return f"all {budget.trials} trials are given out"
        if budget.hours is not None and self.hours() >= budget.hours:
            return f"the budget of {budget.hours:g} hours is spent"
        if budget.denoiser_calls is not None and self.spent_calls() >= budget.denoiser_calls:
            return f"the budget of {budget.denoiser_calls:g} denoiser calls is spent"
        return ""

    def _begin(
        self,
        executor: LocalExecutor,
        trial: optuna.Trial,
        texts: dict[str, str],
        attempts: int,
        claim: ExitStack,
    ) -> bool:
        """Plan a trial and hand its first stages to the executor; whether it could begin."""
        source = str(trial.user_attrs.get(SOURCE, proposals.SAMPLED))
        name = trial_name(trial.number)
        try:
            plan = trial_plan(self.sweep, name, texts)
            phases = self._phases(plan, texts)
        except RequestError as error:
            self._fail(trial, claim, " ".join(str(error).split()))
            return False
        record_plan(plan, self.folder, self.command)
        shown = Shown(trial.number, plan, texts, source, {}, "RUNNING")
        self._active[trial.number] = Active(
            trial, plan, texts, source, phases, attempts, claim, self.tracking.show(shown)
        )
        self.news(f"{name}: {' '.join(f'{axis}={text}' for axis, text in texts.items())}")
        self._hand_over(executor, trial.number)
        return True

    def _phases(self, plan: Plan, texts: dict[str, str]) -> list[Phase]:
        """The parts of a trial: up to each look of the pruner, and to its end."""
        pruner, runs = self.sweep.declaration.pruner, tuple(instances(plan))
        whole = Phase(None, plan, runs, stages_for(plan, runs))
        if pruner is None:
            return [whole]
        if pruner.name == "wilcoxon":
            found = [Phase(n, plan, (r,), stages_for(plan, (r,))) for n, r in enumerate(runs)]
            return [*found, whole]
        rungs = []
        for updates in pruner.at:
            rung = rung_plan(plan, self.sweep, texts, updates)
            if rung is not None:
                own = tuple(instances(rung))
                rungs.append(Phase(updates, rung, own, stages_for(rung, own)))
        return [*rungs, whole]

    def _hand_over(self, executor: LocalExecutor, number: int) -> None:
        """Give the executor the stages of a trial's first phase."""
        active = self._active[number]
        specs = active.phases[0].specs
        for spec in specs:
            if spec.key in self._done:
                continue
            damage = self.store.damage(spec)
            if damage is not None:
                self.store.reset(spec)
                self.news(f"stage {spec.stage} {spec.key} was damaged ({damage}); it is made again")
            if self.store.status(spec) == "done":
                self._done.add(spec.key)
            self.store.prepare(spec)
            self.names.setdefault(spec.key, f"{spec.stage} ({trial_name(number)})")
        again = self._dropping.take_on(specs, self._done)
        self._done -= again
        executor.forget(again)
        for spec in specs:
            if spec.key in again:
                self.store.prepare(spec, again=True)
        self._account.take_on(active.trial, active.phases[0].runs, specs, self._done)
        order = {spec.key: _priority(number, spec) for spec in specs}
        executor.add(specs, frozenset(self._done & order.keys()), order)

    def _advance(self, number: int, executor: LocalExecutor) -> None:
        """Bring a trial on: to its next phase, to its end, or to its second attempt."""
        active = self._active.get(number)
        while active is not None:
            specs = active.phases[0].specs
            broken = [spec for spec in specs if spec.key in self._failed]
            if not broken and any(spec.key not in self._done for spec in specs):
                return
            if self._stored(active.trial).state != TrialState.RUNNING:
                self._lose(number)
                return
            if broken:
                self._retry_or_fail(number, broken, executor)
                return
            phase = active.phases.pop(0)
            if not active.phases:
                self._complete(number)
            elif self._prunes(active, phase):
                why = f"stopped by the pruner at {phase.step}"
                self._end(number, TrialState.PRUNED, {}, why)
            else:
                self._hand_over(executor, number)
            active = self._active.get(number)

    def _lose(self, number: int) -> None:
        """Let go of a trial that another command took over while this one slept."""
        self._active.pop(number).claim.close()
        self.news(f"{trial_name(number)}: another command brought it to its end")

    def _retry_or_fail(
        self, number: int, broken: Sequence[StageSpec], executor: LocalExecutor
    ) -> None:
        active = self._active[number]
        causes = [spec for spec in broken if not self._failed[spec.key].endswith(" failed")]
        first = (causes or broken)[0]
        cause = f"{first.stage}: {self._failed[first.key]}"
        if active.attempts >= MAX_ATTEMPTS:
            self._end(number, TrialState.FAIL, {}, cause)
            executor.withdraw(self._needed_by(active) - self._needed_by(*self._active.values()))
            return
        active.attempts += 1
        active.trial.set_user_attr(ATTEMPTS, active.attempts)
        self.news(f"{trial_name(number)}: {cause}; it is tried once more")
        for spec in broken:
            del self._failed[spec.key]
        # What it read may have been removed since: the store is asked again.
        keys = self._needed_by(active)
        self._done -= keys
        executor.forget(keys)
        self._hand_over(executor, number)

    @staticmethod
    def _needed_by(*trials: Active) -> set[str]:
        """Keys of the stages that some trials wait for."""
        return {spec.key for active in trials for spec in active.phases[0].specs}

    def _prunes(self, active: Active, phase: Phase) -> bool:
        """Tell the pruner the value of a phase; whether the trial is to stop.

        A trial of which every stage is made is not stopped any more.
        """
        assert phase.step is not None
        measure = self.sweep.declaration.measures[0]
        if len(phase.runs) == 1:
            value = run_value(phase.plan, phase.runs[0], self.store, measure)
        else:
            value = trial_value(phase.plan, phase.runs, self.store, measure)
        if value is None:
            return False
        with proposals.quiet():
            if phase.step not in self._stored(active.trial).intermediate_values:
                active.trial.report(value, phase.step)
            self.study.pruner = proposals.make_pruner(self.sweep.declaration)
            left = any(spec.key not in self._done for spec in active.phases[-1].specs)
            return left and active.trial.should_prune()

    def _complete(self, number: int) -> None:
        """Tell what a trial is worth."""
        active, said = self._active[number], self.sweep.declaration
        runs = instances(active.plan)
        values = {m.name: trial_value(active.plan, runs, self.store, m) for m in said.measures}
        bounds = [trial_value(active.plan, runs, self.store, m) for m in said.bounds]
        undefined = [name for name, value in values.items() if value is None]
        undefined += [m.name for m, v in zip(said.bounds, bounds, strict=True) if v is None]
        if undefined:
            self._end(number, TrialState.FAIL, {}, f"{undefined[0]} is not defined for it")
            return
        told = self._stored(active.trial).constraints
        for name, violation in violations(self.sweep, bounds).items():
            if name not in told:
                active.trial.set_constraint(name, violation)
        known = {name: value for name, value in values.items() if value is not None}
        self._end(number, TrialState.COMPLETE, known, "")

    def _end(self, number: int, state: TrialState, values: dict[str, float], why: str) -> None:
        """Tell Optuna and the tracking store how a trial ended, and let go of it."""
        active = self._active[number]
        run_id, link = active.run_id.result()
        active.trial.set_user_attr(MLFLOW_RUN, run_id)
        active.trial.set_user_attr(MLFLOW_LINK, link)
        save_note(active.trial, f"[{trial_name(number)} in MLflow]({link})")
        del self._active[number]
        self._tell(active.trial, active.claim, state, list(values.values()) or None, why)
        self._show(active, values, "FAILED" if state == TrialState.FAIL else "FINISHED", why)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.news(f"{trial_name(number)}: {shown or why}")

    def _fail(self, trial: optuna.Trial, claim: ExitStack, why: str) -> None:
        """End a trial that cannot begin."""
        self._tell(trial, claim, TrialState.FAIL, None, why)
        self.news(f"{trial_name(trial.number)}: {why}")

    def _tell(
        self,
        trial: optuna.Trial,
        claim: ExitStack,
        state: TrialState,
        values: list[float] | None,
        why: str,
    ) -> None:
        """Tell Optuna how a trial ended and let go of it, as one act for those who look on."""
        if why:
            trial.set_user_attr(ERROR, why)
        with self._ledger.asking():
            self.study.tell(trial, values, state)
            claim.close()
            self._ledger.close(trial.number)
        self._failed_first += state == TrialState.FAIL and not self._any_complete()

    def _stored(self, trial: optuna.Trial) -> FrozenTrial:
        """A trial as the storage has it, with what an earlier command told."""
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _any_complete(self) -> bool:
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def _show(
        self,
        active: Active,
        values: dict[str, float],
        status: Literal["FINISHED", "FAILED", "KILLED"],
        why: str,
    ) -> None:
        number = active.trial.number
        shown = Shown(number, active.plan, active.texts, active.source, values, status, why)
        self.tracking.show(shown)

    def _let_go(self) -> None:
        """Let go of the trials that were not brought to their end: the same command goes on."""
        self._ledger.note_work(at_end=True)
        for active in self._active.values():
            self._show(active, {}, "KILLED", "interrupted; the same command goes on")
            active.claim.close()
        self._active.clear()

    def _note_done(self, spec: StageSpec, here: bool) -> None:
        """Take note of a stage that is done, and whether this command made it."""
        self._done.add(spec.key)
        if here:
            self._charge(spec)
        for line in self._dropping.note_done(spec):
            self.news(line)

    def _charge(self, spec: StageSpec) -> None:
        """Charge a stage that was made to the first trial that waits for it."""
        for active in self._active.values():
            if any(own.key == spec.key for own in active.phases[0].specs):
                self._account.charge(active.trial, active.phases[0].runs, spec)
                return


def violations(sweep: Sweep, values: Iterable[float | None]) -> dict[str, float]:
    """How far each constraint is from being kept, at most 0 where it is; by name.

    Args:
        sweep: The sweep.
        values: Value per constraint, all of them defined.
    """
    said = sweep.declaration
    found = {}
    for bound, measure, value in zip(said.constraints, said.bounds, values, strict=True):
        assert value is not None
        if bound.at_most is not None:
            found[f"{measure.name} <= {bound.at_most:g}"] = value - bound.at_most
        elif bound.at_least is not None:
            found[f"{measure.name} >= {bound.at_least:g}"] = bound.at_least - value
    return found


def _priority(number: int, spec: StageSpec) -> float:
    """Earlier trials go first, and of one trial the stages that others wait for."""
    stages = stage_names()
    return -number * len(stages) - stages.index(spec.stage)
