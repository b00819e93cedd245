"""The table of fidelity metrics: names, units, directions; what computes them is elsewhere.

Claims, scores, documents and reports know metrics from here alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "real"]
Kind = Literal["frame", "set"]
Group = Literal[
    "pixels",
    "baselines",
    "objects",
    "modes",
    "frozen",
    "control",
    "reward and end",
    "policy",
    "distribution",
]
ScoringStage = Literal["fidelity"]
REAL_SUFFIX = "_real"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """How a metric is called and read.

    Fields:
        name: Key in scores and documents.
        label: Heading in tables and figures.
        unit: Unit of the values; empty for a pure number.
        direction: Which value is better; ``"real"``: closest to the value of the real frames.
        group: What it looks at.
        kind: ``"frame"``: one value a start and time step; ``"set"``: one value for all frames of a
            run, such as an area under a curve, kept as an array of shape (1, 1).
        has_real: Whether ``<name>_real``, the same measured on the real frames, stands beside it.
        stage: The stage that computes it.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    group: Group
    kind: Kind = "frame"
    has_real: bool = False
    stage: ScoringStage = "fidelity"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names under which its values are kept."""
        return (self.name, f"{self.name}{REAL_SUFFIX}") if self.has_real else (self.name,)


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("psnr", "PSNR", "dB", "higher", "pixels"),
    MetricSpec("ssim", "SSIM", "", "higher", "pixels"),
    MetricSpec("ms_ssim", "MS-SSIM", "", "higher", "pixels"),
    MetricSpec("l1", "L1 drift", "", "lower", "pixels"),
    MetricSpec("mse", "MSE", "", "lower", "pixels"),
    MetricSpec("psnr_fg", "PSNR, foreground", "dB", "higher", "pixels"),
    MetricSpec("ssim_fg", "SSIM, foreground", "", "higher", "pixels"),
    MetricSpec("ms_ssim_fg", "MS-SSIM, foreground", "", "higher", "pixels"),
    MetricSpec("l1_fg", "L1 drift, foreground", "", "lower", "pixels"),
    MetricSpec("mse_fg", "MSE, foreground", "", "lower", "pixels"),
    MetricSpec("colour_shift", "Colour shift", "", "lower", "pixels"),
    MetricSpec("skill_copy_l1", "L1 skill over copy last", "", "higher", "baselines"),
    MetricSpec("skill_copy_mse", "MSE skill over copy last", "", "higher", "baselines"),
    MetricSpec("beats_copy", "Frames better than copy last", "", "higher", "baselines"),
    MetricSpec("skill_background_l1", "L1 skill over background", "", "higher", "baselines"),
    MetricSpec("skill_background_mse", "MSE skill over background", "", "higher", "baselines"),
    MetricSpec("beats_background", "Frames better than background", "", "higher", "baselines"),
    MetricSpec("foreground_iou", "Foreground IoU", "", "higher", "objects"),
    MetricSpec("object_precision", "Object precision", "", "higher", "objects"),
    MetricSpec("object_recall", "Object recall", "", "higher", "objects"),
    MetricSpec("object_count_error", "Object count error", "objects", "lower", "objects"),
    MetricSpec("object_centroid_error", "Object centroid error", "pixels", "lower", "objects"),
    MetricSpec("core_ratio", "Core ratio", "", "real", "modes", has_real=True),
    MetricSpec("hf_ratio", "High-frequency energy ratio", "", "real", "modes", has_real=True),
    MetricSpec("frozen", "Frozen frames", "", "real", "frozen", has_real=True),
    MetricSpec("psnr_frozen", "PSNR, frozen frames", "dB", "higher", "frozen"),
    MetricSpec("psnr_moving", "PSNR, moving frames", "dB", "higher", "frozen"),
    MetricSpec("l1_frozen", "L1 drift, frozen frames", "", "lower", "frozen"),
    MetricSpec("l1_moving", "L1 drift, moving frames", "", "lower", "frozen"),
    MetricSpec(
        "nearest_l1", "Distance to the nearest real frame", "", "lower", "distribution",
        has_real=True,
    ),  # fmt: skip
)
"""All metrics, in the order of tables."""

METRIC_OF: Mapping[str, MetricSpec] = {column: spec for spec in METRICS for column in spec.columns}
"""The metric of every name under which values are kept, ``<name>_real`` included."""


def is_set(column: str) -> bool:
    """Whether a column has one value for all frames of a run, and so no time steps.

    Args:
        column: Name of a metric, ``<name>_real`` included; an unknown one has time steps.
    """
    return column in METRIC_OF and METRIC_OF[column].kind == "set"
