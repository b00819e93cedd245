"""Noise grids, preconditioning, quantisers and solvers against closed forms."""

import math
from itertools import pairwise
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diamond.config.presets import make_preset
from diamond.families.diamond.config import Quantizer, diamond_of
from diamond.families.diamond.levels import MAX_GAMMA, calls_per_sample, karras_levels
from diamond.families.diamond.noise_law import add_noise, training_sigma
from diamond.families.diamond.precondition import Coefficients, coefficients, per_item
from diamond.families.diamond.quantizer import quantize
from diamond.families.diamond.sampler import sample
from diamond.records import to_bytes, to_unit
from diamond.rng import torch_generator
from diamond.seeds import Purpose

Order = Literal[1, 2]
LEVELS_256 = torch.arange(256).float().div(255).mul(2).sub(1)
SIGMA_DATA = 0.5


PAPER = diamond_of(make_preset("paper", "Breakout")).denoiser


def edm_coefficients(sigma: Tensor, sigma_data: float, offset_noise: float) -> Coefficients:
    changes = {"sigma_data": sigma_data, "offset_noise": offset_noise}
    return coefficients(PAPER.model_copy(update=changes), sigma)


def no_draw(index: int) -> Tensor:
    raise AssertionError(f"noise was drawn at step {index} without churn")


def numbers(seed: int, *shape: int) -> Tensor:
    generator = torch_generator(seed, Purpose.BOOTSTRAP)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# The levels of the released code, to three digits.
PAPER_LEVELS = {
    1: (5.0,),
    2: (5.0, 0.002),
    3: (5.0, 0.283, 0.002),
    5: (5.0, 1.377, 0.283, 0.0365, 0.002),
}


@pytest.mark.parametrize(("num_steps", "expected"), PAPER_LEVELS.items())
def test_levels_of_the_paper(num_steps: int, expected: tuple[float, ...]) -> None:
    levels = karras_levels(num_steps, sigma_min=2e-3, sigma_max=5.0, rho=7.0)
    assert levels[:-1] == pytest.approx(expected, rel=2e-3)
    assert levels[-1] == 0


@given(
    st.integers(1, 60), st.floats(1e-4, 0.5), st.floats(1.5, 1e3), st.floats(1, 12, allow_nan=False)
)
def test_levels_decrease_from_sigma_max_to_sigma_min_to_zero(
    num_steps: int, sigma_min: float, ratio: float, rho: float
) -> None:
    sigma_max = sigma_min * ratio
    levels = karras_levels(num_steps, sigma_min, sigma_max, rho)
    assert len(levels) == num_steps + 1
    assert all(isinstance(level, float) for level in levels)
    assert all(a > b for a, b in pairwise(levels))
    # Two powers in float64.
    assert levels[0] == pytest.approx(sigma_max, rel=1e-9)
    assert levels[-1] == 0
    if num_steps > 1:
        assert levels[-2] == pytest.approx(sigma_min, rel=1e-9)


@given(st.floats(1e-3, 80), st.floats(0.05, 3), st.sampled_from([0.0, 0.1, 0.3, 1.0]))
def test_input_and_target_of_the_network_have_variance_one(
    sigma: float, sigma_data: float, offset: float
) -> None:
    """The variance of a sum of independent terms is exact: nothing is sampled here."""
    cs = edm_coefficients(torch.tensor([sigma], dtype=torch.float64), sigma_data, offset)
    c_in, c_out, c_skip = (float(c) for c in (cs.c_in, cs.c_out, cs.c_skip))
    noise_variance = sigma**2 + offset**2
    assert c_in**2 * (sigma_data**2 + noise_variance) == pytest.approx(1, rel=1e-9)
    # Target (clean - c_skip (clean + noise)) / c_out.
    target_variance = ((1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * noise_variance) / c_out**2
    assert target_variance == pytest.approx(1, rel=1e-9)
    assert float(cs.c_noise) == pytest.approx(math.log(math.sqrt(noise_variance)) / 4, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.5, 5.0, 20.0])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_variance_one_of_what_training_really_adds(sigma: float, offset: float) -> None:
    b, side = 4000, 4
    clean = SIGMA_DATA * numbers(0, b, 3, side, side)
    sigmas = torch.full((b,), sigma, dtype=torch.float64)
    noisy = add_noise(
        clean, sigmas, ("constant", offset), numbers(1, b, 3, side, side), numbers(2, b, 3, 1, 1)
    )
    cs = edm_coefficients(sigmas, SIGMA_DATA, offset)
    scaled = per_item(cs.c_in) * noisy
    target = (clean - per_item(cs.c_skip) * noisy) / per_item(cs.c_out)
    # 12000 independent channels at least: four times sqrt(2 / 12000) is .052.
    assert float(scaled.var()) == pytest.approx(1, abs=0.052)
    assert float(target.var()) == pytest.approx(1, abs=0.052)


def test_offset_noise_is_one_constant_per_channel() -> None:
    clean = torch.zeros(2, 3, 5, 5)
    offset = torch.arange(6.0).reshape(2, 3, 1, 1)
    noisy = add_noise(clean, torch.zeros(2), ("constant", 0.5), torch.ones(2, 3, 5, 5), offset)
    assert torch.equal(noisy, (offset / 2).expand(2, 3, 5, 5))


def test_each_item_has_its_own_level() -> None:
    noisy = add_noise(
        torch.zeros(2, 1, 2, 2),
        torch.tensor([1.0, 3.0]),
        ("constant", 0.0),
        torch.ones(2, 1, 2, 2),
        torch.ones(2, 1, 1, 1),
    )
    assert noisy[0].tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    assert noisy[1].tolist() == [[[3.0, 3.0], [3.0, 3.0]]]


def test_training_levels_are_log_normal_and_clipped() -> None:
    normal = torch.tensor([-20.0, -1.0, 0.0, 1.0, 20.0])
    assert (PAPER.noise_loc, PAPER.noise_scale) == (-0.4, 1.2)
    sigma = training_sigma(PAPER, normal)
    expected = [2e-3, math.exp(-1.6), math.exp(-0.4), math.exp(0.8), 20.0]
    assert sigma.tolist() == pytest.approx(expected, rel=1e-6)


def test_floor_lowers_63_levels_at_every_pass() -> None:
    """docs/deviations.md: the number was found by running the released code."""
    once = quantize(LEVELS_256, "floor")
    step = 2 / 255
    lowered = (LEVELS_256 - once) / step
    assert int((lowered > 0.5).sum()) == 63
    assert float(lowered.max()) == pytest.approx(1, abs=1e-3)
    frames = LEVELS_256
    for _ in range(300):
        frames = quantize(frames, "floor")
    drift = ((frames - LEVELS_256) / step).round()
    assert float(drift.min()) == -63
    assert float(drift.mean()) == pytest.approx(-7.9, abs=0.05)


def test_round_is_idempotent_on_all_levels() -> None:
    once = quantize(LEVELS_256, "round")
    assert torch.equal(quantize(once, "round"), once)
    assert torch.equal(
        to_bytes(once[None, :, None]).flatten(), torch.arange(256, dtype=torch.uint8)
    )


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=20))
def test_round_takes_the_nearest_level_and_none_only_clamps(values: list[float]) -> None:
    frames = torch.tensor(values)
    clamped = frames.clamp(-1, 1)
    # Half a level, and float32 rounding.
    assert float((quantize(frames, "round") - clamped).abs().max()) <= 1 / 255 + 1e-6
    assert torch.equal(quantize(frames, "none"), clamped)
    below = clamped - quantize(frames, "floor")
    assert float(below.min()) >= -1e-6
    assert float(below.max()) <= 2 / 255 + 1e-6


@pytest.mark.parametrize("quantizer", ["floor", "round", "none"])
def test_quantize_makes_a_new_tensor(quantizer: Quantizer) -> None:
    frames = torch.tensor([-3.0, 0.123, 3.0])
    out = quantize(frames, quantizer)
    assert frames.tolist() == pytest.approx([-3.0, 0.123, 3.0])
    assert (float(out.min()), float(out.max())) == (-1, 1)


def test_bytes_survive_the_way_to_floats_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    unit = to_unit(frames)
    assert unit.shape == (1, 3, 16, 16)
    assert (float(unit.min()), float(unit.max())) == (-1, 1)
    assert torch.equal(to_bytes(unit), frames)
    assert torch.equal(to_bytes(quantize(unit, "round")), frames)


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """The exact D for data N(0, SIGMA_DATA^2): the posterior mean."""
    return x * SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)


def gaussian_solution(start: Tensor, sigma_max: float) -> Tensor:
    """The exact end of the ODE: x scales with the standard deviation of the noisy data."""
    return start * SIGMA_DATA / math.sqrt(SIGMA_DATA**2 + sigma_max**2)


def error_of(order: Order, num_steps: int) -> float:
    # A small sigma_min keeps the error of the last step, always Euler, below the rest.
    start = 5.0 * numbers(0, 2, 3, 4, 4)
    levels = karras_levels(num_steps, 1e-4, 5.0, 7.0)
    end = sample(gaussian_denoiser, start, levels, order, 0.0, no_draw)
    return float((end - gaussian_solution(start, 5.0)).abs().max())


@pytest.mark.parametrize("order", [1, 2])
def test_observed_order_of_the_solver(order: Order) -> None:
    """The error falls like n^-order: the slope between n = 64 and 512 in the log, within .1."""
    slope = math.log(error_of(order, 64) / error_of(order, 512)) / math.log(512 / 64)
    assert slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 10])
def test_denoiser_calls_are_as_declared_and_at_the_levels(order: Order, num_steps: int) -> None:
    levels = karras_levels(num_steps, 2e-3, 5.0, 7.0)
    seen: list[float] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return gaussian_denoiser(x, sigma)

    sample(denoise, numbers(0, 1, 3, 2, 2), levels, order, 0.0, no_draw)
    assert len(seen) == calls_per_sample(num_steps, order)
    expected = [levels[0], *(level for level in levels[1:-1] for _ in range(order))]
    assert seen == expected


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("num_steps", [1, 3, 7])
def test_a_point_mass_is_hit_exactly(order: Order, num_steps: int) -> None:
    """D(x; sigma) = point: every Euler step goes straight to it, whatever the start."""
    point = numbers(1, 2, 3, 4, 4)
    levels = karras_levels(num_steps, 2e-3, 5.0, 7.0)
    end = sample(lambda x, sigma: point, numbers(0, 2, 3, 4, 4), levels, order, 0.0, no_draw)
    # A few float64 roundings.
    assert torch.allclose(end, point, rtol=0, atol=1e-12)


def churned(
    churn: float, num_steps: int, order: Order = 1
) -> tuple[list[int], list[float], Tensor]:
    drawn: list[int] = []
    seen: list[float] = []

    def draw(index: int) -> Tensor:
        drawn.append(index)
        return numbers(100 + index, 2, 3, 4, 4)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return gaussian_denoiser(x, sigma)

    levels = karras_levels(num_steps, 2e-3, 5.0, 7.0)
    return drawn, seen, sample(denoise, numbers(0, 2, 3, 4, 4), levels, order, churn, draw)


@pytest.mark.parametrize("churn", [0.3, 1.0, 40.0])
def test_churn_raises_the_level_that_the_denoiser_sees(churn: float) -> None:
    """Defect 2 of the released code: it is the raised level, not the level of the grid."""
    levels = karras_levels(4, 2e-3, 5.0, 7.0)
    gamma = min(churn / 4, math.sqrt(2) - 1)
    drawn, seen, _ = churned(churn, 4)
    assert drawn == [0, 1, 2, 3]
    assert seen == pytest.approx([level * (1 + gamma) for level in levels[:-1]], rel=1e-12)
    assert max(seen) <= 5.0 * (1 + MAX_GAMMA) * (1 + 1e-12)


def test_churn_keeps_the_variance_of_the_data() -> None:
    """From N(0, sd^2 + sigma_max^2), many steps end at N(0, sd^2), with churn as without."""
    num = 20_000
    start = math.sqrt(SIGMA_DATA**2 + 25) * numbers(0, num, 1, 1, 1)

    def draw(index: int) -> Tensor:
        return numbers(1 + index, num, 1, 1, 1)

    levels = karras_levels(60, 2e-3, 5.0, 7.0)
    end = sample(gaussian_denoiser, start, levels, 2, 20.0, draw)
    # Four standard errors sqrt(2 / n) of a variance are .04; the solver's own error is below .01.
    assert float(end.var()) / SIGMA_DATA**2 == pytest.approx(1, abs=0.05)


def test_the_start_is_not_written_to() -> None:
    start = numbers(0, 1, 3, 2, 2)
    kept = start.clone()
    sample(gaussian_denoiser, start, (5.0, 1.0, 0.0), 2, 1.0, lambda index: torch.ones_like(start))
    assert torch.equal(start, kept)
