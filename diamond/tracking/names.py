"""Names of metrics in the tracking store; its charts have one section a name up to the last slash.

MLflow sorts by name: what a study is about begins with `PRIMARY`, so that it stands first.

The three curves of a metric share a section, in which charts stand in alphabetical order: the lower
bound, the mean, the upper bound. Names are made of the metric's own name alone, so that they stay
when metrics are added or grouped in another way.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

PRIMARY = "_primary/"
"""Before the primary metric: an underscore sorts before letters, in Python and in a browser."""
CurvePart = Literal["lower", "mean", "upper"]
PARTS: tuple[CurvePart, ...] = ("mean", "lower", "upper")
"""The mean first: a plot of several metrics draws its first one solid, the others dashed."""
_UNTAKEN = re.compile(r"[^\w.\-]+")
_LONGEST = 200


def curve_name(metric: str, part: CurvePart) -> str:
    """Return the name of a curve against the time step, such as ``fidelity/psnr/lower``.

    A run of one seed and a baseline have the mean over their starts alone.
    """
    return f"fidelity/{metric}/{part}"


def overall_name(metric: str) -> str:
    """Return the name of the one number of a metric, such as ``overall/psnr``."""
    return f"overall/{metric}"


def primary_name(metric: str, end: Literal["", "lower", "upper"] = "") -> str:
    """Return the name of the one number of the primary metric, or of an end of its interval."""
    return f"{PRIMARY}{metric}{f' {end}' if end else ''}"


def arm_names(metric: str, arms: Iterable[str]) -> Mapping[str, str]:
    """Return the name under which a study shows its primary metric of each arm.

    MLflow takes few characters: ``steps=3`` is ``_primary/core_ratio/steps 3``. Where two arms
    would have one name, the later one gets a number.

    Args:
        metric: The primary metric.
        arms: Names of arms, each once.
    """
    names: dict[str, str] = {}
    for arm in arms:
        words = _UNTAKEN.sub(" ", arm).strip(" .") or "arm"
        base = name = f"{PRIMARY}{metric}/{words[:_LONGEST]}"
        number = 2
        while name in names.values():
            name, number = f"{base} {number}", number + 1
        names[arm] = name
    return names


def noise_floor_name(metric: str) -> str:
    """Return the name of the noise floor of a metric against the time step."""
    return f"noise_floor/{metric}"
