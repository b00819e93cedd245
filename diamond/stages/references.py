"""Held-out real trajectories of a game, against which all arms are scored."""

from diamond.config.run import RunConfig
from diamond.stages.record import Stage

STEP_SECONDS = 7.5e-4
"""An env step of a real game."""


def _seconds(config: RunConfig) -> float:
    """Every start is played from a reset, at most to the end of its horizon."""
    said = config.references
    once = said.max_offset_steps + said.horizon_steps
    num_steps = said.num_starts * once
    if said.counterfactuals is not None:  # the way to the state is played again
        again = said.max_offset_steps + said.counterfactuals.horizon_steps
        num_steps += said.num_starts * again
    if said.off_data is not None:
        num_steps += said.off_data.num_starts * once
    return num_steps * STEP_SECONDS


REFERENCES = Stage(
    name="references",
    numerics=3,
    sections=("game", "environment", "references"),
    runs=frozenset({"static", "online", "baseline"}),
    shares_data_seed=True,
    made_by="diamond.makers.real_frames:make_references",
    unit="episodes",
    seconds=_seconds,
    arms="all arms are scored against the same real frames: one value for all of them",
)
