"""World models: one contract for every family, then what DIAMOND and the baselines promise."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from diamond.config.presets import make_preset
from diamond.families import trees
from diamond.families.baselines import StillWorld
from diamond.families.diamond.config import DenoiserConfig, SamplerConfig, diamond_of
from diamond.families.diamond.denoiser import Denoiser
from diamond.families.diamond.formulations import FORMULATION_FIELDS, Formulation
from diamond.families.diamond.levels import ddpm_sigmas
from diamond.families.diamond.reward_end_net import RewardEndNet, RewardEndNetShape
from diamond.families.diamond.world import DiamondWorld
from diamond.records import RealStarts
from diamond.rng import KeyedNoise, seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.world.imagination import replay_actions

SIDE = 16
NUM_ACTIONS = 5
NUM_STARTS = 4
CONTEXT = 6
HORIZON = 5
# Convolutions of another batch size sum in another order (1e-6); a second-order step divides that
# by the smallest noise level, .002.
ROUNDING = 1e-3

SMOKE = make_preset("smoke", "Boxing")


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(seed, Purpose.BOOTSTRAP))


def diamond_world(
    sampler: dict[str, Any] | None = None, denoiser: dict[str, Any] | None = None
) -> DiamondWorld:
    """A tiny untrained world whose every parameter takes part."""
    small = {"channels": (8, 8), "cond_channels": 16, "offset_noise": 0.1}
    changes = small | (denoiser or {})
    config = DenoiserConfig.model_validate(diamond_of(SMOKE).denoiser.model_dump() | changes)
    sampler_config = SamplerConfig.model_validate(
        diamond_of(SMOKE).sampler.model_dump()
        | {"quantizer": "none", "sigma_max": 5.0}
        | (sampler or {})
    )
    with seeded_init(0, Purpose.DENOISER_INIT):
        model = Denoiser(config, NUM_ACTIONS)
        reward_end = RewardEndNet(RewardEndNetShape(NUM_ACTIONS, SIDE, SIDE, (8, 8), (1, 1), 8, 12))
    for module in (model, reward_end):
        module.requires_grad_(False)
        for index, parameter in enumerate(module.parameters()):
            parameter.data += 0.1 * numbers(index, *parameter.shape)
    return DiamondWorld(model, reward_end, sampler_config)


def head_of(world: DiamondWorld) -> Any:
    """The layer that gives the logits of rewards and ends."""
    assert world._reward_end is not None
    return world._reward_end.head[2]


def formulated(formulation: Formulation, **sampler: Any) -> DiamondWorld:
    """A world of a formulation, unquantised but for what `sampler` says."""
    sections: dict[str, dict[str, Any]] = {"sampler": dict(sampler), "denoiser": {}}
    for name, value in FORMULATION_FIELDS[formulation].items():
        section, _, field = name.partition(".")
        sections[section].setdefault(field, value)
    return diamond_world(**sections)


def context() -> RealStarts:
    """Real frames and the actions between them."""
    frames = numbers(1000, NUM_STARTS, CONTEXT, 3, SIDE, SIDE).clamp(-1, 1)
    actions = torch.arange(NUM_STARTS * (CONTEXT - 1)).reshape(NUM_STARTS, -1) % NUM_ACTIONS
    return RealStarts(frames, actions, torch.zeros(NUM_STARTS, dtype=torch.int64))


def median_world() -> Any:
    return StillWorld(context()[0].median(dim=1).values)


FAMILIES: dict[str, Callable[[], Any]] = {
    "diamond": diamond_world,
    "diamond, one frame": lambda: diamond_world(denoiser={"history": 1}),
    "diamond, Heun and churn": lambda: diamond_world({"order": 2, "churn": 1.0}),
    "diamond, one step, rounded": lambda: diamond_world({"steps": 1, "quantizer": "round"}),
    "diamond, bfloat16": lambda: diamond_world(denoiser={"precision": "bfloat16"}),
    "ddpm": lambda: formulated("ddpm"),
    "ddpm, one step, rounded": lambda: formulated("ddpm", steps=1, quantizer="round"),
    "flow": lambda: formulated("flow"),
    "diamond, noisy past, argmax": lambda: diamond_world(
        {"cond_noise": 0.1, "reward_end_sampling": "argmax"}, {"cond_noise": 0.2}
    ),
    "copy last": lambda: StillWorld(None),
    "median background": median_world,
}
PLAN = torch.arange(NUM_STARTS * HORIZON).reshape(NUM_STARTS, HORIZON).mul(3) % NUM_ACTIONS


def keyed(starts: Sequence[int] = range(NUM_STARTS), seed: int = 0) -> Callable[[int], KeyedNoise]:
    return lambda time_step: KeyedNoise(seed, starts, time_step)


def rollout(world: Any, state: Any, actions: Tensor = PLAN, **where: Any) -> Iterator[Any]:
    noise_at = where.pop("noise_at", keyed())
    return replay_actions(world, state, actions, noise_at, **where)


@pytest.fixture(params=FAMILIES)
def world(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]()


def test_contract_steps_have_the_declared_shapes_and_ranges(world: Any) -> None:
    frames, actions, padded = context()
    state = world.start(frames, actions, padded)
    assert world.frame(state).shape == (NUM_STARTS, 3, SIDE, SIDE)
    for index, after, step in rollout(world, state):
        assert step.frame.shape == (NUM_STARTS, 3, SIDE, SIDE)
        assert step.frame.dtype == torch.float32
        assert not step.frame.requires_grad
        # The last step of a solver rounds: x + (0 - s) (x - D) / s is D but for a few float32 ulps.
        assert float(step.frame.abs().max()) <= 1 + 1e-5
        assert step.reward.shape == step.end.shape == (NUM_STARTS,)
        assert step.reward.dtype == torch.float32
        assert set(step.reward.tolist()) <= {-1.0, 0.0, 1.0}
        assert step.end.dtype == torch.bool
        assert torch.equal(world.frame(after), step.frame)
        assert index < HORIZON
    assert index == HORIZON - 1


def test_contract_a_step_does_not_write_to_its_state_or_the_real_frames(world: Any) -> None:
    frames, actions, padded = context()
    state = world.start(frames, actions, padded)
    before = {name: tensor.clone() for name, tensor in trees.tensors(state).items()}
    first = list(rollout(world, state))[-1][2]
    assert all(torch.equal(trees.tensors(state)[name], tensor) for name, tensor in before.items())
    assert torch.equal(frames, context()[0])
    # And the same state, actions and noise give the same bits again.
    again = list(rollout(world, state))[-1][2]
    assert torch.equal(first.frame, again.frame)
    assert torch.equal(first.reward, again.reward)


def test_contract_replace_and_tensors(world: Any) -> None:
    frames, actions, padded = context()
    state = world.start(frames, actions, padded)
    later = [after for _, after, _ in rollout(world, state)][-1]
    rows = torch.tensor([2, 0])
    picked = {name: tensor[rows] for name, tensor in trees.tensors(later).items()}
    mixed = trees.replace(state, rows, trees.with_tensors(state, picked))
    for name, tensor in trees.tensors(mixed).items():
        assert torch.equal(tensor[rows], picked[name])
        assert torch.equal(tensor[[1, 3]], trees.tensors(state)[name][[1, 3]])
    back = trees.with_tensors(state, trees.tensors(later))
    assert all(
        torch.equal(t, trees.tensors(back)[name]) for name, t in trees.tensors(later).items()
    )
    assert (
        trees.tensors(trees.replace(later, torch.arange(NUM_STARTS), state)).keys()
        == trees.tensors(state).keys()
    )


def test_contract_resume_from_a_saved_state_equals_no_stop(world: Any) -> None:
    frames, actions, padded = context()
    state = world.start(frames, actions, padded)
    whole = list(rollout(world, state))
    # Through bytes on disk, into a state made by another start.
    saved = load(save({name: t.contiguous() for name, t in trees.tensors(whole[1][1]).items()}))
    restored = trees.with_tensors(world.start(frames.flip(0), actions.flip(0), padded), saved)
    rest = list(rollout(world, restored, first=2))
    assert [index for index, _, _ in rest] == [2, 3, 4]
    for (_, _, expected), (_, _, step) in zip(whole[2:], rest, strict=True):
        assert torch.equal(step.frame, expected.frame)
        assert torch.equal(step.reward, expected.reward)
        assert torch.equal(step.end, expected.end)


DIAMONDS = [
    "diamond",
    "diamond, one frame",
    "diamond, Heun and churn",
    "ddpm",
    "flow",
    "diamond, noisy past, argmax",
]


@pytest.mark.parametrize("family", DIAMONDS)
def test_a_keyed_row_does_not_depend_on_its_batch(family: str) -> None:
    world = FAMILIES[family]()
    frames, actions, padded = context()
    whole = list(rollout(world, world.start(frames, actions, padded)))
    for rows in ([3], [2, 0]):
        state = world.start(frames[rows], actions[rows], padded[rows])
        part = list(rollout(world, state, PLAN[rows], noise_at=keyed(rows)))
        for (_, _, expected), (_, _, step) in zip(whole, part, strict=True):
            assert torch.allclose(step.frame, expected.frame[rows], rtol=0, atol=ROUNDING)
            assert torch.equal(step.reward, expected.reward[rows])
            assert torch.equal(step.end, expected.end[rows])
    assert not torch.allclose(whole[-1][2].frame[0], whole[-1][2].frame[1], atol=0.1)


def test_another_noise_seed_or_action_draws_another_frame() -> None:
    world = diamond_world()
    state = world.start(*context())
    base = next(rollout(world, state))[2].frame
    assert not torch.equal(next(rollout(world, state, noise_at=keyed(seed=1)))[2].frame, base)
    other = (PLAN + 1) % NUM_ACTIONS
    assert not torch.equal(next(rollout(world, state, other))[2].frame, base)


def test_history_shifts_by_one_frame_and_one_action() -> None:
    frames, actions, padded = context()
    world = diamond_world()
    state = world.start(frames, actions, padded)
    assert torch.equal(state.frames, frames[:, -4:])
    assert torch.equal(state.actions, actions[:, -3:])
    after, step = world.step(state, PLAN[:, 0], keyed()(0))
    assert torch.equal(after.frames[:, :-1], state.frames[:, 1:])
    assert torch.equal(after.frames[:, -1], step.frame)
    assert torch.equal(after.actions, torch.cat((actions[:, -2:], PLAN[:, :1]), dim=1))
    assert not torch.equal(after.hidden, state.hidden)


def test_the_denoiser_sees_the_history_and_the_new_action(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, actions, padded = context()
    seen: list[tuple[float, Tensor, Tensor]] = []

    def spy(
        self: Denoiser, noisy: Tensor, sigma: float, past: Tensor, acts: Tensor, past_noise: float
    ) -> Tensor:
        assert past_noise == 0
        seen.append((sigma, past, acts))
        return torch.zeros_like(noisy)

    monkeypatch.setattr(Denoiser, "denoise", spy)
    world = diamond_world({"steps": 3})
    world.step(world.start(frames, actions, padded), PLAN[:, 0], keyed()(0))
    assert [sigma for sigma, _, _ in seen] == pytest.approx([5, 0.283, 0.002], rel=2e-3)
    for _, past, acts in seen:
        assert torch.equal(past, frames[:, -4:])
        assert torch.equal(acts, torch.cat((actions[:, -3:], PLAN[:, :1]), dim=1))


@pytest.mark.parametrize(
    ("grid", "init", "scale"),
    [
        ("karras", "unit", 1.0),
        ("karras", "sigma_max", 5.0),
        ("karras", "marginal", 26**0.5),
        ("timesteps", "sigma_max", ddpm_sigmas()[666]),
        ("flow", "sigma_max", 0.999 / (1 - 0.999)),
    ],
)
def test_the_initial_sample_has_the_declared_scale(
    grid: str, init: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Tensor] = []

    def spy(self: Denoiser, noisy: Tensor, *rest: object) -> Tensor:
        starts.append(noisy)
        return noisy

    monkeypatch.setattr(Denoiser, "denoise", spy)
    world = diamond_world({"init_noise": init, "grid": grid})
    noise = keyed()(0)
    world.step(world.start(*context()), PLAN[:, 0], noise)
    expected = scale * noise.normal("denoiser/initial", (NUM_STARTS, 3, SIDE, SIDE))
    assert torch.equal(starts[0], expected)


class Recorded:
    """Keyed noise that keeps the sites it was asked for."""

    def __init__(self) -> None:
        self.sites: list[str] = []

    def normal(self, site: str, shape: Sequence[int]) -> Tensor:
        self.sites.append(site)
        return keyed()(0).normal(site, shape)

    def uniform(self, site: str, num_rows: int) -> Tensor:
        self.sites.append(site)
        return keyed()(0).uniform(site, num_rows)


SITES = {
    "diamond": ["denoiser/initial", "outcome/reward", "outcome/end"],
    "ddpm": [
        "denoiser/initial",
        "denoiser/ancestral/0",
        "denoiser/ancestral/1",
        "outcome/reward",
        "outcome/end",
    ],
    "ddpm, one step, rounded": ["denoiser/initial", "outcome/reward", "outcome/end"],
    "flow": ["denoiser/initial", "outcome/reward", "outcome/end"],
    "diamond, noisy past, argmax": ["denoiser/initial", "denoiser/past"],
}


@pytest.mark.parametrize(("family", "sites"), SITES.items())
def test_a_step_draws_at_its_own_sites_and_nowhere_else(family: str, sites: list[str]) -> None:
    world, noise = FAMILIES[family](), Recorded()
    world.step(world.start(*context()), PLAN[:, 0], noise)
    assert noise.sites == sites


def test_noise_of_past_frames_is_added_once_told_and_kept_out_of_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Tensor, float]] = []

    def spy(
        self: Denoiser, noisy: Tensor, sigma: float, past: Tensor, acts: Tensor, past_noise: float
    ) -> Tensor:
        seen.append((past, past_noise))
        return torch.zeros_like(noisy)

    monkeypatch.setattr(Denoiser, "denoise", spy)
    world = diamond_world({"cond_noise": 0.1, "steps": 3}, {"cond_noise": 0.2})
    state = world.start(*context())
    after, step = world.step(state, PLAN[:, 0], keyed()(0))
    added = 0.1 * keyed()(0).normal("denoiser/past", state.frames.shape)
    for past, told in seen:
        assert told == 0.1
        assert torch.equal(past, state.frames + added)
    assert torch.equal(after.frames, torch.cat((state.frames[:, 1:], step.frame[:, None]), dim=1))


def test_most_likely_rewards_and_ends() -> None:
    """Where the heads prefer a class by little, sampling differs and argmax does not."""
    sampled, likely = diamond_world(), diamond_world({"reward_end_sampling": "argmax"})
    for world in (sampled, likely):
        head = head_of(world)
        weight = head.weight
        assert isinstance(weight, Tensor)
        weight.zero_()
        preferred = torch.tensor([0.0, 0.0, 0.2, 0.0, 0.2])
        head.register_parameter("bias", torch.nn.Parameter(preferred, requires_grad=False))
    steps = [step for _, _, step in rollout(likely, likely.start(*context()))]
    assert all(step.reward.tolist() == [1.0] * NUM_STARTS for step in steps)
    assert all(step.end.all() for step in steps)
    steps = [step for _, _, step in rollout(sampled, sampled.start(*context()))]
    assert len({float(value) for step in steps for value in step.reward}) == 3


@pytest.mark.parametrize("quantizer", ["floor", "round"])
def test_quantising_at_the_end_leaves_the_denoised_frames_between_levels(
    quantizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drawn frame is on the levels; what the solver was given was clamped and nothing else."""
    seen: list[Tensor] = []

    def spy(self: Denoiser, noisy: Tensor, *rest: object) -> Tensor:
        seen.append(noisy)
        return 0.3 * noisy + 0.123

    monkeypatch.setattr(Denoiser, "denoise", spy)
    frames = {}
    for at in ("call", "end"):
        seen.clear()
        world = diamond_world({"quantize_at": at, "quantizer": quantizer, "steps": 2})
        _, step = world.step(world.start(*context()), PLAN[:, 0], keyed()(0))
        frames[at] = step.frame
        levels = (step.frame + 1) / 2 * 255
        # Float32 rounding of numbers up to 255.
        assert float((levels - levels.round()).abs().max()) < 1e-3
        if at == "end":
            x, low = seen[0], 0.002
            first = (0.3 * x + 0.123).clamp(-1, 1)
            # Euler from 5 to .002, in float32.
            assert torch.allclose(seen[1], x + (low - 5) * (x - first) / 5, atol=1e-5)
    assert not torch.equal(frames["call"], frames["end"])


def test_the_initial_draw_is_shared_by_all_numbers_of_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The initial draw is shared wherever shapes agree (docs/metrics.md: arms are paired)."""
    starts: list[Tensor] = []

    def spy(self: Denoiser, noisy: Tensor, *rest: object) -> Tensor:
        starts.append(noisy)
        return noisy

    monkeypatch.setattr(Denoiser, "denoise", spy)
    for steps in (1, 10):
        world = diamond_world({"steps": steps, "quantizer": "none"})
        world.step(world.start(*context()), PLAN[:, 0], keyed()(0))
    assert torch.equal(starts[0], starts[1])


@pytest.mark.parametrize("quantizer", ["floor", "round"])
def test_imagined_frames_are_levels_of_real_frames(quantizer: str) -> None:
    world = diamond_world({"quantizer": quantizer})
    _, _, step = next(rollout(world, world.start(*context())))
    levels = (step.frame + 1) / 2 * 255
    # Float32 rounding of numbers up to 255.
    assert float((levels - levels.round()).abs().max()) < 1e-3


def test_rewards_and_ends_follow_the_heads() -> None:
    """With one logit far above the rest, every draw is that class, whatever the noise."""
    world = diamond_world()
    head = head_of(world)
    for reward_class, end_class in ((0, 0), (1, 1), (2, 0)):
        head.register_parameter("bias", torch.nn.Parameter(torch.zeros(5), requires_grad=False))
        bias = head.bias
        assert isinstance(bias, Tensor)
        bias[reward_class] += 1000
        bias[3 + end_class] += 1000
        for _, _, step in rollout(world, world.start(*context())):
            assert step.reward.tolist() == [float(reward_class - 1)] * NUM_STARTS
            assert step.end.tolist() == [bool(end_class)] * NUM_STARTS


def test_a_longer_context_changes_the_memory_but_not_the_history() -> None:
    frames, actions, padded = context()
    world = diamond_world()
    long = world.start(frames, actions, padded)
    short = world.start(frames[:, 1:], actions[:, 1:], padded)
    assert torch.equal(long.frames, short.frames)
    assert not torch.equal(long.hidden, short.hidden)


def test_baselines_stand_still() -> None:
    frames, actions, padded = context()
    backgrounds = frames.median(dim=1).values
    for world, still in ((StillWorld(None), frames[:, -1]), (median_world(), backgrounds)):
        for _, _, step in rollout(world, world.start(frames, actions, padded)):
            assert torch.equal(step.frame, still)
            assert not step.end.any()
            assert not step.reward.any()
