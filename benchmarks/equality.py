"""Whether both sides compute the same: largest differences and what they may be."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Part, precisions_of
from diamond.config.networks import Precision
from diamond.config.run import RunConfig

Arrays = Mapping[str, NDArray[np.float64]]
LIMITS: Mapping[Precision, float] = {"float32": 1e-5, "bfloat16": 2e-2}
"""Largest difference that is allowed, as a part of the largest released value.

In float32 the order of additions alone makes some 1e-6; bfloat16 keeps 8 bits of a number, and the
released code, which has no such mode, computes in float32.
"""


@dataclass(frozen=True)
class Check:
    """One output of both sides: its largest absolute difference, and the largest allowed."""

    part: Part
    what: str
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether both compute the same; never with a value that is not a number."""
        return bool(self.difference <= self.limit)


def compare(part: Part, ours: Arrays, released: Arrays, limit: float) -> list[Check]:
    """Compare arrays of equal names; the limit is relative to the largest released value."""
    assert set(ours) == set(released), sorted(set(ours) ^ set(released))
    checks = []
    for name, other in released.items():
        assert ours[name].shape == other.shape, name
        scale = float(np.abs(other).max())
        difference = float(np.abs(ours[name] - other).max())
        checks.append(Check(part, name, difference, limit * scale))
    return checks


def limit_of(part: Part, config: RunConfig) -> float:
    """The relative limit of a part: that of the lowest precision among its networks."""
    return max(LIMITS[precision] for precision in precisions_of(part, config))
