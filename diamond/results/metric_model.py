"""Metrics, estimates and curves of the result."""

from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.results.values import Number, Numbers, Unit

Direction = Literal["higher", "lower", "real", "none"]
MetricKind = Literal["frame", "set"]
CurvePart = Literal["mean", "lo", "hi", "band_lo", "band_hi"]
"""Mean, bounds of the pointwise interval, bounds of the simultaneous band."""


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
