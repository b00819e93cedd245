"""Inputs of the comparison with the released DDPM, as formulas; see `formula`."""

import torch
from torch import Tensor

from tests.golden import formula

NUM_TIMESTEPS = 1000
TIMESTEPS = (0, 1, 333, 500, 666, 999)
"""Where the noise prediction is compared."""
STEPS = (1, 3)
"""Denoising steps of the sampled frames."""
LOSS_TIMESTEPS = (17, 420, 905)
OFFSET_NOISE = 0.3


def noisy(timestep: int) -> Tensor:
    """A noisy frame in the coordinates of DDPM, of variance near one (b, c, h, w)."""
    return formula.numbers(f"ddpm/noisy/{timestep}", formula.BASE.batch, 3, 16, 16)


def start(steps: int, attempt: int) -> Tensor:
    """Start noise of a sampled frame (b, c, h, w)."""
    return formula.numbers(f"ddpm/start/{steps}/{attempt}", formula.BASE.batch, 3, 16, 16)


def step_noise(steps: int, index: int) -> Tensor:
    """Noise of an ancestral step (b, c, h, w)."""
    return formula.numbers(f"ddpm/step/{steps}/{index}", formula.BASE.batch, 3, 16, 16)


def loss_frames() -> Tensor:
    """Frames of the loss (b, k + 1, c, h, w)."""
    return formula.loss_frames()[:, : formula.BASE.history + 1]


def loss_actions() -> Tensor:
    """Actions between them (b, k + 1); the last one is not used."""
    return formula.loss_actions()[:, : formula.BASE.history + 1]


def loss_timesteps() -> Tensor:
    """(b,) int64."""
    assert len(LOSS_TIMESTEPS) == formula.LOSS_BATCH
    return torch.tensor(LOSS_TIMESTEPS)
