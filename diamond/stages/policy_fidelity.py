"""What the policy makes of imagined frames and of real ones, and what it earns in both."""

from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages import policy, references, rollouts
from diamond.stages.record import PARTS, Stage


def _num_imagined(config: RunConfig) -> int:
    """Env steps that the policy plays in imagination; as many in the game."""
    return config.rollouts.num_starts * config.policy.horizon_steps


def _seconds(config: RunConfig) -> float:
    """Frames that the policy sees, those that it imagines, and the way to every real start."""
    num_imagined = _num_imagined(config)
    num_seen = 2 * (rollouts.scored_frames(config) + num_imagined)
    played = num_imagined + config.rollouts.num_starts * config.references.max_offset_steps
    return (
        num_seen * policy.frame_multiplications(config) * policy.SECONDS
        + num_imagined * family_of(config).frame_multiplications(config) * rollouts.SECONDS
        + played * references.STEP_SECONDS
    )


def _calls(config: RunConfig) -> float:
    return float(_num_imagined(config) * family_of(config).calls_per_frame(config.world))


POLICY_FIDELITY = Stage(
    name="policy_fidelity",
    numerics=2,
    sections=("family", "view"),
    reads=("references", "rollouts", PARTS, "policy"),
    runs=frozenset({"static", "online"}),
    needs=frozenset({"rewards", "discrete actions"}),
    shares_data_seed=True,
    made_by="diamond.makers.rollout_scores:score_policy",
    unit="events",
    seconds=_seconds,
    calls=_calls,
    world="sampling",
    scores_runs=True,
    is_result=True,
)
