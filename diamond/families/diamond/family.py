"""The record of DIAMOND; its networks are in `diamond.families.diamond.world`."""

from diamond.config.run import RunConfig
from diamond.config.worlds import DIAMOND as NAME
from diamond.config.worlds import INTERFACE
from diamond.families.diamond.axes import AXES
from diamond.families.diamond.config import DiamondConfig, diamond_of
from diamond.families.diamond.cost import calls_per_frame, frame_multiplications
from diamond.families.diamond.levels import out_of_training
from diamond.families.diamond.presets import ONLINE, diamond_preset
from diamond.families.diamond.stages import DENOISER, REWARD_END, rewards_seconds
from diamond.families.interface import Family


def _check(config: RunConfig) -> None:
    denoiser = diamond_of(config).denoiser
    if config.online is not None and denoiser.stop_after is not None:
        raise ValueError(
            f"denoiser.stop_after={denoiser.stop_after}: protocol online trains its "
            "networks in turn and to the end; allowed is null"
        )
    for name, side in (("view.height", config.view.height), ("view.width", config.view.width)):
        if side % denoiser.patch:
            raise ValueError(f"{name}={side} is not a multiple of denoiser.patch={denoiser.patch}")


def _segment_steps(world: DiamondConfig) -> int:
    return world.denoiser.history + world.denoiser.autoregressive_passes - 1


def _doubt(world: DiamondConfig) -> str | None:
    return out_of_training(world.denoiser, world.sampler)


DIAMOND = Family(
    name=NAME,
    interface=INTERFACE,
    config=DiamondConfig,
    preset=diamond_preset,
    made_by="diamond.families.diamond.world:DIAMOND_WORLD",
    stages=(DENOISER, REWARD_END),
    sampling=("sampler",),
    rewards_by="reward_end",
    rewards_seconds=rewards_seconds,
    history=lambda world: world.denoiser.history,
    segment_steps=_segment_steps,
    side_unit=lambda world: world.denoiser.patch,
    frame_multiplications=frame_multiplications,
    calls_per_frame=calls_per_frame,
    online_updates=ONLINE.__getitem__,
    axes=AXES,
    check=_check,
    doubt=_doubt,
)
