"""DDPM in variance-exploding coordinates against Diffusers and the released branch `ddpm`.

Both work in the coordinates of the variance-preserving process: x_vp = x / sqrt(1 + sigma^2).
The values of the released branch were made by tests/golden/make_ddpm.py.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor

from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser, Past
from diamond.families.diamond.formulations import FORMULATION_FIELDS
from diamond.families.diamond.levels import (
    ddpm_sigmas,
    ddpm_timesteps,
    initial_scale,
    timestep_levels,
)
from diamond.families.diamond.noise_law import add_noise
from diamond.families.diamond.precondition import coefficients
from diamond.families.diamond.reward_end_net import RewardEndNet, RewardEndNetShape
from diamond.families.diamond.sampler import sample_ancestral
from diamond.families.diamond.world import DiamondState, DiamondWorld
from diamond.records import Segments, to_bytes
from diamond.rng import seeded_init, torch_generator
from diamond.seeds import Purpose
from tests.families import test_parity as parity
from tests.golden import ddpm_formula, formula

DDPM = override(make_preset("paper", "Breakout"), FORMULATION_FIELDS["ddpm"])
# Diffusers sums its table in float32: sigma of the lowest timestep, .01, is off by 8e-5 of itself.
# The rest is the rounding of either program. Measured: 7e-6 after 50 steps.
ORACLE_TOLERANCE = 2e-5
# D = x - sigma eps multiplies the rounding of a noise prediction, 2e-6, by up to 9.5 on this grid;
# the steps after it bring that back. Measured: 1.7e-5 on the way, below TOLERANCE at the end.
WAY_TOLERANCE = 5e-5


def error(ours: Tensor, theirs: Tensor) -> float:
    """max|a - b| / max|b|."""
    assert ours.shape == theirs.shape
    gap = (ours.detach().double() - theirs.double()).abs().max()
    return float(gap / theirs.double().abs().max())


def test_noise_is_added_as_by_diffusers() -> None:
    scheduler = DDPMScheduler()
    steps = torch.tensor([0, 1, 333, 666, 999])
    clean, noise = formula.frames("add", 5, 3, 4, 4), formula.numbers("noise", 5, 3, 4, 4)
    sigma = torch.tensor(ddpm_sigmas())[steps]
    noisy = add_noise(clean, sigma, ("sigma", 0.0), noise, torch.zeros(5, 3, 1, 1))
    scaled = noisy * coefficients(diamond_of(DDPM).denoiser, sigma).c_in[:, None, None, None]
    assert error(scaled, scheduler.add_noise(clean, noise, steps)) <= ORACLE_TOLERANCE


@pytest.mark.parametrize("num_steps", [2, 3, 10, 50, 600, 1000])
def test_timesteps_are_the_leading_ones_of_diffusers(num_steps: int) -> None:
    scheduler = DDPMScheduler(timestep_spacing="leading")
    scheduler.set_timesteps(num_steps)
    assert list(ddpm_timesteps(num_steps)) == scheduler.timesteps.tolist()


def toy_eps(x: Tensor, timestep: int) -> Tensor:
    """A noise prediction that depends on both and is far from clipping everything."""
    return 0.8 * x + 0.3 * torch.sin(3 * x + timestep / 100)


def ours_and_theirs(num_steps: int) -> tuple[list[Tensor], list[Tensor]]:
    """Samples before every step and at the end, in the coordinates of DDPM."""
    shape = (2, 3, 8, 8)
    start = formula.numbers("oracle/start", *shape)
    scheduler = DDPMScheduler(timestep_spacing="leading")
    scheduler.set_timesteps(num_steps)
    generator = torch_generator(0, Purpose.BOOTSTRAP)
    theirs = [start]
    for t in scheduler.timesteps:
        eps = toy_eps(theirs[-1], int(t))
        theirs.append(scheduler.step(eps, t, theirs[-1], generator=generator).prev_sample)

    ours: list[Tensor] = []
    timestep_of = dict(zip(timestep_levels(num_steps), ddpm_timesteps(num_steps), strict=False))
    ours_generator = torch_generator(0, Purpose.BOOTSTRAP)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        ours.append(x / math.sqrt(1 + sigma**2))
        return (x - sigma * toy_eps(ours[-1], timestep_of[sigma])).clamp(-1, 1)

    levels = timestep_levels(num_steps)
    end = sample_ancestral(
        denoise,
        start * math.sqrt(1 + levels[0] ** 2),
        levels,
        lambda _: torch.randn(*shape, generator=ours_generator),
    )
    return [*ours, end], theirs


@pytest.mark.parametrize("num_steps", [2, 3, 10, 50])
def test_ancestral_steps_are_those_of_diffusers(num_steps: int) -> None:
    """Every sample on the way, with equal noise; fixed_small variance and clipping are defaults."""
    ours, theirs = ours_and_theirs(num_steps)
    assert len(ours) == len(theirs) == num_steps + 1
    for a, b in zip(ours, theirs, strict=True):
        assert error(a, b) <= ORACLE_TOLERANCE
    assert float((theirs[-1].abs() < 1).double().mean()) > 0.5


@cache
def golden() -> dict[str, Tensor]:
    return load_file(Path(__file__).parents[1] / "golden" / "ddpm.safetensors")


@cache
def released_ddpm() -> Denoiser:
    """The denoiser of the bundle with the weights of the formula."""
    made = DENOISER.build(diamond_of(DDPM).denoiser, {"num_actions": formula.BASE.num_actions})
    made.load_state_dict(parity.denoiser().state_dict(), strict=True)
    return made


@pytest.mark.parametrize("timestep", ddpm_formula.TIMESTEPS)
def test_noise_prediction_of_the_released_branch(timestep: int) -> None:
    denoiser = released_ddpm()
    sigma = torch.full((formula.BASE.batch,), ddpm_sigmas()[timestep])
    noisy = ddpm_formula.noisy(timestep) * math.sqrt(1 + ddpm_sigmas()[timestep] ** 2)
    past = Past(formula.BASE.past(), torch.zeros(formula.BASE.batch))
    with torch.no_grad():
        cs = coefficients(diamond_of(DDPM).denoiser, sigma)
        output = denoiser._network(noisy, cs, past, formula.BASE.actions())
    assert error(output, golden()[f"eps/{timestep}"]) <= parity.TOLERANCE


class GivenTimesteps(formula.GivenNoise):
    """The normal numbers behind the given timesteps; the rest as the released branch was given."""

    def randn(self, *size: Any, **named: Any) -> Tensor:
        if size == (formula.LOSS_BATCH,):
            quantiles = (ddpm_formula.loss_timesteps().double() + 0.5) / 1000
            normal: Tensor = torch.special.ndtri(quantiles)
            return normal.float()
        return super().randn(*size, **named)


def test_loss_of_the_released_branch_and_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = diamond_of(DDPM).denoiser.history
    segments = Segments(
        ddpm_formula.loss_frames(),
        ddpm_formula.loss_actions()[:, :steps],
        torch.zeros(formula.LOSS_BATCH, steps),
        torch.zeros(formula.LOSS_BATCH, steps, dtype=torch.int64),
        torch.ones(formula.LOSS_BATCH, steps, dtype=torch.bool),
    )
    denoiser = released_ddpm()
    with monkeypatch.context() as patched:
        patched.setattr(torch, "randn", GivenTimesteps("ddpm/loss").randn)
        loss = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    assert error(loss, golden()["loss"]) <= parity.TOLERANCE
    denoiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = gradients_by_released_name(denoiser)
    for name, row in zip(sorted(gradients), golden()["gradient"].double(), strict=True):
        ours = formula.gradient_summary(name, gradients[name]).double()
        assert float((ours[1:3] - row[1:3]).abs().max() / row[1]) <= parity.GRADIENT_TOLERANCE
        assert float((ours[3:] - row[3:]).abs().max() / row[0]) <= parity.GRADIENT_TOLERANCE


def gradients_by_released_name(denoiser: Denoiser) -> dict[str, Tensor]:
    own = {id(p): name for name, p in parity.denoiser().named_parameters()}
    mine = dict(denoiser.named_parameters())
    gradients = {}
    for released, parameter in parity.by_released_name("denoiser").items():
        gradient = mine[own[id(parameter)]].grad
        assert gradient is not None
        gradients[released] = gradient
    return gradients


class GivenDraws:
    """Start noise and the noise of each ancestral step, as the released branch was given."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._attempt = int(golden()[f"frames/{steps}/attempt"])

    def normal(self, site: str, shape: Any) -> Tensor:
        *_, kind = site.split("/", maxsplit=1)
        if kind == "initial":
            return ddpm_formula.start(self._steps, self._attempt)
        assert kind.startswith("ancestral/")
        return ddpm_formula.step_noise(self._steps, int(kind.removeprefix("ancestral/")))

    def uniform(self, site: str, num_rows: int) -> Tensor:
        return torch.zeros(num_rows)


@pytest.mark.parametrize("steps", ddpm_formula.STEPS)
def test_frames_of_the_released_branch(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No value is near a tie: the truncated frames have equal levels."""
    sampler = diamond_of(DDPM).sampler.model_copy(update={"steps": steps})
    with seeded_init(0, Purpose.REWARD_END_INIT):
        small = RewardEndNet(RewardEndNetShape(4, 16, 16, (8,), (1,), 8, 8))
    denoiser, seen = released_ddpm(), []
    whole = denoiser.denoise

    def spy(noisy: Tensor, sigma: float, *rest: Any) -> Tensor:
        seen.append(noisy / math.sqrt(1 + sigma**2))
        return whole(noisy, sigma, *rest)

    monkeypatch.setattr(denoiser, "denoise", spy)
    world = DiamondWorld(denoiser, small, sampler)
    zeros = torch.zeros(formula.BASE.batch, 8)
    actions = formula.BASE.actions()
    state = DiamondState(formula.BASE.past(), actions[:, :-1], zeros, zeros)
    _, step = world.step(state, actions[:, -1], GivenDraws(steps))
    released = golden()[f"frames/{steps}"]
    assert torch.equal(to_bytes(step.frame), to_bytes(released))
    assert error(step.frame, released) <= parity.TOLERANCE
    assert float((released.abs() < 1).double().mean()) > 0.1
    assert len(seen) == steps
    for index, x in enumerate(seen[1:]):
        assert error(x, golden()[f"frames/{steps}/{index}"]) <= WAY_TOLERANCE
    assert initial_scale(sampler) == pytest.approx(math.sqrt(1 + timestep_levels(steps)[0] ** 2))
