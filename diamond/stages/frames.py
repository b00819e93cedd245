"""The real frames that the static protocol trains on."""

from diamond.config.run import RunConfig
from diamond.stages.record import Stage

STEP_SECONDS = 1.1e-3
"""A recorded frame."""


def _seconds(config: RunConfig) -> float:
    return config.frames.num_frames * STEP_SECONDS


FRAMES = Stage(
    name="frames",
    numerics=2,
    sections=("game", "environment", "view", "frames"),
    runs=frozenset({"static"}),
    shares_data_seed=True,
    made_by="diamond.makers.real_frames:make_frames",
    unit="frames",
    seconds=_seconds,
    arms="real frames, and everything after them, are made for each arm",
)
