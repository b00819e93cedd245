"""Scores of imagined trajectories against the real ones."""

from diamond.config.own_metrics import own_metrics
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages import inverse_dynamics
from diamond.stages.record import REWARDS, Section, Stage
from diamond.stages.rollouts import scored_frames

_FRAME_SECONDS = 1.8e-3
"""A frame compared with the real one; what networks say of it comes on top."""


def _seconds(config: RunConfig) -> float:
    """Frames compared, and seen by the judge and the reward/end model."""
    num_frames = scored_frames(config)
    seen = inverse_dynamics.pair_seconds(config)
    seen += family_of(config).rewards_seconds(config)
    return num_frames * (_FRAME_SECONDS + 2 * seen)


def _section(config: RunConfig, section: Section) -> Section:
    """Metrics of the user's own are what they compute, whatever words asked for them."""
    if not config.fidelity.metrics:
        return section
    found = [
        {"name": metric.name, "numerics": metric.numerics, "record": place}
        for place, metric in own_metrics(config.fidelity.metrics).items()
    ]
    return section | {"fidelity": section["fidelity"] | {"metrics": found}}


FIDELITY = Stage(
    name="fidelity",
    numerics=3,
    sections=("view", "fidelity"),
    reads=("references", "rollouts", "inverse_dynamics", REWARDS),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.makers.rollout_scores:score_rollouts",
    unit="trajectories",
    seconds=_seconds,
    section=_section,
    scores_runs=True,
    is_result=True,
    arms="arms share everything but the scores",
)
