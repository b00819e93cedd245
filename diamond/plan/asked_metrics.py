"""The metrics of a user's own that the settings of a declaration or a sweep ask for."""

from collections.abc import Mapping

from diamond.config.defaults import DEFAULT_ATARI_GAME, DEFAULT_PRESET
from diamond.config.metric_table import MetricSpec
from diamond.config.own_metrics import own_metrics
from diamond.config.presets import make_preset
from diamond.plan.designs import read_setting
from diamond.plan.variants import apply_axes

METRICS_FIELD = "fidelity.metrics"


def asked_metrics(settings: Mapping[str, str]) -> dict[str, MetricSpec]:
    """The metrics of the user's own that are computed, by name.

    Args:
        settings: Text of the value per axis or field.

    Raises:
        RequestError: The field has no such value, or a metric is not there or does not load.
    """
    if METRICS_FIELD not in settings:
        return {}
    asked = read_setting((f"{METRICS_FIELD}={settings[METRICS_FIELD]}",), "settings").chosen
    config = apply_axes(make_preset(DEFAULT_PRESET, DEFAULT_ATARI_GAME), asked)
    found = own_metrics(config.fidelity.metrics).values()
    return {metric.name: metric.spec for metric in found}
