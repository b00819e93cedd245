"""What is measured, and what the released code has of a config; no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from diamond.config.networks import Precision
from diamond.config.overrides import override
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of

Part = Literal["environment", "denoiser", "reward_end", "policy", "imagination", "startup"]
PARTS: tuple[Part, ...] = get_args(Part)
NETWORK_PARTS: tuple[Part, ...] = ("denoiser", "reward_end", "policy", "imagination")
"""Parts whose outputs are compared and whose arithmetic is held against the peak."""


@dataclass(frozen=True)
class Case:
    """One thing that is timed: a part, the rows that a run computes at once, denoising steps."""

    part: Part
    batch: int
    steps: int | None = None

    @property
    def name(self) -> str:
        """``imagination n=3 batch=32``; cases of other parts have the part's name."""
        if self.steps is None:
            return self.part
        return f"{self.part} n={self.steps} batch={self.batch}"


def cases_of(
    parts: Sequence[Part], config: RunConfig, steps: Sequence[int], batches: Sequence[int]
) -> list[Case]:
    """The cases of some parts; start-up has none, it is measured by processes."""
    world = diamond_of(config)
    rows: dict[Part, int] = {
        "environment": 1,
        "denoiser": world.denoiser.batch_size,
        "reward_end": world.reward_end.batch_size,
        "policy": config.policy.batch_size,
    }
    found = [Case(part, rows[part]) for part in parts if part in rows]
    if "imagination" in parts:
        found += [Case("imagination", batch, n) for n in steps for batch in batches]
    return found


def precisions_of(part: Part, config: RunConfig) -> tuple[Precision, ...]:
    """Precisions of the networks of a part, first that of most of its time."""
    world = diamond_of(config)
    denoiser, reward_end = world.denoiser.precision, world.reward_end.precision
    found: dict[Part, tuple[Precision, ...]] = {
        "denoiser": (denoiser,),
        "reward_end": (reward_end,),
        "imagination": (denoiser, reward_end),
        "policy": (denoiser, reward_end, config.policy.precision),
    }
    return found[part]


def as_released(config: RunConfig) -> RunConfig:
    """The nearest config that the released code can run, of a preset's.

    Precision and averaged weights stay: our side has them, the released code has neither.
    """
    fixed = {
        "denoiser.patch": 1,
        "denoiser.middle_attention": True,
        "denoiser.balance": 0.0,
        "denoiser.change": 0.0,
        "reward_end.balance": 0.0,
        "reward_end.encoder": "residual",
        "reward_end.memory": "lstm",
        "sampler.quantizer": "floor",
        "policy.algorithm": "reinforce",
        "policy.event_starts": 0.0,
        "view.crop": None,
    }
    return override(config, fixed)
