"""The stages that train the networks of DIAMOND."""

from diamond.config.run import RunConfig
from diamond.config.worlds import DIAMOND
from diamond.families.diamond.config import diamond_of, network_digest
from diamond.families.diamond.cost import denoiser_multiplications, reward_end_multiplications
from diamond.families.interface import part_stage
from diamond.stages.multiplications import BACKWARD
from diamond.stages.record import Section, Updates

DENOISER_SECONDS = 5.7e-11
"""A multiplication."""
REWARD_END_SECONDS = 9.1e-11
"""A multiplication."""


def samples_per_update(config: RunConfig) -> float:
    """Frames that are denoised in an update."""
    denoiser = diamond_of(config).denoiser
    return float(denoiser.batch_size * denoiser.autoregressive_passes)


def update_multiplications(config: RunConfig) -> float:
    """Multiplications of one update of the denoiser."""
    return BACKWARD * samples_per_update(config) * denoiser_multiplications(config)


def rewards_seconds(config: RunConfig) -> float:
    """Expected time of the reward/end model on one frame."""
    net, view = diamond_of(config).reward_end, config.view
    return reward_end_multiplications(net, view.height, view.width) * REWARD_END_SECONDS


def _reward_end_seconds(config: RunConfig) -> float:
    net = diamond_of(config).reward_end
    return BACKWARD * net.batch_size * net.sequence_steps * rewards_seconds(config)


def _denoiser_section(config: RunConfig, section: Section) -> Section:
    """A network of one's own is what its source says."""
    source = network_digest(diamond_of(config).denoiser)
    return section if source is None else section | {"network_sha256": source}


DENOISER = part_stage(
    "denoiser",
    Updates(
        num=lambda config: diamond_of(config).denoiser.num_trained_updates,
        seconds=lambda config: update_multiplications(config) * DENOISER_SECONDS,
        calls=samples_per_update,
    ),
    family=DIAMOND,
    name="denoiser",
    numerics=3,
    section=_denoiser_section,
    arms="arms share real frames and the reward/end model",
)
REWARD_END = part_stage(
    "reward_end",
    Updates(
        num=lambda config: diamond_of(config).reward_end.updates,
        seconds=_reward_end_seconds,
    ),
    family=DIAMOND,
    name="reward_end",
    numerics=4,
    draws=False,
    arms="arms share real frames and the denoiser",
)
