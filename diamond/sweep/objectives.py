"""What a sweep may aim at: the table of names, and the value of a run; no Optuna here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from diamond.config.metric_table import METRIC_OF, METRICS, MetricSpec
from diamond.plan.asked_metrics import asked_metrics
from diamond.plan.stage_keys import StageName

Aim = Literal["maximize", "minimize"]
Origin = Literal["metric", "distance", "skill", "return", "cost"]
MEAN = "mean"


@dataclass(frozen=True)
class Quantity:
    """One number of a run that a sweep may aim at or bound.

    Attributes:
        name: What a file calls it.
        label: Heading in tables and figures.
        unit: Unit of the values; empty for a pure number.
        aim: Which value is better.
        origin: Where it comes from: a fidelity metric as it is; the distance of one to its value
            on the real frames; a skill over the last frame repeated; the real game; the cost.
        stage: The last stage that must be made for it.
        has_steps: Whether it has a value at a time step.
    """

    name: str
    label: str
    unit: str
    aim: Aim
    origin: Origin
    stage: StageName
    has_steps: bool = False


SKILLS = {"skill_copy_l1_fg": "l1_fg", "skill_copy_mse_fg": "mse_fg"}
"""Error metric behind each skill on changed pixels; the copy is the baseline's own run."""


def _of_metric(spec: MetricSpec) -> Quantity:
    has_steps = spec.kind == "frame"
    if spec.direction == "real":
        label = f"{spec.label}, distance to the real frames'"
        return Quantity(spec.name, label, spec.unit, "minimize", "distance", spec.stage, has_steps)
    aim: Aim = "maximize" if spec.direction == "higher" else "minimize"
    return Quantity(spec.name, spec.label, spec.unit, aim, "metric", spec.stage, has_steps)


_COSTS = (
    ("ms_per_frame", "ms per imagined frame", "ms"),
    ("denoiser_calls_per_frame", "denoiser calls per frame", ""),
    ("num_parameters", "parameters of what draws a frame", ""),
)
QUANTITIES: tuple[Quantity, ...] = (
    *(_of_metric(spec) for spec in METRICS if spec.direction != "none"),
    Quantity(
        "skill_copy_l1_fg",
        "L1 skill over copy last, changed pixels",
        "",
        "maximize",
        "skill",
        "fidelity",
        True,
    ),
    Quantity(
        "skill_copy_mse_fg",
        "MSE skill over copy last, changed pixels",
        "",
        "maximize",
        "skill",
        "fidelity",
        True,
    ),
    Quantity("return", "Return in the real game", "points", "maximize", "return", "returns"),
    Quantity("hns", "Human-normalised score", "", "maximize", "return", "returns"),
    *(Quantity(name, label, unit, "minimize", "cost", "rollouts") for name, label, unit in _COSTS),
)
"""Everything that can be an objective or a constraint, in the order of the reference."""
QUANTITY_OF = {quantity.name: quantity for quantity in QUANTITIES}


def quantities(settings: Mapping[str, str]) -> dict[str, Quantity]:
    """Everything that a sweep with these settings may aim at, by name.

    Args:
        settings: Text of the value per axis or field; metrics of the user's own are asked for here.

    Raises:
        RequestError: Such a metric is not there or does not load.
    """
    own = asked_metrics(settings)
    return QUANTITY_OF | {name: _of_metric(spec) for name, spec in own.items()}


@dataclass(frozen=True)
class Measure:
    """A quantity at a time step, or over the horizon.

    Attributes:
        quantity: The quantity.
        time_step: Time step; None is the mean over the horizon, which for a skill is the area
            under its curve divided by the horizon.
    """

    quantity: Quantity
    time_step: int | None = None

    @property
    def name(self) -> str:
        """``psnr`` or ``psnr@10``."""
        own = self.quantity.name
        return own if self.time_step is None else f"{own}@{self.at}"

    @property
    def at(self) -> str:
        """Key of the value in scores: ``mean`` or the time step."""
        return MEAN if self.time_step is None else str(self.time_step)

    @property
    def label(self) -> str:
        """Heading in tables and figures."""
        own = self.quantity
        if self.time_step is not None:
            return f"{own.label}, t={self.time_step}"
        return f"{own.label}, mean over t" if own.has_steps else own.label


def needs_lpips(quantity: Quantity) -> bool:
    """Whether a quantity is there only where it is asked for by an axis."""
    return quantity.name in METRIC_OF and METRIC_OF[quantity.name].extra
