"""The result of a study: one frozen value that every command builds and every reader reads.

A number that is not defined is None, in JSON null (`values`). How the value is written and read is
in `document`; docs/reference/result.md is made from the fields below.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, JsonValue

from diamond.config.base import Record
from diamond.config.player_names import UnseeingPlayer
from diamond.results.claims import Claim, Declared
from diamond.results.path_model import Path
from diamond.results.search import Search
from diamond.results.values import MEAN, Number, Numbers, Unit

Direction = Literal["higher", "lower", "real", "none"]
MetricKind = Literal["frame", "set"]
ArmKind = Literal["arm", "baseline", "control"]
CostName = Literal["denoiser_calls_per_frame", "ms_per_frame", "rollout_seconds", "num_parameters"]
RunState = Literal["done", "failed", "cut", "pending"]
Family = Literal["primary", "secondary", "control", "reference", "path", "off_data"]
Decision = Literal["shown", "shown alone", "not shown", "undefined"]
Seen = Literal["worse", "better"]
CurvePart = Literal["mean", "lo", "hi", "band_lo", "band_hi"]
"""Mean, bounds of the pointwise interval, bounds of the simultaneous band."""


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
        description="which value is better; `real`: the closer to the real frames; `none`: neither"
    )
    group: str = Field(default="", description="what it is about, such as pixels or objects")
    kind: MetricKind = Field(
        default="frame",
        description="`frame`: a value a time step; `set`: one a run, under `mean` alone",
    )
    low: Number = Field(default=None, description="no value is below it; null: no such bound")
    high: Number = Field(default=None, description="no value is above it; null: no such bound")

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
            case "none":
                return "neither more nor less is better"

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


class Points(Record):
    """What a player earned in the real game."""

    mean: float = Field(description="over episodes, points of the game")
    lo: Number = Field(default=None, description="lower bound of the interval over episodes")
    hi: Number = Field(default=None, description="upper bound")
    n: int = Field(description="episodes")
    distinct: int | None = Field(
        default=None, description="episodes that differ in actions or rewards; null if unknown"
    )
    reason: str | None = Field(default=None, description="why there is no interval")


class PlayerPoints(Points):
    """What a player earned that looks at no frame, and how much more the policy did."""

    player: UnseeingPlayer = Field(
        description="`random`; `random_held`: each action 1 to 8 env steps; `constant`: the best "
        "of the actions; `blind`: with the policy's own action frequencies"
    )
    action: str | None = Field(default=None, description="that `constant` takes")
    difference: float = Field(description="the policy's mean minus this one")
    difference_lo: Number = Field(default=None, description="lower bound of its interval")
    difference_hi: Number = Field(default=None, description="upper bound")
    difference_reason: str | None = Field(default=None, description="why it has no interval")


class PolicyPoints(Points):
    """What a policy earned in the real game, beside players that look at no frame."""

    players: tuple[PlayerPoints, ...] = Field(
        default=(), description="those that have played; Welch's t intervals over episodes"
    )

    def player(self, name: UnseeingPlayer) -> PlayerPoints | None:
        """One of the players; None where it has not played."""
        return next((one for one in self.players if one.player == name), None)


class StickyPoints(PolicyPoints):
    """The same with sticky actions."""

    sticky_actions: float = Field(description="chance that the game repeats the last action")


class LearningPoint(Points):
    """What a policy earned in the middle of its training."""

    updates: int = Field(description="of the policy")


class Returns(PolicyPoints):
    """What the policy of a run earned in the real game."""

    hns: Number = Field(
        default=None, description="human-normalised score; null unless the whole game was played"
    )
    label: str = Field(default="", description="what the returns can be compared with")
    sticky: StickyPoints | None = Field(
        default=None, description="with sticky actions; null where it was not asked for"
    )
    curve: tuple[LearningPoint, ...] = Field(
        default=(), description="against its updates, the end of training last; empty without tests"
    )


class FrameCost(Record):
    """What an imagined frame took."""

    denoiser_calls_per_frame: int = Field(description="calls of the network that draws a frame")
    ms_per_frame: float = Field(description="milliseconds")
    rollout_seconds: float = Field(description="seconds of all rollouts")
    num_parameters: int = Field(description="parameters of the network that draws a frame")


class Run(Record):
    """One training seed of an arm in a game."""

    seed: int = Field(description="training seed")
    state: RunState = Field(default="done", description="`pending`: left out by `--only`")
    error: str | None = Field(default=None, description="why it failed: the stage and the cause")
    run_key: str = Field(default="", description="of its run in the tracking store")
    stages: dict[str, Stage] = Field(default={}, description="by name, in the order of work")
    metrics: dict[str, dict[str, Number]] = Field(
        default={}, description="means over starts, by metric and `at`: a time step or `mean`"
    )
    curves: dict[str, Numbers] = Field(
        default={}, description="means over starts at each time step"
    )
    num_starts: int | None = Field(
        default=None,
        description="held-out starts that were looked for in its training frames; null where that "
        "is not known: it has none, collected them itself, or they are not in the home",
    )
    seen_starts: int | None = Field(
        default=None,
        description="those whose context, frames and actions, occurs there; null as `num_starts`",
    )
    seen_numbers: tuple[int, ...] = Field(default=(), description="which starts these are")
    known_frames: Number = Field(
        default=None,
        description="share of the real frames after the starts that occur in its training frames; "
        "null without starts off the data, or as `num_starts`",
    )
    known_frames_off_data: Number = Field(
        default=None, description="the same of the starts off the data"
    )
    unseen_mean: Number = Field(
        default=None,
        description="mean of the primary metric over the horizon and the other starts; null where "
        "none is seen, or all are",
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
    kind: ArmKind = Field(
        description="`baseline`: a world model without training; `control`: the baseline arm with "
        "a known defect"
    )
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
    off_data: dict[str, dict[str, Estimate | None]] = Field(
        default={}, description="as `metrics`, over the starts off the data alone"
    )

    def estimate(self, metric: str, at: str) -> Estimate | None:
        """The estimate at a time step (``"5"``) or over the horizon (``"mean"``)."""
        return self.metrics.get(metric, {}).get(at)

    def curve(self, metric: str, part: CurvePart) -> tuple[float | None, ...]:
        """A curve, element j at time step j + 1; empty where there is none."""
        found = self.curves.get(metric)
        return () if found is None else getattr(found, part)

    def mean_return(self, name: Literal["mean", "hns"]) -> float | None:
        """The mean of a number of the returns over the runs that have it."""
        return _mean(getattr(run.returns, name) for run in self.runs if run.returns)

    def player_points(self, name: UnseeingPlayer) -> list[PlayerPoints]:
        """What a player earned beside the policy of each run where it has played."""
        found = (run.returns.player(name) for run in self.runs if run.returns)
        return [one for one in found if one is not None]

    def unseen_mean(self) -> float | None:
        """The mean of the primary metric over starts that are not seen, over the runs with any."""
        return _mean(run.unseen_mean for run in self.runs)

    def mean_cost(self, name: CostName) -> float | None:
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
        "unpaired; `reference`: not trained; `path`: on the way between the ends of a path; "
        "`off_data`: on starts off the data, exploratory; only the first two are corrected"
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


class OffData(Record):
    """The starts of a better player in one game."""

    game: str = Field(description="the game")
    player: str = Field(description="expert, shipped, or the policy by its first digits")
    num_starts: int = Field(description="its held-out starts")


class Sensitivity(Record):
    """What a metric says of a known defect: the baseline arm with it minus without it."""

    game: str = Field(description="the game")
    metric: str = Field(description="the metric")
    defect: str = Field(description="actions_shuffled, lagged or blurred")
    difference: Number = Field(description="of the mean over the horizon")
    lo: Number = Field(description="lower bound, bootstrap over paired starts; null of a set")
    hi: Number = Field(description="upper bound")
    n: int = Field(description="starts")
    tells: bool | None = Field(
        description="whether the interval leaves out 0; null where there is none"
    )
    seen: Seen | None = Field(
        description="whether the metric takes the defect for worse or better frames; null where it "
        "does not tell it"
    )
    arms: Number = Field(
        description="largest difference of an arm to the baseline arm in the metric; null: none"
    )


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
    off_data: tuple[OffData, ...] = Field(
        default=(), description="by game; nothing else of the result reads these starts"
    )
    off_data_comparisons: tuple[Comparison, ...] = Field(
        default=(), description="as `comparisons`, over the starts off the data; exploratory"
    )
    controls: tuple[Arm, ...] = Field(
        default=(),
        description="the baseline arm with known defects, of all games; no arms of the answer",
    )
    sensitivity: tuple[Sensitivity, ...] = Field(
        default=(), description="what each metric says of each defect, by game"
    )
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
    warning: str = Field(
        default="", description="what in it is dead, in a sentence; empty where nothing is"
    )
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
            for arm in (*self.arms, *self.controls)
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
