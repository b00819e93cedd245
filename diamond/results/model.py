"""The result of a study: one frozen value that every command builds and every reader reads.

A number that is not defined is None, in JSON null: NaN ends here. How the value is written and read
is in `document`; docs/reference/result.md is made from the fields below.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from diamond.ablation.declarations import Override
from diamond.config.base import Record
from diamond.stats.pareto import pareto

Direction = Literal["higher", "lower", "real"]
MetricKind = Literal["frame", "set"]
ArmKind = Literal["arm", "baseline"]
RunState = Literal["done", "failed", "cut", "pending"]
Unit = Literal["seed", "start"]
Family = Literal["primary", "secondary", "control", "reference", "path"]
Decision = Literal["shown", "shown alone", "not shown", "undefined"]
Verdict = Literal["PASS", "FAIL", "UNDECIDED"]
CurvePart = Literal["mean", "lo", "hi", "band_lo", "band_hi"]
"""Mean, bounds of the pointwise interval, bounds of the simultaneous band."""
TrialState = Literal["complete", "pruned", "failed", "running"]
Aim = Literal["maximize", "minimize"]
ConfirmVerdict = Literal["confirmed", "refuted", "undecided", "no interval"]
Value = int | float | str
"""Of a parameter of a sweep."""

MEAN = "mean"
"""Where a value is the mean over the horizon, or the one value of a metric of a set."""


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def defined(values: Iterable[float | None]) -> tuple[float | None, ...]:
    """Numbers as a result has them: None for NaN and infinity, which JSON does not have."""
    return tuple(_defined(value) for value in values)


Number = Annotated[float | None, BeforeValidator(_defined)]
Numbers = Annotated[tuple[float | None, ...], BeforeValidator(defined)]


@dataclass(frozen=True)
class Failure:
    """One run without a result, and the reason in one line and in full."""

    arm: str
    game: str
    seed: int
    state: RunState
    cause: str
    error: str


class Metric(Record):
    """How a metric is called and read."""

    name: str = Field(description="its key in `metrics` and `curves` of arms and runs")
    label: str = Field(description="heading in tables and figures")
    unit: str = Field(default="", description="unit of its values, empty for a pure number")
    direction: Direction = Field(
        description="which value is better; `real`: the closer to the real frames"
    )
    group: str = Field(default="", description="what it is about, such as pixels or objects")
    kind: MetricKind = Field(
        default="frame",
        description="`frame`: a value a time step; `set`: one a run, under `mean` alone",
    )

    @property
    def better(self) -> str:
        """Which values are good ones, in words."""
        match self.direction:
            case "higher":
                return "higher is better"
            case "lower":
                return "lower is better"
            case "real":
                return "closer to the real frames is better"

    @property
    def title(self) -> str:
        """The label with the unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


class Estimate(Record):
    """A mean with its interval."""

    mean: float = Field(description="mean over the units that have a value")
    lo: Number = Field(
        default=None, description="lower bound of the interval; null where there is none"
    )
    hi: Number = Field(default=None, description="upper bound")
    n: int = Field(default=0, description="units that have a value")


class Curve(Record):
    """A metric against the time step: element j is at time step j + 1."""

    mean: Numbers = Field(default=(), description="mean at each time step")
    lo: Numbers = Field(
        default=(), description="lower bound of the interval at that time step alone"
    )
    hi: Numbers = Field(default=(), description="upper bound")
    band_lo: Numbers = Field(
        default=(),
        description="lower bound of the band that holds for the whole curve; null with one unit, "
        "or fewer than ten starts of one model",
    )
    band_hi: Numbers = Field(default=(), description="upper bound of that band")


class Interval(Record):
    """How the intervals of an arm were made."""

    level: float = Field(description="nominal coverage")
    method: str = Field(description="of the intervals")
    band_method: str = Field(default="", description="of the bands")
    unit: Unit = Field(description="what is replicated: seeds where there are two or more")
    n: int = Field(description="how many of them")


class Stage(Record):
    """A stage that a run needs."""

    key: str = Field(description="of its folder in the home")
    made: bool = Field(
        default=False, description="whether this command made it; otherwise it was there before"
    )
    seconds: float = Field(default=0.0, description="that it took when it was made")
    state: str = Field(default="done", description="done, failed, partial or missing")


class Returns(Record):
    """What a policy earned in the real game."""

    mean: float = Field(description="over episodes, points of the game")
    lo: Number = Field(default=None, description="lower bound of the interval over episodes")
    hi: Number = Field(default=None, description="upper bound")
    n: int = Field(description="episodes")
    random_mean: Number = Field(default=None, description="mean of a player that acts at random")
    hns: Number = Field(
        default=None, description="human-normalised score; null unless the whole game was played"
    )
    label: str = Field(default="", description="what the returns can be compared with")


class FrameCost(Record):
    """What an imagined frame took."""

    denoiser_calls_per_frame: int = Field(description="calls of the denoiser")
    ms_per_frame: float = Field(description="milliseconds")
    rollout_seconds: float = Field(description="seconds of all rollouts")
    num_parameters: int = Field(description="parameters of the denoiser")


class Run(Record):
    """One training seed of an arm in a game."""

    seed: int = Field(description="training seed")
    state: RunState = Field(default="done", description="`pending`: left out by `--only`")
    error: str | None = Field(default=None, description="why it failed: the stage and the cause")
    run_key: str | None = Field(default=None, description="of its run in the tracking store")
    stages: dict[str, Stage] = Field(default={}, description="by name, in the order of work")
    metrics: dict[str, dict[str, Number]] = Field(
        default={}, description="means over starts, by metric and `at`: a time step or `mean`"
    )
    curves: dict[str, Numbers] = Field(
        default={}, description="means over starts at each time step"
    )
    returns: Returns | None = Field(default=None, description="null where it did not play")
    costs: FrameCost | None = Field(default=None, description="null where it imagined nothing")


class Matched(Record):
    """A number that was scaled so that arms cost the same."""

    field: str = Field(description="dotted name")
    old: int = Field(description="before")
    new: int = Field(description="after")


class Arm(Record):
    """An arm or a baseline in one game."""

    name: str = Field(description="as tables have it")
    kind: ArmKind = Field(description="`baseline`: a world model without training")
    game: str = Field(description="the game")
    axis_values: dict[str, str] = Field(default={}, description="text of the value per axis")
    is_baseline: bool = Field(default=False, description="whether the others are compared with it")
    aa: bool = Field(
        default=False, description="the baseline arm with other seeds: pairs with none"
    )
    matched: tuple[Matched, ...] = Field(default=(), description="what was scaled for equal cost")
    imagines: bool = Field(default=True, description="false without a world model: no fidelity")
    runs: tuple[Run, ...] = Field(description="one a training seed")
    metrics: dict[str, dict[str, Estimate | None]] = Field(
        default={},
        description="by metric and `at`: a time step or `mean`, the mean over the horizon",
    )
    curves: dict[str, Curve] = Field(default={}, description="by metric; none of a set")
    interval: Interval | None = Field(default=None, description="null where nothing is scored")

    def estimate(self, metric: str, at: str) -> Estimate | None:
        """The estimate at a time step (``"5"``) or over the horizon (``"mean"``)."""
        return self.metrics.get(metric, {}).get(at)

    def curve(self, metric: str, part: CurvePart) -> tuple[float | None, ...]:
        """A curve, element j at time step j + 1; empty where there is none."""
        found = self.curves.get(metric)
        return () if found is None else getattr(found, part)

    def mean_return(self, name: Literal["mean", "hns", "random_mean"]) -> float | None:
        """The mean of a number of the returns over the runs that have it."""
        return _mean(getattr(run.returns, name) for run in self.runs if run.returns)

    def mean_cost(
        self, name: Literal["denoiser_calls_per_frame", "ms_per_frame", "rollout_seconds",
                            "num_parameters"]
    ) -> float | None:  # fmt: skip
        """The mean of a cost over the runs that have it."""
        return _mean(getattr(run.costs, name) for run in self.runs if run.costs)


class Comparison(Record):
    """An arm minus the baseline arm of its game in one metric."""

    game: str = Field(description="the game")
    metric: str = Field(description="the metric")
    at: str = Field(default=MEAN, description="`mean`: the mean over the horizon")
    a: str = Field(description="the arm")
    b: str = Field(description="the baseline arm")
    family: Family = Field(
        description="`primary` metric; `secondary`: other metrics, exploratory; `control`: A/A, "
        "unpaired; `reference`: not trained; `path`: on the way between the ends of a path; only "
        "the first two are corrected"
    )
    difference: Number = Field(description="a - b of the mean over the horizon")
    lo: Number = Field(description="lower bound of its interval")
    hi: Number = Field(description="upper bound")
    n: int = Field(description="units")
    unit: Unit = Field(description="what is replicated")
    method: str = Field(description="how the interval was made")
    p_t: Number = Field(
        default=None, description="p of the t test behind the interval; null with one seed"
    )
    p: Number = Field(default=None, description="exact sign-flip p; it decides nothing")
    p_min: Number = Field(default=None, description="the smallest that so many seeds can give")
    within_noise: bool | None = Field(
        default=None, description="whether the difference is within the noise floor"
    )
    detectable: Number = Field(
        default=None,
        description="the smallest true difference shown with probability .8; null if unknown",
    )
    reason: str | None = Field(
        default=None,
        description="why it is undefined: no interval, arms trained apart with one seed each, an "
        "arm on the way of a path",
    )
    p_t_corrected: Number = Field(default=None, description="`p_t` after Holm over the family")
    p_corrected: Number = Field(default=None, description="`p` after Holm over the family")
    family_size: int | None = Field(default=None, description="p values of the family")
    decision: Decision = Field(
        default="undefined",
        description="`shown alone`: the interval leaves out 0, but Holm's p is above .05",
    )

    @property
    def is_shown(self) -> bool:
        """Whether a difference is shown, across its family where there is one."""
        return self.decision == "shown"


class NoiseFloor(Record):
    """What two trainings of the baseline arm differ by (root mean square) in one metric."""

    game: str = Field(description="the game")
    metric: str = Field(description="the metric")
    arm: str = Field(description="the baseline arm")
    n: int = Field(description="seeds")
    at: dict[str, Number] = Field(description="at the report steps and over the horizon, `mean`")
    curve: Numbers = Field(default=(), description="at every time step")
    reason: str | None = Field(default=None, description="why it is not defined")


class SurvivalCurve(Record):
    """The share of starts whose drift has stayed below a threshold, against the time step."""

    threshold: Number = Field(default=None, description="mean drift of the last frame repeated")
    steps: tuple[int, ...] = Field(default=(), description="time steps")
    survival: Numbers = Field(default=(), description="share at each of them")
    lo: Numbers = Field(default=(), description="lower bound at that time step alone")
    hi: Numbers = Field(default=(), description="upper bound")
    at_risk: tuple[int, ...] = Field(default=(), description="starts still followed, of all seeds")
    n: int = Field(default=0, description="units")
    unit: Unit | None = Field(default=None, description="what is replicated")
    method: str | None = Field(default=None, description="how curve and interval were made")
    median: Number = Field(default=None, description="time step; null: not reached")


class SurvivalRow(Record):
    """How long the frames that an arm imagines stay near the real ones."""

    game: str = Field(description="the game")
    arm: str = Field(description="the arm")
    metric: str = Field(default="l1", description="the drift")
    reason: str | None = Field(default=None, description="why there is no curve")
    curve: SurvivalCurve = Field(default=SurvivalCurve(), description="empty where there is none")


class Factor(Record):
    """What a path flips at once."""

    name: str = Field(description="of the axis or the field")
    old: dict[str, JsonValue] = Field(description="value per field at the start")
    new: dict[str, JsonValue] = Field(description="value per field at the end")


class Step(Record):
    """One step of a walk."""

    factors: tuple[str, ...] = Field(description="what is flipped in it")
    arm: str = Field(description="the arm that it reaches")


class Change(Record):
    """What a flip, or several, changed in a metric."""

    change: Number = Field(default=None, description="after minus before")
    lo: Number = Field(default=None, description="lower bound")
    hi: Number = Field(default=None, description="upper bound")
    n: int = Field(default=0, description="units")
    unit: Unit | None = Field(default=None, description="what is replicated")
    method: str | None = Field(default=None, description="how the interval was made")


class Flip(Record):
    """What one step of a walk changed in a metric."""

    factors: tuple[str, ...] = Field(description="what is flipped in it")
    before: str = Field(description="the arm that it leaves")
    after: str = Field(description="the arm that it reaches")
    change: Change = Field(description="after minus before")


class FactorRange(Record):
    """What a group of factors changed in both walks."""

    factors: tuple[str, ...] = Field(description="that both walks tell apart from the rest")
    forward: Change = Field(description="in the walk from the start")
    backward: Change = Field(description="in the walk in reverse order")
    min: Number = Field(default=None, description="the smaller of the two")
    max: Number = Field(default=None, description="the larger of the two")


class PathMetric(Record):
    """The walks of a path in one metric."""

    values: dict[str, Number] = Field(description="per arm, over the cells that all arms share")
    cells_share: Number = Field(
        default=None, description="cells that all share, of those with any value"
    )
    walks: dict[str, tuple[Flip, ...]] = Field(description="`forward` and `backward`")
    ranges: tuple[FactorRange, ...] = Field(description="per group of factors")
    total: Change = Field(description="end minus start")
    sums: dict[str, Number] = Field(description="of the changes per direction: the total")


class LeftOut(Record):
    """A combination of a path that is no valid model."""

    direction: str = Field(description="of the walk that met it first")
    factors: tuple[str, ...] = Field(description="at their new values")
    reason: str = Field(description="why")


class Path(Record):
    """A path between two configurations in one game."""

    start: str = Field(description="the arm that it begins at")
    end: str = Field(description="the arm that it leads to")
    at: str = Field(default=MEAN, description="`mean`: the mean over the horizon")
    factors: tuple[Factor, ...] = Field(description="in the order of the forward walk")
    walks: dict[str, tuple[Step, ...]] = Field(description="`forward` and `backward`")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="each once")
    metrics: dict[str, PathMetric] = Field(default={}, description="by name")


class GameScores(Record):
    """Human-normalised scores of an arm over the games that all such arms have."""

    arm: str = Field(description="the arm")
    games: tuple[str, ...] = Field(description="two or more")
    num_runs: int = Field(description="of each game")
    method: str = Field(description="of the intervals")
    aggregates: dict[str, Estimate] = Field(
        description="mean, median, iqm and optimality_gap over runs and games"
    )
    per_game: dict[str, float] = Field(description="mean over runs")


class Declared(Record):
    """Whether claims were made before the results."""

    file: str = Field(description="of the declaration")
    hash: str = Field(description="of the claims")
    declared_at: str | None = Field(default=None, description="when, UTC; null: never")
    status: str = Field(description="in words")
    post_hoc: bool = Field(description="whether verdicts come after the results")
    overrides: tuple[Override, ...] = Field(
        default=(), description="options that took the place of what was declared"
    )


class ClaimPart(Record):
    """One difference that a claim is about."""

    difference: str = Field(description="left minus right, in words of the claim")
    relation: Literal["<", ">"] = Field(description="of the difference to 0")
    verdict: Verdict = Field(description="by the interval")
    reason: str | None = Field(default=None, description="why it is undecided")
    seeds: tuple[int, ...] = Field(description="that have a value")
    values: tuple[float, ...] = Field(description="of these seeds")
    absent: tuple[str, ...] = Field(default=(), description="seeds without a value, and why")
    mean: Number = Field(description="of the values")
    lo: Number = Field(description="lower bound")
    hi: Number = Field(description="upper bound")
    n: int = Field(description="units")
    unit: Unit = Field(description="what is replicated")
    method: str = Field(description="how the interval was made")
    p: Number = Field(default=None, description="exact sign-flip p; it decides nothing")
    p_min: Number = Field(default=None, description="the smallest that so many seeds can give")
    seeds_missing: int | None = Field(
        default=None, description="for a decision with probability .8; 101 is more than 100"
    )


class ClaimGame(Record):
    """A claim on one game."""

    game: str = Field(description="the game")
    verdict: Verdict = Field(description="on this game")
    reason: str | None = Field(default=None, description="why it is undecided")
    within_model: bool = Field(default=False, description="judged by starts of one trained model")
    holds: Literal["all", "any"] = Field(default="all", description="which of the parts must hold")
    arms: dict[str, str] = Field(default={}, description="arm per quantity")
    parts: tuple[ClaimPart, ...] = Field(default=(), description="the differences that it reads")


class Claim(Record):
    """A claim of a declaration with its verdict."""

    name: str = Field(description="its name")
    text: str = Field(description="what is claimed, with its source")
    expression: str = Field(description="what is computed")
    on_primary: bool = Field(description="whether it reads the primary metric alone")
    verdict: Verdict = Field(description="PASS where it passes on every game")
    within_model: bool = Field(default=False, description="judged by starts of one trained model")
    games: tuple[ClaimGame, ...] = Field(description="game by game")


class Strip(Record):
    """A film strip of the report."""

    game: str = Field(description="the game")
    start: int = Field(description="number of the start")
    steps: tuple[int, ...] = Field(description="time steps")
    rows: tuple[str, ...] = Field(description="arms")


class Costs(Record):
    """What the command took."""

    wall_seconds: float = Field(default=0.0, description="seconds of the command")
    stage_seconds: dict[str, float] = Field(default={}, description="of all its stages, by name")
    stages_made: int = Field(default=0, description="made by the command")
    stages_reused: int = Field(default=0, description="found done")


class Provenance(Record):
    """What made the result."""

    git_commit: str | None = Field(default=None, description="null outside of a checkout")
    dirty: bool | None = Field(default=None, description="whether there were uncommitted changes")
    sources: str = Field(default="", description="SHA-256 of the package")
    versions: dict[str, str | None] = Field(default={}, description="of libraries")
    platform: str = Field(default="", description="operating system")
    device: str | None = Field(default=None, description="that stages ran on")
    config: dict[str, dict[str, JsonValue]] = Field(
        default={}, description="resolved, by `arm | game`; of a search by game"
    )


class Places(Record):
    """Where things are, and the commands that show them."""

    home: str | None = Field(default=None, description="folder of runs")
    report_html: str | None = Field(default=None, description="the page")
    report_md: str | None = Field(default=None, description="the page as Markdown")
    report_json: str | None = Field(default=None, description="this document")
    mlflow_command: str | None = Field(default=None, description="shows the runs")
    dashboard_command: str | None = Field(default=None, description="shows the trials of a search")
    storage: str | None = Field(
        default=None, description="of a search, with `***` in place of its password"
    )
    real: str | None = Field(default=None, description="real frames that were scored against")
    imagined: str | None = Field(default=None, description="imagined frames from files")


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
    def baseline_number(self) -> float | None:
        """The preset's value as a number, None where it is none."""
        try:
            found = float(self.baseline or "")
        except ValueError:
            return None
        return found if math.isfinite(found) else None

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
    denoiser_calls: float | None = Field(default=None, description="calls of the denoiser")


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

    def pair_front(self, x: int, y: int) -> list[tuple[float, float]]:
        """The values of two objectives that no trial of the front beats in these two.

        Args:
            x: Index of one objective.
            y: Index of the other.

        Returns:
            Distinct pairs (value of x, value of y), by rising value of x.
        """
        values = [self.trial(number).values for number in self.front]
        pairs = list({(each[x], each[y]) for each in values})
        signs = self.objectives[x].sign, self.objectives[y].sign
        kept = pareto([(signs[0] * a, signs[1] * b) for a, b in pairs])
        return sorted(pairs[index] for index in kept)

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

    def last_report(self, trial: Trial) -> float | None:
        """What is known of a trial that was cut short, None where nothing was reported."""
        points = self.reports(trial)
        return points[-1][1] if points else None

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


class Result(Record):
    """A study: what was asked, what every arm or trial gave, what it says."""

    version: Literal[2] = Field(default=2, description="of this form")
    study: str = Field(description="its name, and that of its folder")
    question: str = Field(description="in words")
    command: str = Field(description="makes it again")
    preset: str = Field(description="where the configuration begins")
    games: tuple[str, ...] = Field(description="the games")
    seeds: tuple[int, ...] = Field(description="training seeds")
    protocol: str = Field(description="static or online")
    until: str = Field(default="report", description="the last stage that was asked for")
    design: str = Field(default="arms", description="grid, ofat, zip, path, arms or search")
    match: str | None = Field(
        default=None, description="what arms are equal in: updates, nfe or seconds; null: nothing"
    )
    horizon: int = Field(description="imagined env steps")
    report_steps: tuple[int, ...] = Field(default=(), description="time steps of tables and strips")
    primary_metric: str = Field(
        default="", description="the metric that was named beforehand; of a search empty"
    )
    baseline_arm: str = Field(
        default="",
        description="what the others are compared with: the first arm that imagines, or the first "
        "if none does; of a search empty",
    )
    metrics: tuple[Metric, ...] = Field(default=(), description="that any arm was scored in")
    arms: tuple[Arm, ...] = Field(default=(), description="arms and baselines of all games")
    path: dict[str, Path] = Field(default={}, description="by game; empty for other designs")
    comparisons: tuple[Comparison, ...] = Field(
        default=(), description="every other arm against the baseline arm, by metric and game"
    )
    noise_floor: tuple[NoiseFloor, ...] = Field(default=(), description="by game and metric")
    survival: tuple[SurvivalRow, ...] = Field(
        default=(), description="by game and arm that is scored"
    )
    hns: tuple[GameScores, ...] = Field(
        default=(), description="of arms with human-normalised scores in two or more games"
    )
    search: Search | None = Field(
        default=None, description="of `diamond sweep`; null for an ablation"
    )
    declaration: Declared | None = Field(default=None, description="null without one")
    claims: tuple[Claim, ...] = Field(default=(), description="of the declaration")
    summary: str = Field(default="", description="the answer in a sentence")
    notes: tuple[str, ...] = Field(default=(), description="what to know when reading it")
    strips: tuple[Strip, ...] = Field(default=(), description="film strips of the report")
    costs: Costs = Field(default=Costs(), description="what the command took")
    provenance: Provenance = Field(default=Provenance(), description="what made it")
    paths: Places = Field(default=Places(), description="where things are")
    files: dict[str, str] = Field(
        default={}, description="SHA-256 of the files of the report, by name"
    )

    def arms_of(self, game: str, kind: ArmKind | None = None) -> list[Arm]:
        """The arms of one game in their order, all or of one kind."""
        return [arm for arm in self.arms if arm.game == game and kind in (None, arm.kind)]

    def metric(self, name: str) -> Metric:
        """The description of one metric.

        Raises:
            KeyError: No arm was scored in it.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"the result describes no metric {name!r}")

    @property
    def primary(self) -> Metric:
        """The primary metric."""
        return self.metric(self.primary_metric)

    @property
    def scored(self) -> list[Metric]:
        """The metrics, without those that describe the real frames."""
        return [metric for metric in self.metrics if not metric.name.endswith("_real")]

    def real(self, game: str, metric: str, at: str) -> Estimate | None:
        """The same quantity measured on the real frames, where the metric has one."""
        found = (arm.estimate(f"{metric}_real", at) for arm in self.arms_of(game))
        return next((value for value in found if value is not None), None)

    def has_curve(self, game: str, metric: str) -> bool:
        """Whether any arm of a game has a value of a metric at some time step."""
        curves = (arm.curve(metric, "mean") for arm in self.arms_of(game))
        return any(value is not None for curve in curves for value in curve)

    def compared(self, game: str, metric: str) -> list[Comparison]:
        """The comparisons of a metric in a game that have a difference."""
        return [
            row
            for row in self.comparisons
            if row.game == game and row.metric == metric and row.difference is not None
        ]

    def floor(self, game: str, metric: str) -> NoiseFloor | None:
        """The noise floor of a metric in a game, None where it is not defined."""
        rows = (row for row in self.noise_floor if (row.game, row.metric) == (game, metric))
        return next((row for row in rows if row.reason is None), None)

    def return_labels(self) -> list[str]:
        """The caveats that the returns carry, each once."""
        runs = [run for arm in self.arms for run in arm.runs]
        return list(dict.fromkeys(r.returns.label for r in runs if r.returns and r.returns.label))

    def failures(self, game: str | None = None) -> list[Failure]:
        """The runs that failed or were cut short, of one game or of all.

        A run that stops where the study was to stop, or that was left out, is none of them.
        """
        as_asked = {"done", "pending"} | ({"cut"} if self.until != "report" else set())
        return [
            Failure(
                arm=arm.name,
                game=arm.game,
                seed=run.seed,
                state=run.state,
                cause=first_cause(run.error),
                error=(run.error or "").strip(),
            )
            for arm in self.arms
            if game in (None, arm.game)
            for run in arm.runs
            if run.state not in as_asked or run.error
        ]


def first_cause(error: str | None) -> str:
    """The line that says what happened: the last one of a traceback, else the first one."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    if not lines:
        return "no cause was recorded"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def level_text(arms: Iterable[Arm]) -> str:
    """The level of the intervals, such as ``95%``."""
    levels = (arm.interval.level for arm in arms if arm.interval)
    return f"{100 * next(levels, 0.95):g}%"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
