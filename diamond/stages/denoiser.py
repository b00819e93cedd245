"""The diffusion model of the next frame."""

from diamond.config.run import RunConfig
from diamond.stages.multiplications import BACKWARD, Pass
from diamond.stages.record import Stage

SECONDS = 6.5e-11
"""A multiplication."""


def samples_per_update(config: RunConfig) -> int:
    """Frames that are denoised in an update."""
    return config.denoiser.batch_size * config.denoiser.autoregressive_passes


def update_multiplications(config: RunConfig) -> float:
    """Multiplications of one update."""
    return BACKWARD * samples_per_update(config) * Pass.of(config).denoiser


def _seconds(config: RunConfig) -> float:
    return config.denoiser.num_trained_updates * update_multiplications(config) * SECONDS


def _calls(config: RunConfig) -> float:
    return float(config.denoiser.num_trained_updates * samples_per_update(config))


DENOISER = Stage(
    name="denoiser",
    numerics=3,
    sections=("denoiser",),
    reads=("frames",),
    runs=frozenset({"static"}),
    shares_data_seed=False,
    made_by="diamond.pipeline.training_stages:train_denoiser",
    seconds=_seconds,
    calls=_calls,
    is_trained=True,
    is_imported=True,
    is_scored=True,
    arms="arms share real frames and the reward/end model",
)
