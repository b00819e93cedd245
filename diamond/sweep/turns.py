"""Which trial a command begins next, as the budget and other commands allow."""

from collections.abc import Container
from contextlib import ExitStack
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from diamond.sweep import proposals
from diamond.sweep.account import Account
from diamond.sweep.declaration import Sweep
from diamond.sweep.ownership import Ledger
from diamond.sweep.proposals import ATTEMPTS, SOURCE
from diamond.sweep.space import Value, texts_of, values_of
from diamond.sweep.trials import baseline_texts

MAX_FAILED_FIRST = 5
"""Trials that fail before any succeeds: then something is wrong with the sweep, not with them."""


@dataclass(frozen=True)
class Turn:
    """A trial that this command begins.

    Attributes:
        trial: The trial as Optuna has it.
        texts: Text per axis.
        source: Where its values come from.
        attempts: How often it was begun after a failure, this time included.
        claim: Closed to let go of it.
    """

    trial: optuna.Trial
    texts: dict[str, str]
    source: str
    attempts: int
    claim: ExitStack


class Turns:
    """Gives out trials. Mutable: it notes why it gives out none.

    Attributes:
        stopped: Why no further trial is begun; empty while one may be.
        failed_first: Trials that failed before any succeeded.
    """

    def __init__(self, sweep: Sweep, study: optuna.Study, ledger: Ledger, account: Account) -> None:
        """Find the baseline's point; nothing is read or written."""
        self.stopped = ""
        self.failed_first = 0
        self._sweep = sweep
        self._study = study
        self._ledger = ledger
        self._account = account
        said = sweep.declaration
        known = values_of(said.parameters, baseline_texts(sweep)) if said.baseline else None
        self._baseline: dict[str, Value] | None = known

    def next(self, active: Container[int]) -> Turn | None:
        """A trial that nobody works on, or a new one; None where there is none.

        Args:
            active: Numbers of the trials that this command works on.
        """
        parameters = self._sweep.declaration.parameters
        with self._ledger.asking():
            found = self._orphan(active) or self._new()
            if found is None:
                return None
            trial, claim = found
            values = proposals.suggest(trial, parameters)
        attempts = int(trial.user_attrs.get(ATTEMPTS, 1))
        trial.set_user_attr(ATTEMPTS, attempts)
        source = str(trial.user_attrs.get(SOURCE, proposals.SAMPLED))
        return Turn(trial, texts_of(parameters, values), source, attempts, claim)

    def note_failure(self) -> None:
        """Take note of a trial that failed."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self.failed_first += not complete

    def others_at_work(self) -> list[int]:
        """Numbers of the trials that other commands have not brought to their end."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in running]

    def hours(self) -> float:
        """Hours during which the sweep was at work."""
        return self._ledger.hours()

    def spent_calls(self) -> float:
        """Denoiser calls in the stages that were made for trials, shared ones once."""
        return self._account.spent()

    def counted(self) -> list[FrozenTrial]:
        """The trials that the budget counts: not those that were taken over from other studies."""
        return [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if not str(trial.user_attrs.get(SOURCE, "")).startswith(proposals.WARM)
        ]

    def _new(self) -> tuple[optuna.Trial, ExitStack] | None:
        """A new trial, where the budget allows one; the caller holds the lock."""
        self.stopped = self._spent()
        if self.stopped:
            return None
        trial = proposals.ask(self._study, self._sweep, self._baseline)
        if trial is None:
            self.stopped = "the grid is at its end"
            return None
        taken = self._ledger.take(trial.number)
        assert taken is not None, "a trial that was just made belongs to nobody"
        claim = ExitStack()
        claim.enter_context(taken.kept_alive())
        return trial, claim

    def _orphan(self, active: Container[int]) -> tuple[optuna.Trial, ExitStack] | None:
        """A trial that was begun and that nobody works on; the caller holds the lock."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for found in running:
            taken = None if found.number in active else self._ledger.take(found.number)
            if taken is None:
                continue
            kept = ExitStack()
            kept.enter_context(taken.kept_alive())
            return optuna.Trial(self._study, found._trial_id), kept
        return None

    def _spent(self) -> str:
        """Why no further trial is begun; empty where one may be."""
        budget, counted = self._sweep.declaration.budget, self.counted()
        if self.failed_first >= MAX_FAILED_FIRST:
            return f"the first {self.failed_first} trials failed and none succeeded"
        if budget.trials is not None and len(counted) >= budget.trials:
            return f"all {budget.trials} trials are given out"
        if budget.hours is not None and self.hours() >= budget.hours:
            return f"the budget of {budget.hours:g} hours is spent"
        if budget.denoiser_calls is not None and self.spent_calls() >= budget.denoiser_calls:
            return f"the budget of {budget.denoiser_calls:g} denoiser calls is spent"
        return ""
