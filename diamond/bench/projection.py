"""What the measured speeds come to in an agent of Atari 100k, which collects and trains in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diamond.bench.cases import Part
from diamond.bench.measure import Measured
from diamond.config.online_presets import go_online
from diamond.config.run import RunConfig

HOUR = 3600.0
PROJECTED: tuple[Part, ...] = ("environment", "denoiser", "reward_end", "policy")
"""Parts of such an agent. What it also does takes little beside them: draw segments, log, test."""


@dataclass(frozen=True)
class Projection:
    """How often an agent does what was measured, and how long that takes one after the other.

    Attributes:
        counts: Env steps or updates by part.
        ours: Hours by part.
        released: Hours by part of the released code; empty without it.
    """

    counts: Mapping[Part, int]
    ours: Mapping[Part, float]
    released: Mapping[Part, float]


def counts_of(config: RunConfig) -> dict[Part, int]:
    """Env steps and updates of an agent under the online protocol of a config's preset.

    Its initial collection is the shortest that the protocol has, after which most epochs follow.
    """
    online = go_online(config).online
    assert online is not None
    _, num_epochs = online.num_epochs(online.initial.min_env_steps)
    parts: tuple[Part, ...] = ("denoiser", "reward_end", "policy")
    updates = {part: online.num_updates(part, num_epochs) for part in parts}
    return {"environment": online.env_steps, **updates}


def project(config: RunConfig, cases: Sequence[Measured]) -> Projection | None:
    """Multiply; None where a part of an agent was not measured."""
    measured = {found.case.part: found for found in cases}
    if any(part not in measured for part in PROJECTED):
        return None
    counts = counts_of(config)
    ours = {part: counts[part] * measured[part].ours.median / HOUR for part in PROJECTED}
    released = {
        part: counts[part] * timing.median / HOUR
        for part in PROJECTED
        if (timing := measured[part].released) is not None
    }
    return Projection(counts, ours, released)
