"""The loop of a sweep: ask for trials, make their stages, tell what they are worth.

Which trial is next: `turns`. Who proposes values: `proposals`. Who works on what: `ownership`. What
a trial is worth: `trial_values`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import save_note

from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.errors import RequestError
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec
from diamond.studies.frame_retention import Dropping, Keep
from diamond.sweep import proposals
from diamond.sweep.account import Account
from diamond.sweep.declaration import Sweep
from diamond.sweep.ownership import Ledger
from diamond.sweep.phases import Phase, phases_of, priority
from diamond.sweep.proposals import ATTEMPTS, ERROR, MLFLOW_LINK, MLFLOW_RUN
from diamond.sweep.trial_runs import TrialState as Shown
from diamond.sweep.trial_runs import TrialTracking
from diamond.sweep.trial_values import run_value, trial_value, violations
from diamond.sweep.trials import instances, trial_name, trial_plan
from diamond.sweep.turns import Turn, Turns
from diamond.workers.executor import Executor, StageEvent

MAX_ATTEMPTS = 2
"""A trial that fails, or kills its worker, is tried once more; a killed command is no failure."""
News = Callable[[str], None]
"""Told in words what became of trials."""


@dataclass
class Active:
    """A trial at work. Mutable: phases are taken off as they are done.

    Attributes:
        turn: How it was begun.
        plan: Its whole plan.
        phases: What is left, the first at work.
        attempts: How often it was begun after a failure, the first time included.
        run_id: Its run in the tracking store, once that is written.
    """

    turn: Turn
    plan: Plan
    phases: list[Phase]
    attempts: int
    run_id: "Future[tuple[str, str]]"

    @property
    def trial(self) -> optuna.Trial:
        """The trial as Optuna has it."""
        return self.turn.trial


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
        turns: Gives out trials.
    """

    sweep: Sweep
    store: Store
    study: optuna.Study
    tracking: TrialTracking
    command: str
    news: News
    keep: Keep | None = None
    names: dict[str, str] = field(default_factory=dict)
    turns: Turns = field(init=False)
    _active: dict[int, Active] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find the folder; nothing is written."""
        self._ledger = Ledger(self.folder)
        self._account = Account(self.study)
        self._dropping = Dropping(self.store, self.keep, self.sweep.name)
        self.turns = Turns(self.sweep, self.study, self._ledger, self._account)

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.store.home / "studies" / self.sweep.name

    def execute(
        self,
        executor: Executor,
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
                    running = self.turns.others_at_work()
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

    def _next(self, executor: Executor) -> int | None:
        """Begin a trial, the next one where it cannot begin; None where there is none."""
        while (turn := self.turns.next(self._active)) is not None:
            if self._begin(executor, turn):
                return turn.trial.number
        return None

    def _begin(self, executor: Executor, turn: Turn) -> bool:
        """Plan a trial and hand its first stages to the executor; whether it could begin."""
        trial, texts = turn.trial, turn.texts
        name = trial_name(trial.number)
        try:
            plan = trial_plan(self.sweep, name, texts)
            phases = phases_of(self.sweep, plan, texts)
        except RequestError as error:
            self._fail(trial, turn.claim, " ".join(str(error).split()))
            return False
        record_plan(plan, self.folder, self.command)
        shown = Shown(trial.number, plan, texts, turn.source, {}, "RUNNING")
        run_id = self.tracking.show(shown)
        self._active[trial.number] = Active(turn, plan, phases, turn.attempts, run_id)
        self.news(f"{name}: {' '.join(f'{axis}={text}' for axis, text in texts.items())}")
        self._hand_over(executor, trial.number)
        return True

    def _hand_over(self, executor: Executor, number: int) -> None:
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
            if self.store.gave_up(spec) is not None:
                self.store.forgive(spec)
            self.names.setdefault(spec.key, f"{spec.stage} ({trial_name(number)})")
        again = self._dropping.take_on(specs, self._done)
        self._done -= again
        executor.forget(again)
        for spec in specs:
            if spec.key in again:
                self.store.prepare(spec, again=True)
        self._account.take_on(active.trial, active.phases[0].runs, specs, self._done)
        order = {spec.key: priority(number, spec) for spec in specs}
        executor.add(specs, frozenset(self._done & order.keys()), order)

    def _advance(self, number: int, executor: Executor) -> None:
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
        self._active.pop(number).turn.claim.close()
        self.news(f"{trial_name(number)}: another command brought it to its end")

    def _retry_or_fail(self, number: int, broken: Sequence[StageSpec], executor: Executor) -> None:
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
        self._tell(active.trial, active.turn.claim, state, list(values.values()) or None, why)
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
        if state == TrialState.FAIL:
            self.turns.note_failure()

    def _stored(self, trial: optuna.Trial) -> FrozenTrial:
        """A trial as the storage has it, with what an earlier command told."""
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _show(
        self,
        active: Active,
        values: dict[str, float],
        status: Literal["FINISHED", "FAILED", "KILLED"],
        why: str,
    ) -> None:
        number = active.trial.number
        shown = Shown(
            number, active.plan, active.turn.texts, active.turn.source, values, status, why
        )
        self.tracking.show(shown)

    def _let_go(self) -> None:
        """Let go of the trials that were not brought to their end: the same command goes on."""
        self._ledger.note_work(at_end=True)
        for active in self._active.values():
            self._show(active, {}, "KILLED", "interrupted; the same command goes on")
            active.turn.claim.close()
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
