"""Arms and their runs in the result: what each was, gave and cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.config.player_names import UnseeingPlayer
from diamond.results.metric_model import Curve, CurvePart, Estimate, Interval
from diamond.results.number_text import Written, written
from diamond.results.returns_model import PlayerPoints, Returns
from diamond.results.values import Number, Numbers

ArmKind = Literal["arm", "baseline", "control"]
CostName = Literal["denoiser_calls_per_frame", "ms_per_frame", "rollout_seconds", "num_parameters"]
RunState = Literal["done", "failed", "cut", "pending"]


@dataclass(frozen=True)
class Failure:
    """One run without a result, and the reason in one line and in full."""

    arm: str
    game: str
    seed: int
    state: RunState
    cause: str
    error: str


class Machine(Record):
    """What a stage was made on; of one whose manifest does not tell, the device alone is known."""

    device: str = Field(description="cuda or cpu, with `(compiled)` where networks were compiled")
    name: str | None = Field(default=None, description="of the GPU or processor; null: unknown")
    instructions: str | None = Field(
        default=None, description="vector instructions of a processor that torch used"
    )
    host: str | None = Field(default=None, description="its name in the network")

    @property
    def kind(self) -> str:
        """What decides how it rounds, in words."""
        if self.name is None:
            return f"unknown ({self.device})"
        compiled = "compiled" if "compiled" in self.device else ""
        more = ", ".join(filter(None, (self.instructions, compiled)))
        return f"{self.name} ({more})" if more else self.name


def are_several_kinds(machines: Iterable[Machine]) -> bool:
    """Whether machines are known to be of several kinds; one without a name may be any of them."""
    found = set(machines)
    named = {one.kind for one in found if one.name is not None}
    return len(named) > 1 or len({one.device for one in found}) > 1


class Stage(Record):
    """A stage that a run needs."""

    key: str = Field(description="of its folder in the home")
    made: bool = Field(
        default=False, description="whether this command made it; otherwise it was there before"
    )
    seconds: float = Field(default=0.0, description="that it took when it was made")
    state: str = Field(default="done", description="done, failed, partial or missing")
    machine: Machine | None = Field(
        default=None, description="that made it; null where it is not made, or nothing says"
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
    beside: dict[UnseeingPlayer, Estimate] = Field(
        default={},
        description="what the policies earned more than each player that looks at no frame: over "
        "the seeds with a t interval, of one run over its episodes",
    )
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

    def written_return(self) -> Written:
        """The mean return as text, with the interval over seeds, of one run that over episodes."""
        mean, over = self.mean_return("mean"), self.estimate("return", "mean")
        played = [run.returns for run in self.runs if run.returns]
        if len(played) == 1:
            return written(mean, played[0].lo, played[0].hi)
        return written(mean, over.lo, over.hi) if over else written(mean)

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


def first_cause(error: str | None) -> str:
    """The line that says what happened: the last one of a traceback, else the first one."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    if not lines:
        return "no cause was recorded"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def real_value(arms: Iterable[Arm], metric: str, at: str) -> Estimate | None:
    """The same quantity measured on the real frames, where the metric has one: it is of no arm."""
    found = (arm.estimate(f"{metric}_real", at) for arm in arms)
    return next((value for value in found if value is not None), None)


def level_text(arms: Iterable[Arm]) -> str:
    """The level of the intervals, such as ``95%``."""
    levels = (arm.interval.level for arm in arms if arm.interval)
    return f"{100 * next(levels, 0.95):g}%"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
