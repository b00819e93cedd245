"""What the result says of arms side by side: differences, noise, defects, survival, games."""

from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.results.metric_model import Estimate
from diamond.results.values import MEAN, Number, Numbers, Unit

Family = Literal["primary", "secondary", "control", "reference", "path", "off_data"]
Decision = Literal["shown", "shown alone", "not shown", "undefined"]
Seen = Literal["worse", "better"]

ONE_SEED = "one seed: needs two seeds"
ON_THE_WAY = "on the way of a path: only its end is compared"
NO_INTERVAL = "no interval"
"""Reasons of comparisons that decide nothing."""


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
        default=None,
        description="p of the t test over the units; null without an interval",
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
    detectable_next: Number = Field(
        default=None, description="the same with one more seed; null if unknown"
    )
    reason: str | None = Field(
        default=None,
        description="why it is undefined: no interval, arms trained apart with one seed each, an "
        "arm on the way of a path, a preset that learns nothing, a dead part of an agent",
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
