"""The record of a metric; its function, and what that imports, is in `scores`."""

from diamond.config.own_metrics import OwnMetric

EDGE_ERROR = OwnMetric(
    interface=1,
    name="edge_error",
    label="Edge error",
    unit="levels",
    direction="lower",
    low=0,
    score="edge_metrics.scores:edge_error",
    numerics=1,
)
