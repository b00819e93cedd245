"""Parameterisations, noise laws and solvers of every formulation, against closed forms."""

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diamond.config.networks import OptimizerConfig
from diamond.config.presets import make_preset
from diamond.families.diamond.config import DenoiserConfig, NoiseLaw, OffsetLaw, Target, diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser, Past
from diamond.families.diamond.formulations import FORMULATION_FIELDS, Formulation
from diamond.families.diamond.levels import (
    calls_per_sample,
    ddpm_sigmas,
    flow_levels,
    karras_levels,
    timestep_levels,
)
from diamond.families.diamond.noise_law import add_noise, training_sigma
from diamond.families.diamond.precondition import Coefficients, coefficients, ddpm_time, per_item
from diamond.families.diamond.sampler import sample, sample_ancestral
from diamond.records import Segments
from diamond.rng import seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.training.training_loop import begin, train

SMOKE = make_preset("smoke", "Boxing")
TARGETS: tuple[Target, ...] = get_args(Target)
OFFSET_LAWS: tuple[OffsetLaw, ...] = get_args(OffsetLaw)
SHAPE = {"num_actions": 3, "height": 16, "width": 16}
SIGMAS = torch.tensor([0.002, 0.1, 0.5, 1.0, 5.0, 157.0, 999.0], dtype=torch.float64)


def config_of(**changes: Any) -> DenoiserConfig:
    small = {"channels": (16, 16), "cond_channels": 32, "batch_size": 4, "noise_min": 2e-3}
    return DenoiserConfig.model_validate(diamond_of(SMOKE).denoiser.model_dump() | small | changes)


def formulated(formulation: Formulation, **changes: Any) -> DenoiserConfig:
    fields = {
        name.removeprefix("denoiser."): value
        for name, value in FORMULATION_FIELDS[formulation].items()
        if name.startswith("denoiser.")
    }
    return config_of(**(fields | changes))


def numbers(seed: int, *shape: int) -> Tensor:
    generator = torch_generator(seed, Purpose.BOOTSTRAP)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def predicted(target: Target, clean: Tensor, noise: Tensor, s: Tensor, sigma_data: float) -> Tensor:
    """What a network is to predict, by the definition of its target; linear in both arguments."""
    match target:
        case "edm":
            mixed = s * clean - sigma_data**2 * noise
            return mixed / (sigma_data * (s**2 + sigma_data**2).sqrt())
        case "x0":
            return clean
        case "eps":
            return noise
        case "v":
            return (noise - s * clean) / (1 + s**2).sqrt()
        case "velocity":
            return noise - clean


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_every_target_of_the_exact_denoiser_gives_the_same_denoiser(
    target: Target, sigma_data: float
) -> None:
    """Gaussian data: the mean of frame and noise behind x is known, so is that of the target."""
    config = config_of(target=target, sigma_data=sigma_data, offset_noise=0.0)
    x = numbers(0, len(SIGMAS)) * (SIGMAS**2 + sigma_data**2).sqrt()
    variance = SIGMAS**2 + sigma_data**2
    clean, noise = x * sigma_data**2 / variance, x * SIGMAS / variance
    cs = coefficients(config, SIGMAS)
    output = predicted(target, clean, noise, SIGMAS, sigma_data)
    # Float64; x - s F cancels up to 999 / .25 of it.
    assert torch.allclose(cs.c_skip * x + cs.c_out * output, clean, rtol=1e-9, atol=1e-12)


def segments_of(frames: Tensor) -> Segments:
    b, steps = frames.shape[0], frames.shape[1] - 1
    actions = torch.arange(b * steps).reshape(b, steps) % 3
    zeros = torch.zeros(b, steps)
    return Segments(frames, actions, zeros, zeros.long(), zeros == 0)


def toy_segments(batch: int = 4, steps: int = 4) -> Segments:
    """A square on a black field, elsewhere in every frame."""
    frames = -torch.ones(batch, steps + 1, 3, 16, 16)
    for item in range(batch):
        for step in range(steps + 1):
            column = (3 * item + 2 * step) % 12
            frames[item, step, :, 4 : 8 + item, column : column + 4] = 0.8
    return segments_of(frames)


def fresh(config: DenoiserConfig) -> Denoiser:
    with seeded_init(0, Purpose.DENOISER_INIT):
        return DENOISER.build(config, SHAPE)


Network = Callable[[Tensor, Coefficients, Past, Tensor], Tensor]


def loss_with(denoiser: Denoiser, network: Network, segments: Segments) -> float:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoiser, "_network", network)
        loss = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    return float(loss.detach())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("offset_law", OFFSET_LAWS)
def test_the_loss_is_that_of_the_definition_of_the_target(
    target: Target, offset_law: OffsetLaw
) -> None:
    """A network that predicts the target by its definition has no loss, and none other."""
    config = config_of(
        target=target,
        offset_law=offset_law,
        offset_noise=0.3,
        noise_min=0.05,
        autoregressive_passes=1,
    )
    denoiser, segments = fresh(config), toy_segments()
    clean = segments.frames[:, -1]

    def network(noisy: Tensor, cs: Coefficients, past: Past, actions: Tensor) -> Tensor:
        # What the loss drew, in its order.
        sigma = training_sigma(
            config, torch.randn(4, generator=torch_generator(0, Purpose.DENOISER_NOISE))
        )
        s = (sigma**2 + 0.3**2).sqrt() if offset_law == "constant" else sigma
        s = per_item(s)
        return predicted(target, clean, (noisy - clean) / s, s, config.sigma_data)

    # (noisy - clean) / .05 keeps 2e-6 of float32, squared.
    assert loss_with(denoiser, network, segments) < 1e-9
    assert loss_with(denoiser, lambda *given: network(*given) + 0.1, segments) == pytest.approx(
        0.01, rel=1e-3
    )


@pytest.mark.parametrize("formulation", ["edm", "ddpm", "flow"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_fresh_network_predicts_nothing_and_the_loss_is_of_order_one(
    formulation: Formulation, target: Target
) -> None:
    """The output begins at zero: whatever the target, it has to be of order one for that."""
    config = formulated(formulation, target=target, offset_noise=0.3)
    denoiser = fresh(config)
    bias = denoiser.net.conv_out.bias
    assert bias is not None
    bias.data.zero_()
    segments = toy_segments(steps=config.history + config.autoregressive_passes - 1)
    denoiser.requires_grad_(False)
    loss = float(denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE)))
    zero = loss_with(denoiser, lambda noisy, *_: torch.zeros_like(noisy), segments)
    assert loss == pytest.approx(zero, rel=1e-6)
    # The frames have a mean square of .97, which EDM's target divides by sigma_data^2 = .25.
    assert 0.3 < loss < 4


def test_input_scale_of_unit_variance_and_of_the_variance_preserving_process_agree() -> None:
    edm = coefficients(config_of(sigma_data=1.0), SIGMAS)
    vp = coefficients(config_of(sigma_data=1.0, input_scale="vp"), SIGMAS)
    assert torch.allclose(edm.c_in, vp.c_in, rtol=1e-12)
    flow = coefficients(config_of(input_scale="flow", offset_law="sigma"), SIGMAS)
    assert torch.allclose(flow.c_in, 1 - SIGMAS / (1 + SIGMAS), rtol=1e-9)


def test_v_prediction_is_edm_of_unit_data_but_for_its_sign() -> None:
    edm = coefficients(config_of(sigma_data=1.0), SIGMAS)
    v = coefficients(config_of(sigma_data=0.5, input_scale="vp", target="v"), SIGMAS)
    assert torch.allclose(edm.c_skip, v.c_skip, rtol=1e-12)
    assert torch.allclose(edm.c_out, -v.c_out, rtol=1e-12)
    assert torch.allclose(edm.c_in, v.c_in, rtol=1e-12)


def test_coefficients_see_the_offset_unless_it_is_a_part_of_the_noise() -> None:
    offset = config_of(offset_noise=0.3)
    part = config_of(offset_noise=0.3, offset_law="sigma")
    seen = coefficients(offset, SIGMAS)
    same = coefficients(config_of(offset_noise=0.0), (SIGMAS**2 + 0.3**2).sqrt())
    unseen = coefficients(part, SIGMAS)
    plain = coefficients(config_of(offset_noise=0.0), SIGMAS)
    for name in ("c_in", "c_out", "c_skip", "c_noise"):
        assert torch.allclose(getattr(seen, name), getattr(same, name), rtol=1e-12)
        assert torch.allclose(getattr(unseen, name), getattr(plain, name), rtol=1e-12)


def test_an_offset_that_is_a_part_of_the_noise_grows_with_it() -> None:
    clean, normal, offset = numbers(0, 2, 3, 4, 4), numbers(1, 2, 3, 4, 4), numbers(2, 2, 3, 1, 1)
    sigma = torch.tensor([0.5, 7.0], dtype=torch.float64)
    noisy = add_noise(clean, sigma, ("sigma", 0.3), normal, offset)
    expected = clean + per_item(sigma) * normal + 0.3 * per_item(sigma) * offset
    assert torch.allclose(noisy, expected, rtol=0, atol=1e-12)


def test_the_embedding_of_a_table_level_is_its_timestep() -> None:
    """Exactly, in the float32 in which levels reach the denoiser."""
    sigma = torch.tensor(ddpm_sigmas())
    assert sigma.dtype == torch.float32
    assert torch.equal(ddpm_time(sigma), torch.arange(1000).double())
    c_noise = coefficients(config_of(noise_embedding="timestep"), sigma).c_noise
    assert torch.equal(c_noise, (torch.arange(1000) + 1) / 1000)


@given(st.floats(1e-4, 2000), st.floats(1.0001, 3))
def test_the_embedded_timestep_grows_with_the_level_and_stays_in_the_table(
    sigma: float, ratio: float
) -> None:
    low, high = ddpm_time(torch.tensor([sigma, sigma * ratio], dtype=torch.float64)).tolist()
    assert 0 <= low <= high <= 999
    table = ddpm_sigmas()
    if table[0] <= sigma and sigma * ratio <= table[-1]:
        assert low < high
    # The float32 table is 6e-8 off: a hundredth of a step at its flattest.
    if low < 999 and sigma >= table[0]:
        assert table[max(0, math.floor(low - 0.01))] <= sigma <= table[math.floor(low + 0.01) + 1]


def test_a_level_between_two_of_the_table_lies_between_their_timesteps() -> None:
    table = ddpm_sigmas()
    middle = torch.tensor([math.sqrt(table[400] * table[401])], dtype=torch.float64)
    # The float32 of the table against the difference of two logs, 5e-3.
    assert float(ddpm_time(middle)) == pytest.approx(400.5, abs=1e-4)


def test_the_embedding_of_time() -> None:
    c_noise = coefficients(config_of(noise_embedding="time", offset_noise=0.3), SIGMAS).c_noise
    assert torch.allclose(c_noise, SIGMAS / (1 + SIGMAS), rtol=1e-12)


def law_of(law: NoiseLaw, u: float, low: float, high: float) -> float:
    """The quantile function of a law, before the clip."""
    match law:
        case "lognormal":
            return math.exp(-0.4 + 1.2 * NormalDist().inv_cdf(u))
        case "loguniform":
            return math.exp((1 - u) * math.log(low) + u * math.log(high))
        case "timesteps":
            return ddpm_sigmas()[math.floor(1000 * u)]
        case "time":
            return u / (1 - u)


LAWS: tuple[NoiseLaw, ...] = get_args(NoiseLaw)


@pytest.mark.parametrize("law", LAWS)
@given(st.floats(1e-4, 1 - 1e-4), st.floats(1e-3, 0.2), st.floats(0.5, 1e3))
def test_a_law_has_its_quantiles_and_its_clip(
    law: NoiseLaw, u: float, low: float, high: float
) -> None:
    if abs(1000 * u - round(1000 * u)) < 1e-3:
        u += 5e-4  # Float32 decides which timestep a boundary belongs to.
    config = config_of(
        noise_law=law, noise_loc=-0.4, noise_scale=1.2, noise_min=low, noise_max=high
    )
    normal = torch.tensor([NormalDist().inv_cdf(u)])
    expected = min(max(law_of(law, u, low, high), low), high)
    # A float32 normal number, up to 3.7, in the exponent.
    assert float(training_sigma(config, normal)) == pytest.approx(expected, rel=5e-6)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_is_finite_and_monotone_for_any_normal_number(law: NoiseLaw) -> None:
    config = config_of(noise_law=law, noise_min=2e-3, noise_max=999.0)
    sigma = training_sigma(config, torch.linspace(-40, 40, 4001))
    assert sigma.dtype == torch.float32
    assert bool((sigma.diff() >= 0).all())
    assert float(sigma.min()) >= torch.tensor(2e-3) - 1e-9
    assert float(sigma.max()) <= 999


def test_timesteps_of_training_are_levels_of_the_table() -> None:
    """So that the network is told whole timesteps, and all of them."""
    config = formulated("ddpm")
    normal = torch.tensor([NormalDist().inv_cdf((t + 0.5) / 1000) for t in range(1000)])
    sigma = training_sigma(config, normal)
    assert torch.equal(sigma, torch.tensor(ddpm_sigmas()))
    assert torch.equal(coefficients(config, sigma).c_noise, (torch.arange(1000) + 1) / 1000)


SIGMA_DATA = 0.5


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """The exact D for data N(0, SIGMA_DATA^2)."""
    return x * SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)


@pytest.mark.parametrize("levels", [timestep_levels(10), karras_levels(7, 2e-3, 5.0, 7.0)])
def test_ancestral_samples_of_a_point_have_the_noise_of_each_level(
    levels: tuple[float, ...],
) -> None:
    """Data at a point: every posterior is exact, however coarse the grid."""
    num = 40_000
    seen: list[tuple[float, float, float]] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append((sigma, float(x.mean()), float(x.std())))
        return torch.full_like(x, 0.7)

    start = 0.7 + levels[0] * numbers(0, num)
    end = sample_ancestral(denoise, start, levels, lambda index: numbers(1 + index, num))
    assert torch.equal(end, torch.full_like(end, 0.7))
    assert [sigma for sigma, _, _ in seen] == list(levels[:-1])
    for sigma, mean, std in seen:
        # Four standard errors: sigma / sqrt(n) of the mean, 1 / sqrt(2 n) of the deviation.
        assert abs(mean - 0.7) < 0.02 * sigma
        assert std / sigma == pytest.approx(1, abs=0.0142)


@pytest.mark.parametrize("levels", [timestep_levels(500), karras_levels(200, 2e-3, 80.0, 7.0)])
def test_ancestral_sampling_keeps_the_variance_of_the_data(levels: tuple[float, ...]) -> None:
    num = 20_000
    start = math.sqrt(SIGMA_DATA**2 + levels[0] ** 2) * numbers(0, num)
    end = sample_ancestral(gaussian_denoiser, start, levels, lambda index: numbers(1 + index, num))
    # Four standard errors sqrt(2 / n) are .04, the grid's own error is the rest.
    assert float(end.var()) / SIGMA_DATA**2 == pytest.approx(1, abs=0.06)


def test_ancestral_sampling_calls_once_a_step_and_draws_at_all_but_the_last() -> None:
    calls: list[float] = []
    drawn: list[int] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        return x * 0.1

    def draw(index: int) -> Tensor:
        drawn.append(index)
        return torch.zeros(2)

    sample_ancestral(denoise, torch.ones(2), timestep_levels(5), draw)
    assert len(calls) == calls_per_sample(5, 1)
    assert drawn == [0, 1, 2, 3]


@pytest.mark.parametrize("num_steps", [1, 3, 10, 100])
def test_euler_on_the_flow_grid_is_euler_of_rectified_flow(num_steps: int) -> None:
    """dx_t/dt = E[noise - clean | x_t] in x_t = (1 - t) clean + t noise, in equal steps of t."""
    start = numbers(0, 2, 3, 4, 4)
    t, x = 0.999, start.clone()
    for _ in range(num_steps):
        variance = (1 - t) ** 2 * SIGMA_DATA**2 + t**2
        clean = (1 - t) * SIGMA_DATA**2 / variance * x
        noise = t / variance * x
        following = t - 0.999 / num_steps
        x = x + (following - t) * (noise - clean)
        t = following
    levels = flow_levels(num_steps)
    ours = sample(
        gaussian_denoiser, start * (1 + levels[0]), levels, 1, 0.0, lambda _: torch.zeros(1)
    )
    # Float64 through levels of 999.
    assert torch.allclose(ours, x, rtol=1e-9, atol=1e-9)


def past_given(config: DenoiserConfig, segments: Segments) -> list[tuple[Tensor, Past]]:
    """Noisy frames and past frames that a network is given in one loss."""
    seen: list[tuple[Tensor, Past]] = []

    def network(noisy: Tensor, cs: Coefficients, past: Past, actions: Tensor) -> Tensor:
        seen.append((noisy, past))
        return torch.zeros_like(noisy)

    loss_with(fresh(config), network, segments)
    return seen


def test_noise_of_past_frames_has_its_own_level_per_item_and_shifts_no_other_number() -> None:
    segments = toy_segments(batch=64, steps=5)
    sizes = {"autoregressive_passes": 2, "quantizer": "none"}
    without = past_given(config_of(**sizes), segments)
    with_noise = past_given(config_of(**sizes, cond_noise=0.4), segments)
    levels = []
    for (noisy, past), (same, changed) in zip(without, with_noise, strict=True):
        assert torch.equal(noisy, same)
        assert torch.equal(past.noise, torch.zeros(64))
        added = changed.frames - past.frames
        # 4 frames of 768 numbers: four standard errors of a deviation are .05 of it.
        for frame in added.unbind(dim=1):
            assert torch.allclose(frame.flatten(1).std(dim=1), changed.noise, rtol=0.11, atol=1e-4)
        levels.append(changed.noise)
        assert 0 <= float(changed.noise.min()) < 0.04
        assert 0.36 < float(changed.noise.max()) <= 0.4
        # Uniform on [0, .4]: four standard errors .4 / sqrt(12 * 64) are .058.
        assert float(changed.noise.mean()) == pytest.approx(0.2, abs=0.058)
    assert not torch.equal(levels[0], levels[1])


def test_the_network_is_told_the_noise_of_past_frames_and_has_no_more_parameters() -> None:
    plain, told = fresh(config_of()), fresh(config_of(cond_noise=0.4))
    ours, theirs = dict(plain.named_parameters()), dict(told.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    extra = set(told.state_dict()) - set(plain.state_dict())
    assert extra == {"net.past_noise_features.weight"}
    for parameter in told.parameters():
        parameter.data += 0.1
    segments = toy_segments()
    noisy, past = segments.frames[:, -1], segments.frames[:, :4]
    told.requires_grad_(False)
    low, high = (told.denoise(noisy, 1.0, past, segments.actions, at) for at in (0.0, 0.4))
    assert not torch.allclose(low, high, atol=1e-3)
    with pytest.raises(AssertionError):
        told.denoise(noisy, 1.0, past, segments.actions, 0.5)


@pytest.mark.parametrize(("scale", "factor"), [("sigma_data", 2.0), ("none", 1.0)])
def test_past_frames_are_scaled_as_declared(
    scale: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser, segments = fresh(config_of(past_scale=scale, sigma_data=0.5)), toy_segments()
    seen: list[Tensor] = []

    def forward(noisy: Tensor, c_noise: Tensor, past: Tensor, *rest: object) -> Tensor:
        seen.append(past)
        return noisy

    monkeypatch.setattr(denoiser.net, "forward", forward)
    past = segments.frames[:, :4]
    denoiser.denoise(segments.frames[:, -1], 1.0, past, segments.actions)
    assert torch.equal(seen[0], past.flatten(1, 2) * factor)


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "ddpm": formulated("ddpm").model_dump(),
    "flow": formulated("flow").model_dump(),
    "x0": {"target": "x0"},
    "v": {"target": "v", "input_scale": "vp"},
    "past noise": {"cond_noise": 0.1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_denoiser_of_every_formulation_overfits_one_batch(variant: str) -> None:
    """One batch with one draw of noise, as in tests/training/test_training_loop.py for EDM."""
    config = config_of(**(dict(VARIANTS[variant]) | {"autoregressive_passes": 1}))
    optimizer = OptimizerConfig(
        lr=5e-3, weight_decay=0.0, eps=1e-8, warmup_updates=5, schedule="cosine", max_grad_norm=1.0
    )
    state = begin(fresh(config), optimizer, config.ema)
    denoiser, segments = state.module, toy_segments()
    assert isinstance(denoiser, Denoiser)

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        return denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE)), {}

    losses = [record.values["loss"] for record in train(state, loss_of, optimizer, 120, config.ema)]
    assert losses[-1] < 0.4 * losses[0]
