"""Reading of the result document: arms, estimates, failures, numbers as text; no statistics."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from diamond.config.metrics import METRIC_OF

Document = Mapping[str, Any]
Arm = Mapping[str, Any]

CurvePart = Literal["mean", "lo", "hi", "band_lo", "band_hi"]
"""Mean, bounds of the pointwise interval, bounds of the simultaneous band."""

ABSENT = "–"


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; the bounds are None where no interval could be made."""

    mean: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is called and read; `real` means that closer to the real frames is better.

    `group` is what it is about, such as pixels or objects; empty where the document does not say.
    `kind` is set where a run has one value for all frames and so no time steps.
    """

    name: str
    label: str
    unit: str
    direction: Literal["higher", "lower", "real"]
    group: str = ""
    kind: Literal["frame", "set"] = "frame"


@dataclass(frozen=True)
class Failure:
    """One run without a result, and the reason in one line and in full."""

    arm: str
    game: str
    seed: int
    state: str
    cause: str
    error: str


_DECIMALS = {"psnr": 2, "psnr_fg": 2, "l1": 4, "l1_fg": 4}
_BETTER = {
    "higher": "higher is better",
    "lower": "lower is better",
    "real": "closer to the real frames is better",
}


def decimals(metric: str) -> int:
    """Return how many decimals the reader needs for a value of this metric."""
    return _DECIMALS.get(metric, 3)


def shown_decimals(info: MetricInfo, values: Iterable[float | None]) -> int:
    """Return the decimals of a table of values of a metric, at most 6.

    Errors can be small: two digits of the smallest one are shown.
    """
    places = decimals(info.name)
    spec = METRIC_OF.get(info.name)
    if spec is None or spec.low != 0 or info.direction != "lower":
        return places
    smallest = min((value for value in values if value), default=1.0)
    return max(places, min(6, 1 - math.floor(math.log10(smallest))))


def better(info: MetricInfo) -> str:
    """Say which values of a metric are good ones."""
    return _BETTER[info.direction]


def arms_of(doc: Document, game: str, kind: str | None = None) -> list[Arm]:
    """Return the arms of one game in the order of the document, all or of one kind."""
    return [
        arm for arm in doc["arms"] if arm["game"] == game and (kind is None or arm["kind"] == kind)
    ]


def metric_infos(doc: Document) -> list[MetricInfo]:
    """Return the metrics of the document, without those that describe the real frames."""
    infos = [
        MetricInfo(
            row["name"],
            row["label"],
            row.get("unit") or "",
            row["direction"],
            row.get("group") or "",
            row.get("kind") or "frame",
        )
        for row in doc["metrics"]
    ]
    return [info for info in infos if not info.name.endswith("_real")]


def metric_info(doc: Document, name: str) -> MetricInfo:
    """Return the description of one metric.

    Raises:
        KeyError: The document has no such metric.
    """
    for info in metric_infos(doc):
        if info.name == name:
            return info
    raise KeyError(f"the document describes no metric {name!r}")


def imagines(arm: Arm) -> bool:
    """Tell whether an arm has a world model; an agent trained in the real game has none."""
    return bool(arm.get("imagines", True))


def estimate(arm: Arm, metric: str, at: str) -> Estimate | None:
    """Return the estimate of an arm at a time step (``"5"``) or over the horizon (``"mean"``)."""
    entry = (arm.get("metrics") or {}).get(metric, {}).get(at)
    if entry is None or entry["mean"] is None:
        return None
    return Estimate(entry["mean"], entry.get("lo"), entry.get("hi"))


def real_estimate(doc: Document, game: str, metric: str, at: str) -> Estimate | None:
    """Return the same quantity measured on the real frames, where the metric has one."""
    found = (estimate(arm, f"{metric}_real", at) for arm in arms_of(doc, game))
    return next((value for value in found if value is not None), None)


def curve(arm: Arm, metric: str, part: CurvePart) -> Sequence[float | None]:
    """Return a horizon curve of an arm, element j at time step j + 1; empty where there is none."""
    found: Sequence[float | None] = (arm.get("curves") or {}).get(metric, {}).get(part) or ()
    return found


def has_curve(doc: Document, game: str, metric: str) -> bool:
    """Tell whether any arm of the game has a value of this metric at some time step."""
    return any(
        value is not None for arm in arms_of(doc, game) for value in curve(arm, metric, "mean")
    )


def run_mean(arm: Arm, section: Literal["costs", "returns"], name: str) -> float | None:
    """Return the mean of a run's number over the runs that have it, None where no run has it."""
    rows = [run[section] for run in arm["runs"] if run.get(section)]
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def return_labels(doc: Document) -> list[str]:
    """Return the caveats that the returns carry, each once, in the order of the document."""
    labels = (
        run["returns"]["label"]
        for arm in doc["arms"]
        for run in arm["runs"]
        if run.get("returns") and run["returns"].get("label")
    )
    return list(dict.fromkeys(labels))


def failures(doc: Document, game: str | None = None) -> list[Failure]:
    """Return the runs that failed or were cut short, of one game or of all.

    A run that stops where the study was to stop, or that was left out, is none of them.
    """
    as_asked = {"done", "pending"} | ({"cut"} if doc["until"] != "report" else set())
    return [
        Failure(
            arm=arm["name"],
            game=arm["game"],
            seed=run["seed"],
            state=run["state"],
            cause=first_cause(run.get("error")),
            error=(run.get("error") or "").strip(),
        )
        for arm in doc["arms"]
        for run in arm["runs"]
        if (run["state"] not in as_asked or run.get("error"))
        and (game is None or arm["game"] == game)
    ]


def first_cause(error: str | None) -> str:
    """Return the line that says what happened: the last one of a traceback, else the first one."""
    lines = [line.strip() for line in (error or "").splitlines() if line.strip()]
    if not lines:
        return "no cause was recorded"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def level_text(arms: Iterable[Arm]) -> str:
    """Return the level of the intervals, such as ``95%``."""
    levels = (arm["interval"]["level"] for arm in arms if arm.get("interval"))
    return f"{100 * next(levels, 0.95):g}%"


def number(value: float | None, places: int) -> str:
    """Write a number with `places` decimals and no negative zero; an absent one is a dash."""
    return ABSENT if value is None else f"{value:z.{places}f}"


def span(lo: float | None, hi: float | None, places: int) -> str:
    """Write an interval as ``0.57 to 0.66``; empty where there is none."""
    return "" if lo is None or hi is None else f"{number(lo, places)} to {number(hi, places)}"


def visible_decimals(values: Iterable[float | None], places: int) -> int:
    """Return the fewest decimals, at least `places` and at most 6, that round no value but 0 to 0.

    A clear difference of 0.004 (0.001 to 0.007) must not read as 0.00 (0.00 to 0.01).
    """
    smallest = min((abs(value) for value in values if value), default=1.0)
    while places < 6 and smallest < 0.5 * 10.0**-places:
        places += 1
    return places
