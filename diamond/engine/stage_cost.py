"""What a stage of a run is expected to cost, from its config alone."""

from diamond.config.player_names import Player
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.plan.stage_keys import StageName
from diamond.stages.registry import find_stage_record
from diamond.stages.returns import player_seconds


def expected_seconds(config: RunConfig, stage: StageName, player: Player | None = None) -> float:
    """Seconds of one stage of a run on one core, from its work alone.

    Args:
        player: Who plays, of the stage `returns`.
    """
    if player:
        return player_seconds(config, player)
    return find_stage_record(stage, config.world.family).seconds(config)


def denoiser_calls(config: RunConfig, stage: StageName) -> float:
    """Denoiser calls for one frame in a stage of a run: in training, and to imagine."""
    record = find_stage_record(stage, config.world.family)
    return record.calls(config) if family_of(config).is_trained else 0.0
