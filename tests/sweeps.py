"""Sweeps in process: stages and the tracking store are only pretended, Optuna is real."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from diamond.config.run import RunConfig
from diamond.engine.devices import Workers
from diamond.engine.files import write_json
from diamond.engine.stage_claim import Claim
from diamond.engine.store import Store
from diamond.families.diamond.config import diamond_of
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec
from diamond.studies.frame_retention import Keep
from diamond.sweep import account, engine
from diamond.sweep.declaration import Sweep, read_sweep
from diamond.sweep.declared_sweep import SweepDeclaration
from diamond.sweep.engine import SweepRun
from diamond.sweep.objectives import Measure
from diamond.sweep.proposals import open_study
from diamond.sweep.trial_runs import TrialState as Shown
from diamond.sweep.trial_runs import TrialTracking
from diamond.sweep.trials import own_arms
from diamond.tracking.owner import current_owner
from diamond.workers.executor import Executor, OnEvent, StageEvent
from tests.commands import finish

DEAD = f"{current_owner().rsplit(':', 2)[0]}:4194305:1"
"""A process that cannot be: its number is above the greatest that Linux gives."""
Rule = Callable[[StageSpec, int], str | None]
"""Why a stage fails at its n-th making, from 1; None where it is made."""
Objective = Callable[[RunConfig, str], float | None]
"""The value of a run by its config and the name of a measure."""

HEAD = """\
question = "Which?"
preset = "smoke"
until = "fidelity"
"""
STEPS = """
[space]
steps = { int = [1, 6] }
churn = { float = [0, 12] }
"""
AIM = """
[[objectives]]
metric = "l1"
"""


def text(space: str = STEPS, end: str = "[budget]\ntrials = 4\n", aim: str = AIM) -> str:
    """The text of a declaration."""
    return f"{HEAD}{space}{aim}\n{end}"


GRID = text("[space]\nsteps = { int = [1, 4] }\n", '[sampler]\nname = "grid"\n')
"""Four trials: steps 3, which is the preset's, then 1, 2 and 4."""


def distance(config: RunConfig, name: str) -> float:
    """An objective that is best at two steps and without noise."""
    return abs(diamond_of(config).sampler.steps - 2) + diamond_of(config).sampler.churn / 12


WHOLE = """\
# A comment
question = "Which sampler draws best for its cost?"
preset = "smoke"
games = [
    "Boxing",
    "Breakout",
]
seeds = 2
until = "fidelity"

[settings]
denoiser.updates = 50

[space]
steps = { int = [1, 10] }
churn = { float = [0, 12] }
sigma_max = { float = [1, 40], log = true }
sampler.quantizer = { choices = ["floor", "round", "none"] }
quantize_at = { choices = ["call", "end"], when = { "sampler.quantizer" = ["floor", "round"] } }

[[objectives]]
metric = "l1"

[sampler]
name = "tpe"

[budget]
trials = 60
"""
"""A declaration with everything that most have."""


def read(text: str = WHOLE) -> SweepDeclaration:
    """Read a declaration as that of the sweep `mine`."""
    return read_sweep(text, Path("mine.toml"))


class PretendingExecutor(Executor):
    """The order of a real executor, with stages that are made, or fail, at once: one a step."""

    def __init__(self, store: Store, rule: Rule) -> None:
        super().__init__(store.home, Workers(1))
        self.begun: list[StageSpec] = []
        self.has_stopped = False
        self._store = store
        self._rule = rule
        self._counts: Counter[str] = Counter()
        self._idle = 0

    def stop(self, seconds: float | None = 0.0) -> None:
        self.has_stopped = True

    def _free(self, num_waiting: int) -> int:
        self._idle += 1
        assert self._idle < 20, "a trial waits for stages that nobody makes"
        return 1

    def _start(self, spec: StageSpec, on_event: OnEvent) -> None:
        self._idle = 0
        self._changed = True
        self._counts[spec.key] += 1
        assert self._store.status(spec) != "failed", "a worker leaves alone what failed for good"
        cause = self._rule(spec, self._counts[spec.key])
        self.begun.append(spec)
        on_event(StageEvent("started", spec))
        if cause is None:
            finish(self._store, spec)
            self._frontier.finish(spec.key)
            on_event(StageEvent("made", spec))
        else:
            self._store.mark_failed(spec.stage, spec.key, cause, lasting=True)
            self._frontier.fail(spec.key)
            on_event(StageEvent("failed", spec, note=cause))

    def _drain(self, on_event: OnEvent) -> bool:
        return True


class NotedTracking(TrialTracking):
    """Notes what would be written, and answers at once."""

    def __init__(self, sweep: Sweep, store: Store) -> None:
        super().__init__(sweep, store, None, 0)
        self.shown: list[Shown] = []

    def show(self, state: Shown) -> "Future[tuple[str, str]]":
        self.shown.append(state)
        found: Future[tuple[str, str]] = Future()
        found.set_result((f"run {state.number}", f"http://link/{state.number}"))
        return found

    def statuses(self, number: int) -> list[str]:
        return [state.status for state in self.shown if state.number == number]


def never(spec: StageSpec, attempt: int) -> str | None:
    """No stage fails."""
    return None


@dataclass
class Bench:
    """A home, a storage and a sweep; every `run` is a command on them."""

    home: Path
    text: str
    name: str = "mine"
    keep: Keep | None = None
    storage: BaseStorage = field(default_factory=InMemoryStorage)
    executor: PretendingExecutor = field(init=False)
    tracking: NotedTracking = field(init=False)
    news: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.check_writable()

    @property
    def store(self) -> Store:
        return Store(self.home)

    @property
    def sweep(self) -> Sweep:
        path = self.home / f"{self.name}.toml"
        return Sweep(path, read_sweep(self.text, path), self.name)

    @property
    def study(self) -> optuna.Study:
        return open_study(self.sweep, self.storage)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials()

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.trials]

    def params(self) -> list[dict[str, object]]:
        return [trial.params for trial in self.trials]

    def attribute(self, name: str) -> list[object]:
        return [trial.user_attrs.get(f"diamond.{name}") for trial in self.trials]

    def begin(self) -> SweepRun:
        """A command before it runs trials."""
        self.store.check_writable()
        self.tracking = NotedTracking(self.sweep, self.store)
        command = "diamond sweep mine.toml"
        return SweepRun(
            self.sweep, self.store, self.study, self.tracking, command, self.news.append, self.keep
        )

    def run(
        self, rule: Rule = never, jobs: int = 1, on_tick: Callable[[], None] = lambda: None
    ) -> SweepRun:
        """A command to its end."""
        run = self.begin()
        self.executor = PretendingExecutor(self.store, rule)
        run.execute(self.executor, jobs, lambda _: None, on_tick)
        assert self.executor.has_stopped
        return run

    def interrupt(self, when: Callable[[], bool], rule: Rule = never, jobs: int = 1) -> None:
        """A command that is stopped with Ctrl-C before a stage, as soon as something is so."""

        def checked(spec: StageSpec, attempt: int) -> str | None:
            if when():
                raise KeyboardInterrupt
            return rule(spec, attempt)

        with pytest.raises(KeyboardInterrupt):
            self.run(checked, jobs)

    def kill(self, when: Callable[[], bool], rule: Rule = never, jobs: int = 1) -> None:
        """A command that is killed: its claims stay, of a process that is no more."""
        self.interrupt(when, rule, jobs)
        for trial in self.trials:
            if trial.state == TrialState.RUNNING:
                write_json(self.claim(trial.number), {"owner": DEAD, "token": "dead"})

    def claim(self, number: int) -> Path:
        return self.home / "studies" / self.name / "trials" / str(number) / "claim-1.json"

    def holder(self, number: int) -> str | None:
        """Who works on a trial."""
        return Claim(self.claim(number).parent).holder()

    def num_begun(self, stage: str) -> int:
        return sum(spec.stage == stage for spec in self.executor.begun)


def pretend_values(monkeypatch: pytest.MonkeyPatch, objective: Objective) -> None:
    """Give every run a value by its config, the mean over runs to trials."""

    def run_value(plan: Plan, run: object, store: Store, measure: Measure) -> float | None:
        return objective(run.config, measure.name)  # type: ignore[attr-defined]

    def trial_value(plan: Plan, runs: object, store: Store, measure: Measure) -> float | None:
        found = [objective(run.config, measure.name) for run in runs]  # type: ignore[attr-defined]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if len(known) == len(found) else None

    monkeypatch.setattr(engine, "run_value", run_value)
    for module in (engine, account):
        monkeypatch.setattr(module, "trial_value", trial_value)


def config_of(plan: Plan) -> RunConfig:
    """The config of a trial's first run."""
    return own_arms(plan)[0].runs[0].config


def pretended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A sweep of four trials in a home of its own, whose values are a `distance`."""
    pretend_values(monkeypatch, distance)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
    return Bench(folder, text())
