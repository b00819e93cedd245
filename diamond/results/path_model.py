"""What a path between two configurations changed, factor by factor."""

from pydantic import Field, JsonValue

from diamond.config.base import Record
from diamond.results.values import MEAN, Number, Unit


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
