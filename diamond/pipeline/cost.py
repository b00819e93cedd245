"""What a stage of a run is expected to cost, from its config alone."""

from diamond.ablation.stages import RANDOM_PLAYER, StageName
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.stages.registry import find_stage_record

RANDOM_SHARE = 0.3
"""Time of an env step of random play, in those of a policy's."""


def expected_seconds(config: RunConfig, stage: StageName, player: str = "") -> float:
    """Seconds of one stage of a run on one core, from its work alone."""
    share = RANDOM_SHARE if player == RANDOM_PLAYER else 1.0
    return share * find_stage_record(stage, config.world.family).seconds(config)


def denoiser_calls(config: RunConfig, stage: StageName) -> float:
    """Calls of the denoiser for one frame in a stage of a run: in training, and to imagine."""
    record = find_stage_record(stage, config.world.family)
    return record.calls(config) if family_of(config).is_trained else 0.0
