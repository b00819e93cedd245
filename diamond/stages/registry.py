"""All stages, each after those that it reads."""

from collections.abc import Mapping

from diamond.config.run import Protocol, RunConfig
from diamond.stages.agent import AGENT
from diamond.stages.denoiser import DENOISER
from diamond.stages.fidelity import FIDELITY
from diamond.stages.frames import FRAMES
from diamond.stages.inverse_dynamics import INVERSE_DYNAMICS
from diamond.stages.policy import POLICY
from diamond.stages.policy_fidelity import POLICY_FIDELITY
from diamond.stages.record import Kind, Stage
from diamond.stages.references import REFERENCES
from diamond.stages.returns import RETURNS
from diamond.stages.reward_end import REWARD_END
from diamond.stages.rollouts import ROLLOUTS

RECORDS: tuple[Stage, ...] = (
    REFERENCES,
    FRAMES,
    DENOISER,
    REWARD_END,
    AGENT,
    INVERSE_DYNAMICS,
    ROLLOUTS,
    FIDELITY,
    POLICY,
    POLICY_FIDELITY,
    RETURNS,
)
BY_NAME: Mapping[str, Stage] = {one.name: one for one in RECORDS}
STAGES: tuple[str, ...] = tuple(BY_NAME)
PROTOCOLS: tuple[Protocol, ...] = ("static", "online")
PROTOCOL_STAGES: Mapping[Protocol, tuple[str, ...]] = {
    protocol: tuple(one.name for one in RECORDS if protocol in one.runs) for protocol in PROTOCOLS
}
"""The stages of a run with a world model. Online, one agent takes the place of all training."""
SCORING_STAGES = tuple(one.name for one in RECORDS if one.scores_runs)


def kind_of(config: RunConfig) -> Kind:
    """What a run has."""
    if config.family != "diamond":
        return "baseline"
    return config.protocol if config.imagines else "real"


def stages_of_kind(kind: Kind) -> tuple[str, ...]:
    """Names of the stages of a run."""
    return tuple(one.name for one in RECORDS if kind in one.runs)
