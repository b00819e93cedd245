"""A search over parameters: its trials and what they say."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.results.values import Number, Unit

Aim = Literal["maximize", "minimize"]
TrialState = Literal["complete", "pruned", "failed", "running"]
ConfirmVerdict = Literal["confirmed", "refuted", "undecided", "no interval"]
Value = int | float | str
"""Of a parameter of a sweep."""


class When(Record):
    """What a conditional parameter needs."""

    name: str = Field(description="of another parameter")
    values: tuple[Value, ...] = Field(description="that it must have")


class Parameter(Record):
    """A parameter of a search."""

    name: str = Field(description="axis or field")
    kind: Literal["int", "float", "categorical"] = Field(description="of its values")
    low: int | float | None = Field(default=None, description="least value")
    high: int | float | None = Field(default=None, description="greatest value")
    step: int | float | None = Field(default=None, description="between values")
    log: bool = Field(default=False, description="whether its scale is logarithmic")
    choices: tuple[str, ...] | None = Field(default=None, description="of a categorical one")
    when: When | None = Field(default=None, description="null: it is always asked for")
    baseline: str | None = Field(default=None, description="text of the preset's value")
    in_range: bool = Field(default=True, description="whether the space has that value")
    meaning: str = Field(default="", description="in words")
    first_stage: str | None = Field(default=None, description="the first stage that it changes")

    @property
    def condition(self) -> str:
        """Where it is asked for, in words; empty where it always is."""
        if self.when is None:
            return ""
        return f"only with {self.when.name} = {' or '.join(map(str, self.when.values))}"


class Objective(Record):
    """What a search aims at."""

    name: str = Field(description="as files call it")
    at: str = Field(description="`mean` or a time step")
    label: str = Field(description="heading")
    unit: str = Field(default="", description="empty for a pure number")
    direction: Aim = Field(description="which value is better")

    @property
    def sign(self) -> int:
        """The factor that makes a value a loss, of which less is better: 1 or -1."""
        return -1 if self.direction == "maximize" else 1

    @property
    def better(self) -> str:
        """Which values are good ones, in words."""
        return "higher is better" if self.direction == "maximize" else "lower is better"


class Constraint(Record):
    """A bound that trials are to keep."""

    name: str = Field(description="as files call it")
    at: str = Field(description="`mean` or a time step")
    label: str = Field(description="heading")
    unit: str = Field(default="", description="empty for a pure number")
    at_most: Number = Field(default=None, description="null: no upper bound")
    at_least: Number = Field(default=None, description="null: no lower bound")


class Bounds(Record):
    """An interval."""

    lo: float = Field(description="lower bound")
    hi: float = Field(description="upper bound")


class Trial(Record):
    """A trial of a search."""

    number: int = Field(description="in the storage of Optuna")
    name: str = Field(description="as tables have it")
    state: TrialState = Field(description="how it ended")
    source: str = Field(description="baseline, sampled or warm start")
    params: dict[str, Value] = Field(description="of the parameters that were asked for")
    values: tuple[float, ...] = Field(
        default=(), description="per objective; empty without a score"
    )
    intervals: tuple[Bounds | None, ...] = Field(default=(), description="per objective")
    constraints: tuple[float, ...] = Field(
        default=(), description="values beyond the bounds, kept at 0 or less"
    )
    feasible: bool = Field(description="complete, and it keeps all constraints")
    intermediate: dict[int, float] = Field(
        default={}, description="what the pruner was told, by step"
    )
    attempts: int = Field(default=1, description="times that it was tried")
    error: str | None = Field(default=None, description="why it failed")
    seconds: float | None = Field(default=None, description="of its stages")
    mlflow_run: str | None = Field(default=None, description="its run in the tracking store")
    stages: dict[str, str] = Field(default={}, description="key per stage of its first run")

    def interval(self, objective: int) -> Bounds | None:
        """The interval of its value of an objective, None where there is none."""
        return self.intervals[objective] if self.intervals else None


class Sampler(Record):
    """Who proposed trials."""

    name: str = Field(description="of the sampler")
    seed: int = Field(description="of its draws")


INSTANCES = "instances"
"""What a pruner counts in that compares instances, whose values differ much."""


class Pruner(Record):
    """Who stopped trials."""

    name: str = Field(description="of the pruner")
    at: tuple[int, ...] = Field(default=(), description="where it looked")
    what: str = Field(description="what that is counted in")


class Budget(Record):
    """Limits of a search, or what it spent."""

    trials: int | None = Field(default=None, description="trials; null: no limit")
    hours: float | None = Field(default=None, description="hours at work")
    denoiser_calls: float | None = Field(default=None, description="denoiser calls")


class Preset(Record):
    """The preset's own point."""

    trial: int | None = Field(default=None, description="number of the trial that has it")
    values: tuple[float, ...] = Field(
        default=(), description="per objective; empty without such a trial"
    )


class Share(Record):
    """How much a parameter matters to an objective."""

    name: str = Field(description="the parameter")
    value: float = Field(description="share of 1")
    lo: Number = Field(default=None, description="lower bound")
    hi: Number = Field(default=None, description="upper bound")


class Importance(Record):
    """How much each parameter matters to one objective."""

    objective: int = Field(description="its index")
    rows: tuple[Share, ...] = Field(default=(), description="the greatest share first")
    reason: str | None = Field(default=None, description="why there are none")


class ConfirmedRow(Record):
    """A trial against the baseline on fresh starts or seeds, in one objective and game."""

    arm: str = Field(description="the trial as an arm")
    game: str = Field(description="the game")
    objective: int = Field(description="its index")
    searched_value: Number = Field(description="what the search saw")
    arm_value: float = Field(description="of the fresh runs")
    baseline_value: float = Field(description="of the baseline's fresh runs")
    difference: Number = Field(description="arm minus baseline")
    lo: Number = Field(description="lower bound")
    hi: Number = Field(description="upper bound")
    unit: Unit = Field(default="seed", description="what is paired")
    p: Number = Field(default=None, description="of the t test")
    p_corrected: Number = Field(default=None, description="after Holm over all rows")
    verdict: ConfirmVerdict = Field(default="undecided", description="what the interval says")


class Confirmation(Record):
    """What the confirmation of a search said."""

    num_seeds: int = Field(description="training seeds")
    first_seed: int = Field(description="the first of them")
    starts: str = Field(description="held-out starts that the search had not seen")
    rows: tuple[ConfirmedRow, ...] = Field(description="per trial, objective and game")
    broken: tuple[str, ...] = Field(
        default=(), description="constraints that arms do not keep there"
    )


class Confirm(Record):
    """How the best trials are confirmed."""

    command: str = Field(description="the ablation that does it")
    study: str = Field(description="its name")
    trials: tuple[int, ...] = Field(description="numbers")
    arms: tuple[str, ...] = Field(description="the baseline and the trials")
    result: Confirmation | None = Field(default=None, description="null before it was run")


NUM_LEADING = 5
"""Trials that are shown beside the baseline where there is one objective."""


class Search(Record):
    """A search over parameters: its trials and what they say."""

    file: str | None = Field(default=None, description="of the declaration")
    sampler: Sampler = Field(description="who proposed trials")
    pruner: Pruner | None = Field(default=None, description="who stopped trials; null: nobody")
    budget: Budget = Field(description="the limits")
    spent: Budget = Field(description="what was used")
    space: tuple[Parameter, ...] = Field(description="the parameters")
    objectives: tuple[Objective, ...] = Field(description="what it aims at")
    constraints: tuple[Constraint, ...] = Field(default=(), description="what is bounded")
    trials: tuple[Trial, ...] = Field(description="by number")
    baseline: Preset = Field(description="the preset's own point")
    front: tuple[int, ...] = Field(
        description="feasible trials that none beats, sorted by the first objective"
    )
    best: int | None = Field(default=None, description="of a single objective")
    importance: tuple[Importance, ...] = Field(default=(), description="per objective")
    confirm: Confirm | None = Field(
        default=None, description="null where no trial is better than the preset"
    )

    @property
    def is_single(self) -> bool:
        """Whether there is one objective, so that one trial is the best."""
        return len(self.objectives) == 1

    @property
    def confirmation(self) -> Confirmation | None:
        """What the confirmation said, None where there was none."""
        return None if self.confirm is None else self.confirm.result

    def in_state(self, state: TrialState) -> list[Trial]:
        """The trials of one state."""
        return [trial for trial in self.trials if trial.state == state]

    def valued(self) -> list[Trial]:
        """The trials that have a value of every objective."""
        return [trial for trial in self.in_state("complete") if trial.values]

    def leading(self) -> list[Trial]:
        """The trials to show first: the front, or the best `NUM_LEADING` feasible ones."""
        if not self.is_single:
            return [self.trial(number) for number in self.front]
        sign = self.objectives[0].sign
        found = [trial for trial in self.valued() if trial.feasible]
        found.sort(key=lambda trial: (sign * trial.values[0], trial.number))
        return found[:NUM_LEADING]

    def against_baseline(self, values: Sequence[float]) -> tuple[int, int]:
        """In how many objectives some values are better and worse than the baseline's."""
        losses = [
            objective.sign * (ours - theirs)
            for objective, ours, theirs in zip(
                self.objectives, values, self.baseline.values, strict=True
            )
        ]
        return sum(loss < 0 for loss in losses), sum(loss > 0 for loss in losses)

    def reports(self, trial: Trial) -> list[tuple[int, float]]:
        """What a trial reported to the pruner, by rising checkpoint or number of instances.

        Where the pruner compares instances, each point is the mean over those up to it.
        """
        found = sorted(trial.intermediate.items())
        if not self._by_instances:
            return found
        means, total = [], 0.0
        for count, (_, value) in enumerate(found, start=1):
            total += value
            means.append((count, total / count))
        return means

    @property
    def reports_label(self) -> str:
        """What the reports to the pruner are counted in."""
        if self._by_instances:
            return f"{INSTANCES} (mean over them)"
        return "checkpoint" if self.pruner is None else self.pruner.what

    @property
    def _by_instances(self) -> bool:
        return self.pruner is not None and self.pruner.what == INSTANCES

    def trial(self, number: int) -> Trial:
        """A trial by its number.

        Raises:
            KeyError: There is no such trial.
        """
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise KeyError(f"the search has no trial {number}")

    def baseline_interval(self, objective: int) -> Bounds | None:
        """The interval of the baseline's value of an objective, where a trial has one."""
        number = self.baseline.trial
        return None if number is None else self.trial(number).interval(objective)
