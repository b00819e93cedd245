"""The table of fidelity metrics: names, units, directions; what computes them is elsewhere.

Metrics that are not in it are users' own (`own_metrics`): a value a start and time step, without
one of the real frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "real", "none"]
Kind = Literal["frame", "set"]
Group = Literal[
    "pixels",
    "baselines",
    "objects",
    "cells",
    "modes",
    "frozen",
    "control",
    "reward and end",
    "policy",
    "distribution",
    "packages",
    "returns",
]
ScoringStage = Literal["fidelity", "policy_fidelity", "returns"]
REAL_SUFFIX = "_real"
NO_CELLS = (
    "no frames of the study are cells of a palette\n"
    "  MinAtar's are, seen at 10 x 10 pixels, or at a multiple of it with view.resize=nearest"
)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """How a metric is called and read.

    Fields:
        name: Key in scores and documents.
        label: Heading in tables and figures.
        unit: Unit of the values; empty for a pure number.
        direction: Which value is better; ``"real"``: closest to the value of the real frames, which
            it has; ``"none"``: neither is, it is to be read.
        group: What it looks at.
        kind: ``"frame"``: one value a start and time step; ``"set"``: one value for all frames of a
            run, such as an area under a curve, kept as an array of shape (1, 1), or one a start, of
            shape (starts, 1).
        has_real: Whether ``<name>_real``, the same measured on the real frames, stands beside it.
        stage: The stage that computes it.
        low: No value is below it; None: there is no such bound.
        high: No value is above it.
        extra: Whether it is scored only where it is asked for.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    group: Group
    kind: Kind = "frame"
    has_real: bool = False
    stage: ScoringStage = "fidelity"
    low: float | None = None
    high: float | None = None
    extra: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names under which its values are kept."""
        return (self.name, f"{self.name}{REAL_SUFFIX}") if self.has_real else (self.name,)


_REWARD_END_ROWS: tuple[tuple[str, str, str, Direction, Kind, int, int | None], ...] = (
    ("reward_f1", "Reward F1", "", "higher", "set", 0, 1),
    ("reward_recall_negative", "Recall of reward -1", "", "higher", "set", 0, 1),
    ("reward_recall_zero", "Recall of reward 0", "", "higher", "set", 0, 1),
    ("reward_recall_positive", "Recall of reward +1", "", "higher", "set", 0, 1),
    ("reward_precision_negative", "Precision of reward -1", "", "higher", "set", 0, 1),
    ("reward_precision_zero", "Precision of reward 0", "", "higher", "set", 0, 1),
    ("reward_precision_positive", "Precision of reward +1", "", "higher", "set", 0, 1),
    ("reward_timing_error", "Reward timing error", "env steps", "lower", "set", 0, None),
    ("reward_sum_error", "Reward sum error", "", "lower", "frame", 0, None),
    ("return_rank_correlation", "Rank correlation of returns", "", "higher", "set", -1, 1),
    ("reward_rate", "Reward rate", "", "real", "frame", 0, 1),
    ("reward_rate_drawn", "Reward rate, drawn", "", "real", "frame", 0, 1),
    ("reward_rate_ratio", "Imagined over real reward rate", "", "real", "set", 0, None),
    ("event_recall", "Event recall", "", "higher", "set", 0, 1),
    ("end_auroc", "End AUROC", "", "higher", "set", 0, 1),
    ("end_brier", "End Brier score", "", "lower", "set", 0, 1),
)
"""What the reward/end model says of rewards and ends: name, label, unit, better, kind, bounds."""

_EVENT_ROWS: tuple[tuple[str, str, Direction], ...] = (
    ("event_recall_rewards", "Event recall, rewards", "higher"),
    ("event_recall_ends", "Event recall, ends", "higher"),
    ("event_recall_4", "Event recall, four steps ahead", "higher"),
    ("event_false_alarm", "False alarms of events", "lower"),
)
"""What a world model draws around real events: name, label, better."""

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("psnr", "PSNR", "dB", "higher", "pixels", low=0),
    MetricSpec("ssim", "SSIM", "", "higher", "pixels", low=-1, high=1),
    MetricSpec("ms_ssim", "MS-SSIM", "", "higher", "pixels", low=0, high=1),
    MetricSpec("l1", "L1 drift", "", "lower", "pixels", low=0),
    MetricSpec("mse", "MSE", "", "lower", "pixels", low=0),
    MetricSpec("psnr_fg", "PSNR, foreground", "dB", "higher", "pixels", low=0),
    MetricSpec("ssim_fg", "SSIM, foreground", "", "higher", "pixels", low=-1, high=1),
    MetricSpec("ms_ssim_fg", "MS-SSIM, foreground", "", "higher", "pixels", low=0, high=1),
    MetricSpec("l1_fg", "L1 drift, foreground", "", "lower", "pixels", low=0),
    MetricSpec("mse_fg", "MSE, foreground", "", "lower", "pixels", low=0),
    MetricSpec("lpips", "LPIPS", "", "lower", "pixels", low=0, extra=True),
    MetricSpec("colour_shift", "Colour shift", "", "lower", "pixels", low=0),
    MetricSpec("skill_copy_l1", "L1 skill over copy last", "", "higher", "baselines", high=1),
    MetricSpec("skill_copy_mse", "MSE skill over copy last", "", "higher", "baselines", high=1),
    MetricSpec(
        "beats_copy", "Frames better than copy last", "", "higher", "baselines", low=0, high=1
    ),
    MetricSpec(
        "skill_background_l1", "L1 skill over background", "", "higher", "baselines", high=1
    ),
    MetricSpec(
        "skill_background_mse", "MSE skill over background", "", "higher", "baselines", high=1
    ),
    MetricSpec(
        "beats_background",
        "Frames better than background",
        "",
        "higher",
        "baselines",
        low=0,
        high=1,
    ),
    MetricSpec("foreground_iou", "Foreground IoU", "", "higher", "objects", low=0, high=1),
    MetricSpec("object_precision", "Object precision", "", "higher", "objects", low=0, high=1),
    MetricSpec("object_recall", "Object recall", "", "higher", "objects", low=0, high=1),
    MetricSpec("object_count_error", "Object count error", "objects", "lower", "objects", low=0),
    MetricSpec(
        "object_centroid_error", "Object centroid error", "pixels", "lower", "objects", low=0
    ),
    MetricSpec("cell_accuracy", "Cell accuracy", "", "higher", "cells", low=0, high=1),
    MetricSpec(
        "cell_accuracy_changed",
        "Cell accuracy, changed cells",
        "",
        "higher",
        "cells",
        low=0,
        high=1,
    ),
    MetricSpec(
        "cell_accuracy_events",
        "Cell accuracy, changed cells at events",
        "",
        "higher",
        "cells",
        low=0,
        high=1,
    ),
    MetricSpec(
        "event_frames_exact",
        "Exact frames at events",
        "",
        "higher",
        "cells",
        kind="set",
        low=0,
        high=1,
    ),
    MetricSpec("core_ratio", "Core ratio", "", "real", "modes", has_real=True, low=0, high=1),
    MetricSpec("energy_score", "Energy score", "", "lower", "modes", low=0),
    MetricSpec(
        "hf_ratio", "High-frequency energy ratio", "", "real", "modes", has_real=True, low=0
    ),
    MetricSpec("frozen", "Frozen frames", "", "real", "frozen", has_real=True, low=0, high=1),
    MetricSpec("psnr_frozen", "PSNR, frozen frames", "dB", "higher", "frozen", low=0),
    MetricSpec("psnr_moving", "PSNR, moving frames", "dB", "higher", "frozen", low=0),
    MetricSpec("l1_frozen", "L1 drift, frozen frames", "", "lower", "frozen", low=0),
    MetricSpec("l1_moving", "L1 drift, moving frames", "", "lower", "frozen", low=0),
    MetricSpec("delta_psnr", "Delta PSNR", "dB", "higher", "control"),
    MetricSpec(
        "delta_psnr_true", "Delta PSNR, both branches", "dB", "higher", "control", has_real=True
    ),
    MetricSpec(
        "delta_psnr_changed", "Delta PSNR, changed pixels", "dB", "higher", "control", has_real=True
    ),
    MetricSpec(
        "action_accuracy", "Action accuracy", "", "real", "control", has_real=True, low=0, high=1
    ),
    MetricSpec(
        "action_balanced_accuracy",
        "Action accuracy, balanced",
        "",
        "real",
        "control",
        kind="set",
        has_real=True,
        low=0,
        high=1,
    ),
    MetricSpec("action_r2", "Action R2", "", "real", "control", has_real=True, high=1),
    *(
        MetricSpec(
            name, label, unit, direction, "reward and end", kind, has_real=True, low=low, high=high
        )
        for name, label, unit, direction, kind, low, high in _REWARD_END_ROWS
    ),
    *(
        MetricSpec(name, label, "", direction, "reward and end", kind="set", low=0, high=1)
        for name, label, direction in _EVENT_ROWS
    ),
    MetricSpec(
        "policy_entropy",
        "Policy entropy over that of chance",
        "",
        "none",
        "policy",
        stage="policy_fidelity",
        low=0,
        high=1,
    ),
    MetricSpec(
        "imagined_return",
        "Return in imagination",
        "rewards",
        "none",
        "policy",
        kind="set",
        stage="policy_fidelity",
    ),
    MetricSpec(
        "real_return",
        "Return in the game from the same starts",
        "rewards",
        "higher",
        "policy",
        kind="set",
        stage="policy_fidelity",
    ),
    MetricSpec(
        "imagination_gap",
        "Imagination gap",
        "rewards",
        "real",
        "policy",
        kind="set",
        has_real=True,
        stage="policy_fidelity",
    ),
    MetricSpec("kl_policy", "Policy KL", "nats", "lower", "policy", stage="policy_fidelity", low=0),
    MetricSpec("value_error", "Value error", "", "lower", "policy", stage="policy_fidelity", low=0),
    MetricSpec(
        "greedy_agreement",
        "Same greedy action",
        "",
        "higher",
        "policy",
        stage="policy_fidelity",
        low=0,
        high=1,
    ),
    MetricSpec(
        "nearest_l1",
        "Distance to the nearest real frame",
        "",
        "lower",
        "distribution",
        has_real=True,
        low=0,
    ),
    MetricSpec(
        "fd_inverse_dynamics",
        "FD-inverse-dynamics",
        "",
        "lower",
        "distribution",
        kind="set",
        has_real=True,
        low=0,
    ),
)
"""All metrics of imagined trajectories, in the order of tables."""

RETURN = MetricSpec(
    "return", "Return in the real game", "points", "higher", "returns", kind="set", stage="returns"
)
"""What the policy of a run earned: the mean over its episodes."""
RESULT_METRICS = (*METRICS, RETURN)
"""All that arms are compared in, in the order of tables."""
METRIC_OF: Mapping[str, MetricSpec] = {
    column: spec for spec in RESULT_METRICS for column in spec.columns
}
"""The metric of every name under which values are kept, ``<name>_real`` included."""


def stage_of(column: str) -> ScoringStage:
    """The stage that computes a column; one that is not in the table is a user's own.

    Args:
        column: Name of a metric, ``<name>_real`` included.
    """
    return METRIC_OF[column].stage if column in METRIC_OF else "fidelity"


def is_set(column: str) -> bool:
    """Whether a column has one value for all frames of a run, and so no time steps.

    Args:
        column: Name of a metric, ``<name>_real`` included; a user's own has time steps.
    """
    return column in METRIC_OF and METRIC_OF[column].kind == "set"


def needs_cells(column: str) -> bool:
    """Whether a column is scored only where frames are cells of a palette.

    Args:
        column: Name of a metric, ``<name>_real`` included.
    """
    return column in METRIC_OF and METRIC_OF[column].group == "cells"
