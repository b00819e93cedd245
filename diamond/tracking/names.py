"""Names of metrics in the tracking store; its charts have one section a name up to the last slash.

The three curves of a metric share a section, in which charts stand in alphabetical order: the lower
bound, the mean, the upper bound. Names are made of the metric's own name alone, so that they stay
when metrics are added or grouped in another way.
"""

from typing import Literal

CurvePart = Literal["lower", "mean", "upper"]
PARTS: tuple[CurvePart, ...] = ("mean", "lower", "upper")
"""The mean first: a plot of several metrics draws its first one solid, the others dashed."""


def curve_name(metric: str, part: CurvePart) -> str:
    """Return the name of a curve against the time step, such as ``fidelity/psnr/lower``.

    A run of one seed and a baseline have the mean over their starts alone.
    """
    return f"fidelity/{metric}/{part}"


def overall_name(metric: str) -> str:
    """Return the name of the one number of a metric, such as ``overall/psnr``."""
    return f"overall/{metric}"


def noise_floor_name(metric: str) -> str:
    """Return the name of the noise floor of a metric against the time step."""
    return f"noise_floor/{metric}"
