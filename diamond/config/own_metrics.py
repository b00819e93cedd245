"""Metrics of a user's own: the record that a package offers, and how it is found by its name.

Nothing is computed here: a record is read to plan, its function is loaded where frames are.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from diamond.config.base import Record
from diamond.config.metric_table import METRIC_OF, REAL_SUFFIX, MetricSpec
from diamond.config.plugins import load_object
from diamond.errors import RequestError, did_you_mean

GROUP = "diamond.metrics"
"""Entry points of packages with metrics."""
INTERFACE = 1
"""Version of `OwnMetric` and of the function that it names."""
OBJECT = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
"""``module:NAME``."""
TAKEN = frozenset(
    {
        *METRIC_OF,
        *("abs", "return", "hns"),
        *("skill_copy_l1_fg", "skill_copy_mse_fg"),
        *("ms_per_frame", "denoiser_calls_per_frame", "num_parameters"),
    }
)
"""Names that claims and sweeps have for something else."""
HOW = (
    "install the package that brings it (pip install PACKAGE); docs/how-to.md shows how a package "
    f'offers one under [project.entry-points."{GROUP}"]'
)


def _check_free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"{name!r} is the name of something else: give the metric another one")
    if name.endswith(REAL_SUFFIX):
        raise ValueError(f"{name!r}: names that end in {REAL_SUFFIX} are for real frames")
    return name


class OwnMetric(Record):
    """A metric that a package brings: one value a start and time step, from frames alone.

    Load no torch in the module of the record: plans read it.
    """

    interface: int = Field(description=f"version that it is written for, now {INTERFACE}")
    name: Annotated[str, AfterValidator(_check_free)] = Field(
        pattern="^[a-z][a-z0-9_]*$", description="key in scores, claims and documents"
    )
    label: str = Field(min_length=1, description="heading in tables and figures")
    unit: str = Field(default="", description="unit of the values, empty for a pure number")
    direction: Literal["higher", "lower"] = Field(description="which value is better")
    low: float | None = Field(default=None, description="no value is below it; null: no such bound")
    high: float | None = Field(default=None, description="no value is above it")
    score: str = Field(
        pattern=OBJECT,
        description="`module:function` of real and imagined frames, both uint8 (t, h, w, 3), to "
        "float64 (t,), NaN where it is not defined",
    )
    numerics: int = Field(
        ge=1, description="raised by one when the function gives other values for equal frames"
    )

    @model_validator(mode="before")
    @classmethod
    def _check_interface(cls, data: Any) -> Any:
        found = data.get("interface") if isinstance(data, Mapping) else None
        if found is not None and found != INTERFACE:
            raise ValueError(
                f"it is written for interface {found} of metrics, this diamond has {INTERFACE}"
            )
        return data

    @property
    def spec(self) -> MetricSpec:
        """How it is called and read, as those of the table are."""
        return MetricSpec(
            self.name,
            self.label,
            self.unit,
            self.direction,
            "packages",
            low=self.low,
            high=self.high,
            extra=True,
        )


def own_metrics(words: Sequence[str]) -> dict[str, OwnMetric]:
    """The metrics that words name, by the place ``module:NAME`` of their records, sorted by name.

    Args:
        words: Names of installed metrics, or places.

    Raises:
        RequestError: There is no such metric, it does not load, or two have one name.
    """
    found = {place: load_metric(place) for place in map(_place, words)}
    names = [metric.name for metric in found.values()]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"fidelity.metrics={list(words)}: two metrics are called {name!r}\n"
                "  leave one of them out"
            )
    return dict(sorted(found.items(), key=lambda item: item[1].name))


@cache
def load_metric(place: str) -> OwnMetric:
    """The record at ``module:NAME``.

    Raises:
        RequestError: It does not load, or is none; the text has its own error.
    """
    offered = [one for one in entry_points(group=GROUP) if one.value == place]
    called = f"the metric {place}" + (f" of the package {_packages(offered)}" if offered else "")
    found = load_object(place, called)
    if not isinstance(found, OwnMetric):
        raise RequestError(
            f"{called} is no record but of type {type(found).__name__}\n"
            "  allowed: an OwnMetric of diamond.config.own_metrics"
        )
    return found


def load_score(metric: OwnMetric) -> Callable[..., Any]:
    """The function of a metric; what it imports is imported now.

    Raises:
        RequestError: It does not load, or cannot be called.
    """
    called = f"the function {metric.score} of the metric {metric.name!r}"
    found: Callable[..., Any] = load_object(metric.score, called)
    if not callable(found):
        raise RequestError(
            f"{called} is of type {type(found).__name__}\n  allowed: a function of two arrays"
        )
    return found


@cache
def _place(word: str) -> str:
    """Where the record of a metric is, that is called so or stands there."""
    if ":" in word:
        return word
    if word in TAKEN:
        hint = "it is asked for with lpips=alex" if word == "lpips" else "leave it out"
        raise RequestError(
            f"{word!r} is no metric of your own: fidelity.metrics adds those of packages\n  {hint}"
        )
    installed = entry_points(group=GROUP)
    offered = [one for one in installed if one.name == word]
    places = sorted({one.value for one in offered})
    if not places:
        guess = did_you_mean(word, installed.names)
        names = ", ".join(sorted(installed.names)) or "none is installed"
        raise RequestError(
            f"unknown metric {word!r}.{guess}\n  allowed in fidelity.metrics: {names}; or "
            f"module:NAME\n  {HOW}"
        )
    if len(places) > 1:
        raise RequestError(
            f"the packages {_packages(offered)} offer a metric {word!r} each\n"
            f"  say which one by its place: {' or '.join(places)}"
        )
    name = load_metric(places[0]).name
    if name != word:
        raise RequestError(
            f"the metric {word!r} of the package {_packages(offered)} calls itself {name!r}\n"
            f'  give its entry point that name, in [project.entry-points."{GROUP}"]'
        )
    return places[0]


def _packages(offered: Sequence[EntryPoint]) -> str:
    return " and ".join(sorted({one.dist.name for one in offered if one.dist}))
