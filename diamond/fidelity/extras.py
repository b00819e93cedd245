"""What frames are scored by only where it is asked for: LPIPS and metrics of a user's own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from diamond.arrays import ByteArray, FloatArray
from diamond.config.base import canonical_json
from diamond.config.own_metrics import load_metric, load_score
from diamond.errors import RequestError, StageFailedError
from diamond.fidelity.lpips import Lpips, find_lpips, load_lpips, lpips_distance

Score = Callable[[ByteArray, ByteArray], FloatArray]
"""Of real and imagined frames of one start, (t, h, w, 3) each, to (t,)."""


@dataclass(frozen=True)
class Extras:
    """Scores that were asked for.

    Attributes:
        lpips: The network of LPIPS, None to leave that metric out.
        own: Metrics of the user's own: the function of each name.
    """

    lpips: Lpips | None = None
    own: Mapping[str, Score] = field(default_factory=dict)


NO_EXTRAS = Extras()


def load_extras(section: Mapping[str, Any], device: torch.device) -> Extras:
    """Load what a fidelity stage asks for.

    Args:
        section: The part `fidelity` of its config.

    Raises:
        RequestError: Weights are not there; a metric does not load, or is not what was planned.
        WeightsError: Weights are damaged or others.
    """
    lpips = None
    if section.get("lpips", "none") != "none":
        lpips = load_lpips(find_lpips(), device)
    return Extras(lpips, {one["name"]: _own(one) for one in section.get("metrics", ())})


def check_extras(sections: Iterable[Mapping[str, Any]]) -> None:
    """Load what stages ask for, to see that it is there.

    Raises:
        DiamondError: As `load_extras`.
    """
    for section in {canonical_json(one): one for one in sections}.values():
        load_extras(section, torch.device("cpu"))


def extra_scores(real: ByteArray, imagined: ByteArray, extras: Extras) -> dict[str, FloatArray]:
    """What was asked for, of one start.

    Args:
        real: uint8 (t, h, w, 3).
        imagined: uint8 (t, h, w, 3).

    Returns:
        float64 (t,) by name.

    Raises:
        StageFailedError: A metric of the user's own returns something else.
    """
    found = {}
    if extras.lpips is not None:
        found["lpips"] = lpips_distance(real, imagined, extras.lpips)
    for name, score in extras.own.items():
        # Copies: what a function does to its frames, the next one does not see.
        values = score(real.copy(), imagined.copy()) if len(real) else np.empty(0)
        _check(name, values, len(real))
        found[name] = values
    return found


def _own(asked: Mapping[str, Any]) -> Score:
    metric = load_metric(asked["record"])
    found = (metric.name, metric.numerics)
    if found != (asked["name"], asked["numerics"]):
        raise RequestError(
            f"the metric at {asked['record']} is {found[0]!r} with numerics {found[1]}, and "
            f"{asked['name']!r} with numerics {asked['numerics']} was planned\n"
            "  give the command again: it plans what is installed"
        )
    return load_score(metric)


def _check(name: str, values: object, num_frames: int) -> None:
    what = type(values).__name__
    if isinstance(values, np.ndarray):
        what = f"{values.dtype} {values.shape}"
        if values.dtype == np.float64 and values.shape == (num_frames,):
            if not np.isinf(values).any():
                return
            what = "an infinite value"
    raise StageFailedError(
        f"the metric {name!r} returned {what} for {num_frames} frames\n"
        f"  allowed: float64 ({num_frames},), finite, or NaN where it is not defined"
    )
