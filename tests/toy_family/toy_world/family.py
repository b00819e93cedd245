"""What plans read of the toy; its network is in `toy_world.network`."""

from dataclasses import replace

from pydantic import Field

from diamond.config.networks import OptimizerConfig, PartConfig
from diamond.config.run import RunConfig
from diamond.errors import unknown
from diamond.families.interface import Family, Updates, WorldConfig, part_stage
from diamond.plan.axis import field_axis

UPDATES = {"smoke": 40, "tiny": 1000}


class NetworkConfig(PartConfig):
    """A convolution of the last frame and the action."""

    width: int = Field(ge=1, description="channels of the hidden layer")


class ToyConfig(WorldConfig):
    """One network tells the next frame, its reward and its end."""

    network: NetworkConfig


def preset(name: str, game: str) -> ToyConfig:
    """Recipes of two presets."""
    if name not in UPDATES:
        raise unknown("preset", name, UPDATES, "of the family toy")
    optimizer = OptimizerConfig(
        lr=3e-3,
        weight_decay=0.0,
        eps=1e-8,
        warmup_updates=1,
        schedule="constant",
        max_grad_norm=1.0,
    )
    network = NetworkConfig(optimizer=optimizer, updates=UPDATES[name], batch_size=8, width=8)
    return ToyConfig(family="toy", network=network)


def network_of(config: RunConfig) -> NetworkConfig:
    """The section of a run of this family."""
    assert isinstance(config.world, ToyConfig)
    return config.world.network


def frame_multiplications(config: RunConfig) -> float:
    """Two convolutions of 3 x 3."""
    width = network_of(config).width
    return 9.0 * config.view.height * config.view.width * width * (4 + 3)


def update_seconds(config: RunConfig) -> float:
    """Forward and backward pass of a batch."""
    return 3 * network_of(config).batch_size * frame_multiplications(config) * 1e-10


TOY = Family(
    name="toy",
    interface=2,
    config=ToyConfig,
    preset=preset,
    made_by="toy_world.network:TOY_WORLD",
    stages=(
        part_stage(
            "network",
            Updates(
                num=lambda config: network_of(config).updates,
                seconds=update_seconds,
                calls=lambda config: float(network_of(config).batch_size),
            ),
            family="toy",
        ),
    ),
    frame_multiplications=frame_multiplications,
    online_updates=lambda preset: {"network": (3, 1)} if preset == "smoke" else {},
    axes=(
        field_axis(
            "toy_width", "network.width", "channels of the toy", "whole numbers from 1", "none"
        ),
    ),
)
OLDER = replace(TOY, name="older", interface=0)
