"""What is measured: the parts of the command, and the cases of each part; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diamond.config.networks import Precision
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of

Part = Literal[
    "peak",
    "environment",
    "denoiser",
    "reward_end",
    "policy",
    "imagination",
    "scoring",
    "startup",
    "scale",
    "packing",
]
PARTS: tuple[Part, ...] = get_args(Part)
LONG_PARTS: tuple[Part, ...] = ("scale", "packing")
"""Parts that take long and are measured only where they are named."""
DEFAULT_PARTS: tuple[Part, ...] = tuple(part for part in PARTS if part not in LONG_PARTS)
COMPARED: tuple[Part, ...] = ("environment", "denoiser", "reward_end", "policy", "imagination")
"""Parts that the released code has too."""
NETWORK_PARTS: tuple[Part, ...] = ("denoiser", "reward_end", "policy", "imagination")
"""Parts whose arithmetic is held against the peak of the machine."""
STEPS: tuple[int, ...] = (1, 3, 10)
"""Denoising steps of an imagined frame."""
BATCHES: tuple[int, ...] = (1, 32, 256)
"""Imagined frames side by side."""
SCORED_FRAMES = 256
"""Frames of one call of the image metrics."""

UNITS: Mapping[Part, str] = {
    "environment": "env steps",
    "denoiser": "updates",
    "reward_end": "updates",
    "policy": "updates",
    "imagination": "frames",
    "scoring": "frames",
}
"""What the rate of a case counts."""


@dataclass(frozen=True)
class Case:
    """One thing that is timed.

    Attributes:
        part: The part that it belongs to.
        batch: Rows that one run computes at once: segments, trajectories, frames.
        steps: Denoising steps of a frame, of imagination alone.
    """

    part: Part
    batch: int
    steps: int | None = None

    @property
    def name(self) -> str:
        """``imagination n=3 batch=32``; cases of other parts have the part's name."""
        if self.steps is None:
            return self.part
        return f"{self.part} n={self.steps} batch={self.batch}"

    @property
    def units(self) -> int:
        """Units of the rate that one run makes."""
        return self.batch if self.part in ("imagination", "scoring") else 1

    def data(self) -> dict[str, Any]:
        """The case as plain data."""
        return {"part": self.part, "batch": self.batch, "steps": self.steps}


def cases_of(part: Part, config: RunConfig) -> tuple[Case, ...]:
    """The cases of a part that is timed in rounds; the other parts have none."""
    match part:
        case "environment":
            return (Case(part, 1),)
        case "denoiser":
            return (Case(part, diamond_of(config).denoiser.batch_size),)
        case "reward_end":
            return (Case(part, diamond_of(config).reward_end.batch_size),)
        case "policy":
            return (Case(part, config.policy.batch_size),)
        case "imagination":
            return tuple(Case(part, batch, steps) for steps in STEPS for batch in BATCHES)
        case "scoring":
            return (Case(part, SCORED_FRAMES),)
        case _:
            return ()


def precision_of(part: Part, config: RunConfig) -> Precision | None:
    """The precision of the arithmetic that takes most of a part's time; None without networks."""
    match part:
        case "denoiser" | "policy" | "imagination":
            return diamond_of(config).denoiser.precision
        case "reward_end":
            return diamond_of(config).reward_end.precision
        case _:
            return None
