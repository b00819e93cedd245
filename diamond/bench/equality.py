"""Whether both sides compute the same: largest differences and what they may be; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from diamond.bench.cases import Part
from diamond.config.networks import Precision
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of

LIMITS: Mapping[Precision, float] = {"float32": 1e-5, "bfloat16": 2e-2}
"""Largest difference that is allowed, as a part of the largest released value.

In float32 the order of additions alone makes some 1e-6; bfloat16 keeps 8 bits of a number, and the
released code, which has no such mode, computes in float32.
"""


@dataclass(frozen=True)
class Check:
    """One output of both sides.

    Attributes:
        part: The part that it belongs to.
        what: Loss, gradient norm, frame, logits.
        difference: Largest absolute difference.
        scale: Largest absolute value of the released output.
        limit: Largest difference that is allowed.
    """

    part: Part
    what: str
    difference: float
    scale: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether both compute the same; never with a value that is not a number."""
        return bool(self.difference <= self.limit)

    def data(self) -> dict[str, Any]:
        """The check as plain data; null for a difference that is not finite."""
        finite = np.isfinite([self.difference, self.scale]).all()
        return {
            "part": self.part,
            "what": self.what,
            "difference": self.difference if finite else None,
            "scale": self.scale if finite else None,
            "limit": self.limit if finite else None,
            "passed": self.passed,
        }


def compare_files(part: Part, ours: Path, released: Path, config: RunConfig) -> list[Check]:
    """Compare what both sides wrote for a part."""
    return compare(part, load_file(ours), load_file(released), limit_of(part, config))


def compare(
    part: Part,
    ours: Mapping[str, NDArray[np.float64]],
    released: Mapping[str, NDArray[np.float64]],
    limit: float,
) -> list[Check]:
    """Compare tensors of equal names.

    Args:
        part: What they belong to.
        ours: By name.
        released: By name, the same ones.
        limit: Allowed difference, relative to the largest released value.
    """
    assert set(ours) == set(released), sorted(set(ours) ^ set(released))
    checks = []
    for name, other in released.items():
        assert ours[name].shape == other.shape, name
        scale = float(np.abs(other).max())
        difference = float(np.abs(ours[name] - other).max())
        checks.append(Check(part, name, difference, scale, limit * scale))
    return checks


def limit_of(part: Part, config: RunConfig) -> float:
    """The relative limit of a part: that of the lowest precision among its networks."""
    world = diamond_of(config)
    networks: dict[Part, tuple[Precision, ...]] = {
        "denoiser": (world.denoiser.precision,),
        "reward_end": (world.reward_end.precision,),
        "imagination": (
            world.denoiser.precision,
            world.reward_end.precision,
        ),
        "policy": (
            world.denoiser.precision,
            world.reward_end.precision,
            config.policy.precision,
        ),
    }
    return max(LIMITS[precision] for precision in networks[part])
