"""The world model of DIAMOND in each preset; every number of a recipe is written here once."""

from collections.abc import Mapping

from diamond.config.game_names import kind_of
from diamond.config.presets import PAPER_OPTIMIZER, TINY_OPTIMIZER
from diamond.errors import unknown
from diamond.families.diamond.config import (
    DenoiserConfig,
    DiamondConfig,
    RewardEndConfig,
    SamplerConfig,
)

ANY_GAME = "Boxing"
"""A game without a recipe of its own."""
ONLINE: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "paper": {"denoiser": (10_000, 400), "reward_end": (10_000, 400)},
    "small": {"denoiser": (5_000, 60), "reward_end": (2_000, 20)},
    "tiny": {"denoiser": (900, 50), "reward_end": (600, 20)},
    "desk": {"denoiser": (1_000, 400), "reward_end": (600, 200)},
    "smoke": {"denoiser": (3, 1), "reward_end": (2, 1)},
}
"""Updates of each network in the first epoch and in each later one.

Source: paper, arXiv:2405.12399, appendix E, and the released configuration.
"""


def diamond_preset(name: str, game: str) -> DiamondConfig:
    """The networks and the sampler of a preset.

    Raises:
        RequestError: There is no such preset.
    """
    if kind_of(game) == "minatar":
        return _of_cells(diamond_preset("tiny" if name == "desk" else name, ANY_GAME), name)
    match name:
        case "paper":
            return _paper()
        case "small":
            return _small()
        case "tiny":
            return _tiny_breakout() if game == "Breakout" else _tiny()
        case "desk":
            return _desk()
        case "smoke":
            return _smoke()
        case _:
            raise unknown("preset", name, ONLINE, "of the family diamond")


def _of_cells(world: DiamondConfig, name: str) -> DiamondConfig:
    """The same of frames of 10 x 10 cells: two resolutions, no folding, as a cell is a pixel."""
    denoiser: dict[str, object] = {
        "channels": world.denoiser.channels[:2],
        "depths": world.denoiser.depths[:2],
        "patch": 1,
    }
    reward_end: dict[str, object] = {
        "channels": world.reward_end.channels[:2],
        "depths": world.reward_end.depths[:2],
    }
    if name in ("tiny", "desk"):
        denoiser |= {
            "noise_loc": 0.6,
            "noise_scale": 1.3,
            "autoregressive_passes": 1,
            "balance": 0.25,
            "optimizer": world.denoiser.optimizer.model_copy(update={"lr": 2e-3}),
            "updates": 1_000 if name == "tiny" else 3_000,
            "batch_size": 32,
        }
        reward_end = {}
    return world.model_copy(
        update={
            "denoiser": world.denoiser.model_copy(update=denoiser),
            "reward_end": world.reward_end.model_copy(update=reward_end),
        }
    )


def _paper() -> DiamondConfig:
    return DiamondConfig(
        denoiser=DenoiserConfig(
            history=4,
            channels=(64, 64, 64, 64),
            depths=(2, 2, 2, 2),
            cond_channels=256,
            patch=1,
            middle_attention=True,
            sigma_data=0.5,
            offset_noise=0.3,
            noise_loc=-0.4,
            noise_scale=1.2,
            noise_min=2e-3,
            noise_max=20.0,
            autoregressive_passes=2,
            quantizer="floor",
            ema=0.0,
            optimizer=PAPER_OPTIMIZER,
            updates=410_000,
            batch_size=32,
            precision="float32",
            final_frames="left_out",
        ),
        reward_end=RewardEndConfig(
            channels=(32, 32, 32, 32),
            depths=(2, 2, 2, 2),
            cond_channels=128,
            lstm_size=512,
            sequence_steps=19,
            optimizer=PAPER_OPTIMIZER.model_copy(update={"max_grad_norm": 100.0}),
            updates=410_000,
            batch_size=32,
            precision="float32",
        ),
        sampler=SamplerConfig(
            steps=3,
            sigma_min=2e-3,
            sigma_max=5.0,
            rho=7.0,
            order=1,
            churn=0.0,
            init_noise="unit",
            quantizer="floor",
        ),
    )


def _small() -> DiamondConfig:
    base = _paper()
    return base.model_copy(
        update={
            "denoiser": base.denoiser.model_copy(
                update={"updates": 20_000, "final_frames": "targets"}
            ),
            "reward_end": base.reward_end.model_copy(update={"updates": 5_000}),
        }
    )


def _tiny() -> DiamondConfig:
    base = _paper()
    return DiamondConfig(
        denoiser=base.denoiser.model_copy(
            update={
                "channels": (32, 64, 64),
                "depths": (1, 1, 1),
                "cond_channels": 128,
                "patch": 2,
                "middle_attention": False,
                "offset_noise": 0.1,
                "noise_loc": -0.2,
                "noise_scale": 1.3,
                "autoregressive_passes": 2,
                "ema": 0.995,
                "optimizer": TINY_OPTIMIZER,
                "updates": 2_600,
                "batch_size": 8,
                "final_frames": "targets",
            }
        ),
        # Two frames show a reward; that it is rare is the difficulty (docs/learning.md).
        reward_end=RewardEndConfig(
            channels=(32, 64, 64),
            depths=(1, 1, 1),
            cond_channels=32,
            lstm_size=128,
            sequence_steps=1,
            optimizer=TINY_OPTIMIZER.model_copy(update={"max_grad_norm": 100.0, "lr": 1e-3}),
            updates=1_000,
            batch_size=64,
            precision="float32",
            balance=0.5,
            memory="none",
            encoder="strided",
        ),
        sampler=base.sampler.model_copy(update={"quantizer": "round"}),
    )


def _tiny_breakout() -> DiamondConfig:
    base = _tiny()
    # The ball and the holes are single pixels: folding 2 x 2 of them loses both.
    denoiser = base.denoiser.model_copy(
        update={
            "channels": (16, 32, 64),
            "patch": 1,
            "noise_loc": 0.4,
            "noise_scale": 1.4,
            "autoregressive_passes": 1,
            "optimizer": base.denoiser.optimizer.model_copy(update={"lr": 2e-3}),
            "updates": 3_600,
        }
    )
    return base.model_copy(update={"denoiser": denoiser})


def _desk() -> DiamondConfig:
    base = _tiny()
    denoiser = base.denoiser.model_copy(
        update={
            "channels": (32, 32, 64),
            "noise_loc": 0.8,
            "noise_scale": 1.4,
            "autoregressive_passes": 1,
            "balance": 0.5,
            "change": 5.0,
            "optimizer": base.denoiser.optimizer.model_copy(update={"lr": 2e-3}),
            "updates": 4_000,
            "batch_size": 16,
        }
    )
    return base.model_copy(
        update={
            "denoiser": denoiser,
            "reward_end": base.reward_end.model_copy(update={"updates": 800}),
            "sampler": base.sampler.model_copy(update={"steps": 1}),
        }
    )


def _smoke() -> DiamondConfig:
    base = _tiny()
    optimizer = base.denoiser.optimizer.model_copy(update={"warmup_updates": 5})
    return base.model_copy(
        update={
            "denoiser": base.denoiser.model_copy(
                update={
                    "channels": (16, 16),
                    "depths": (1, 1),
                    "cond_channels": 64,
                    "updates": 40,
                    "batch_size": 4,
                    "optimizer": optimizer,
                }
            ),
            "reward_end": base.reward_end.model_copy(
                update={
                    "channels": (8, 8),
                    "depths": (1, 1),
                    "cond_channels": 16,
                    "lstm_size": 32,
                    "sequence_steps": 8,
                    "updates": 6,
                    "batch_size": 4,
                    "balance": 0.0,
                    "memory": "lstm",
                    "encoder": "residual",
                    "optimizer": optimizer.model_copy(update={"max_grad_norm": 100.0}),
                }
            ),
        }
    )
