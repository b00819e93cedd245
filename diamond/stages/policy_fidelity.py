"""What the policy makes of imagined frames and of real ones."""

from diamond.config.run import RunConfig
from diamond.stages import policy
from diamond.stages.record import Stage


def _seconds(config: RunConfig) -> float:
    num_frames = config.rollouts.num_starts * config.rollouts.horizon_steps
    return 2 * num_frames * policy.frame_multiplications(config) * policy.SECONDS


POLICY_FIDELITY = Stage(
    name="policy_fidelity",
    numerics=2,
    sections=("view",),
    reads=("references", "rollouts", "policy"),
    runs=frozenset({"static", "online"}),
    shares_data_seed=True,
    made_by="diamond.pipeline.scoring_stages:score_policy",
    seconds=_seconds,
    scores_runs=True,
    is_result=True,
)
