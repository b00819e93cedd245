"""Networks: sizes of the paper, shapes, initialisation, independence of rows."""

from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diamond.config.networks import Precision
from diamond.config.presets import make_preset
from diamond.families.diamond.config import DenoiserConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser
from diamond.families.diamond.denoiser_net import DenoiserNet, DenoiserNetShape
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet, RewardEndNetShape
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.nets.blocks import ResBlock, SelfAttention2d, num_groups
from diamond.rng import seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY

PAPER = make_preset("paper", "Breakout")
# Float32 convolutions of another batch size sum in another order.
ROUNDING = 2e-5


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with seeded_init(0, Purpose.DENOISER_INIT):
        yield


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(seed, Purpose.BOOTSTRAP))


def awake(module: nn.Module, scale: float = 0.05) -> None:
    """Move every parameter a little, so that what starts at zero takes part."""
    for index, parameter in enumerate(module.parameters()):
        parameter.data += scale * numbers(index, *parameter.shape)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("num_actions", "expected"), [(4, 4_405_955), (18, 4_406_851)])
def test_denoiser_has_the_size_of_the_paper(num_actions: int, expected: int) -> None:
    shape = {"num_actions": num_actions, "height": 64, "width": 64}
    assert num_parameters(DENOISER.build(diamond_of(PAPER).denoiser, shape)) == expected


def test_reward_end_and_policy_have_the_size_of_the_paper() -> None:
    shape = {"num_actions": 4, "height": 64, "width": 64}
    assert num_parameters(REWARD_END.build(diamond_of(PAPER).reward_end, shape)) == 5_900_864
    assert num_parameters(POLICY.build(PAPER.policy, shape)) == 3_229_637


def test_networks_of_the_world_model_are_channels_last() -> None:
    shape = {"num_actions": 4, "height": 64, "width": 64}
    for net in (
        DENOISER.build(diamond_of(PAPER).denoiser, shape),
        REWARD_END.build(diamond_of(PAPER).reward_end, shape),
    ):
        weights = [p for p in net.parameters() if p.ndim == 4 and min(p.shape) > 1]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def denoiser_net(**changes: object) -> DenoiserNet:
    sizes: dict[str, object] = {
        "num_actions": 5,
        "history": 2,
        "channels": (8, 16),
        "depths": (1, 2),
        "cond_channels": 16,
        "patch": 1,
        "middle_attention": True,
    }
    return DenoiserNet(DenoiserNetShape(**(sizes | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "width", "patch"),
    [(16, 16, 1), (30, 34, 1), (17, 33, 1), (30, 34, 2), (28, 36, 4), (20, 20, 4)],
)
@pytest.mark.parametrize("levels", [1, 3])
def test_denoiser_keeps_any_size(height: int, width: int, patch: int, levels: int) -> None:
    net = denoiser_net(patch=patch, channels=(8, 16, 16)[:levels], depths=(1, 2, 1)[:levels])
    awake(net)
    actions = torch.tensor([[0, 4], [1, 2]])
    past = numbers(1, 2, 6, height, width)
    out = net(numbers(0, 2, 3, height, width), torch.zeros(2), past, actions).detach()
    assert out.shape == (2, 3, height, width)
    assert bool(out.isfinite().all())
    # Nothing is left at its initial zero, the border neither.
    assert float(out[..., -1, :].abs().min()) > 0
    assert float(out[..., :, -1].abs().min()) > 0


@pytest.mark.parametrize(("height", "width"), [(16, 16), (30, 34), (17, 33)])
def test_reward_end_takes_any_size(height: int, width: int) -> None:
    net = RewardEndNet(RewardEndNetShape(5, height, width, (8, 8, 16), (1, 2, 1), 12, 20))
    frames, actions = numbers(0, 2, 4, 3, height, width), torch.zeros(2, 4, dtype=torch.int64)
    rewards, ends, (hidden, cell) = net(frames, actions, frames, None)
    assert rewards.shape == (2, 4, 3)
    assert ends.shape == (2, 4, 2)
    assert hidden.shape == cell.shape == (2, 20)


def test_reward_end_in_two_parts_equals_the_whole() -> None:
    net = RewardEndNet(RewardEndNetShape(5, 16, 16, (8, 8), (1, 1), 12, 20))
    awake(net)
    frames = numbers(0, 2, 7, 3, 16, 16)
    actions = torch.arange(12).reshape(2, 6) % 5
    whole = net(frames[:, :-1], actions, frames[:, 1:], None)
    _, _, memory = net(frames[:, :3], actions[:, :3], frames[:, 1:4], None)
    later = net(frames[:, 3:6], actions[:, 3:], frames[:, 4:], memory)
    assert torch.allclose(later[0], whole[0][:, 3:], atol=ROUNDING)
    assert torch.allclose(later[2][1], whole[2][1], atol=ROUNDING)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (30, 34), (33, 17)])
def test_actor_critic_takes_any_size_and_starts_undecided(height: int, width: int) -> None:
    net = ActorCriticNet(ActorCriticShape(5, height, width, (8, 8, 16), 20))
    frames = numbers(0, 2, 3, height, width)
    logits, value, (hidden, _) = net(frames, net.initial(2, frames))
    assert logits.tolist() == [[0.0] * 5] * 2
    assert value.tolist() == [0.0, 0.0]
    assert hidden.shape == (2, 20)
    assert float(hidden.detach().abs().max()) > 0


def denoiser(**changes: object) -> Denoiser:
    base = diamond_of(make_preset("smoke", "Boxing")).denoiser
    config = DenoiserConfig.model_validate(base.model_dump() | {"middle_attention": True} | changes)
    return Denoiser(config, num_actions=6)


@pytest.mark.parametrize("sigma", [0.002, 0.5, 5.0])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_at_the_start_the_denoiser_only_rescales(sigma: float, patch: int) -> None:
    """The output starts at zero up to the bias of the last convolution, which is not zeroed."""
    model = denoiser(patch=patch, sigma_data=0.5, offset_noise=0.3)
    bias = model.net.conv_out.bias
    assert bias is not None
    nn.init.zeros_(bias)
    noisy = sigma * numbers(0, 2, 3, 16, 16)
    out = model.denoise(
        noisy, sigma, numbers(1, 2, 4, 3, 16, 16), torch.zeros(2, 4, dtype=torch.int64)
    )
    c_skip = 0.25 / (0.25 + sigma**2 + 0.09)
    # One float32 product.
    assert torch.allclose(out, c_skip * noisy, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("middle_attention", [True, False])
def test_residual_blocks_start_as_their_skip(middle_attention: bool) -> None:
    """Zero second convolution and attention: with its biases zeroed too, the block adds nothing."""
    net = denoiser_net(channels=(16,), depths=(1,), middle_attention=middle_attention)
    block = net.unet.middle[0]
    assert isinstance(block, ResBlock)
    assert block.conv2.bias is not None
    nn.init.zeros_(block.conv2.bias)
    x = numbers(0, 2, 16, 8, 8)
    out = block(x, numbers(1, 2, 16))
    attention = block.attention
    assert isinstance(attention, SelfAttention2d) == middle_attention
    # Attention passes on its normalised input.
    start = attention.norm(x) if isinstance(attention, SelfAttention2d) else x
    assert torch.equal(out, start)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_row_does_not_depend_on_its_batch(precision: str) -> None:
    model = denoiser(precision=precision)
    awake(model)
    noisy, past = numbers(0, 5, 3, 16, 16), numbers(1, 5, 4, 3, 16, 16)
    actions = torch.arange(20).reshape(5, 4) % 6
    whole = model.denoise(noisy, 1.0, past, actions)
    assert whole.dtype == torch.float32
    for row in range(5):
        one = slice(row, row + 1)
        alone = model.denoise(noisy[one], 1.0, past[one], actions[one])
        # bfloat16 keeps 8 bits: two roundings of values of order one.
        tolerance = ROUNDING if precision == "float32" else 2e-2
        assert torch.allclose(alone, whole[one], atol=tolerance)
    assert not torch.allclose(whole[0], whole[1], atol=0.1)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_without_gradients_the_memory_is_shared_and_the_bits_are_the_same(
    precision: Precision,
) -> None:
    model = denoiser(precision=precision)
    awake(model)
    noisy, past = numbers(0, 2, 3, 16, 16), numbers(1, 2, 4, 3, 16, 16)
    given = noisy.clone(), past.clone()
    recorded = model.denoise(noisy, 1.0, past, torch.arange(8).reshape(2, 4) % 6)
    with torch.no_grad():
        drawn = model.denoise(noisy, 1.0, past, torch.arange(8).reshape(2, 4) % 6)
    assert recorded.requires_grad
    assert torch.equal(recorded, drawn)
    assert torch.equal(noisy, given[0])
    assert torch.equal(past, given[1])


def test_reward_end_and_policy_rows_do_not_depend_on_their_batch() -> None:
    reward_end = RewardEndNet(RewardEndNetShape(5, 16, 16, (8, 8), (1, 1), 12, 20))
    policy = ActorCriticNet(ActorCriticShape(5, 16, 16, (8, 8), 20))
    awake(reward_end)
    awake(policy)
    frames, actions = numbers(0, 4, 3, 3, 16, 16), torch.arange(8).reshape(4, 2) % 5
    rewards, _, _ = reward_end(frames[:, :-1], actions, frames[:, 1:], None)
    alone, _, _ = reward_end(frames[2:3, :-1], actions[2:3], frames[2:3, 1:], None)
    assert torch.allclose(alone, rewards[2:3], atol=ROUNDING)
    first = frames[:, 0]
    logits, _, _ = policy(first, policy.initial(4, first))
    one, _, _ = policy(first[2:3], policy.initial(1, first))
    assert torch.allclose(one, logits[2:3], atol=ROUNDING)


def test_low_precision_is_near_float32_and_told_the_same_noise_level() -> None:
    noisy, past = numbers(0, 5, 3, 16, 16), numbers(1, 5, 4, 3, 16, 16)
    actions = torch.arange(20).reshape(5, 4) % 6
    told, drawn = [], []
    for precision in ("float32", "bfloat16"):
        with seeded_init(0, Purpose.DENOISER_INIT):
            model = denoiser(precision=precision)
        awake(model)
        unet = model.net.unet
        unet.register_forward_pre_hook(lambda _, given: told.append(given[1]))
        drawn.append(model.denoise(noisy, 1.0, past, actions))
    assert told[1].dtype == torch.float32
    assert torch.equal(told[0], told[1])
    # As above; and they differ, or the precision is not used.
    assert 0 < (drawn[0] - drawn[1]).abs().max() < 2e-2


def test_low_precision_ends_at_the_encoders_of_reward_end_and_policy() -> None:
    frames, actions = numbers(0, 4, 3, 3, 16, 16), torch.arange(8).reshape(4, 2) % 5
    found = []
    for precision in get_args(Precision):
        sizes = (8, 8), (1, 1), 12, 20
        with seeded_init(0, Purpose.DENOISER_INIT):
            reward_end = RewardEndNet(RewardEndNetShape(5, 16, 16, *sizes, precision=precision))
            policy = ActorCriticNet(ActorCriticShape(5, 16, 16, (8, 8), 20, precision=precision))
        awake(reward_end)
        awake(policy)
        rewards, ends, memory = reward_end(frames[:, :-1], actions, frames[:, 1:], None)
        logits, values, following = policy(
            frames[:, 2], policy.remember(frames[:, :2], torch.zeros(4, dtype=torch.int64))
        )
        found.append((rewards, ends, *memory, logits, values, *following))
    for exact, low in zip(*found, strict=True):
        assert low.dtype == torch.float32
        assert 0 < (exact - low).abs().max() < 2e-2


def test_a_memory_is_that_of_one_frame_after_the_other() -> None:
    policy = ActorCriticNet(ActorCriticShape(5, 16, 16, (8, 8), 20))
    awake(policy)
    frames = numbers(0, 4, 3, 3, 16, 16)
    memory = policy.initial(4, frames)
    padded = torch.zeros(4, dtype=torch.int64)
    assert torch.equal(policy.remember(frames[:, :0], padded)[0], memory[0])
    for frame in frames.unbind(dim=1):
        _, _, memory = policy(frame, memory)
    for mine, expected in zip(policy.remember(frames, padded), memory, strict=True):
        assert torch.allclose(mine, expected, atol=ROUNDING)


def test_every_input_of_the_denoiser_matters_after_it_has_moved() -> None:
    model = denoiser()
    awake(model)
    noisy, past = numbers(0, 1, 3, 16, 16), numbers(1, 1, 4, 3, 16, 16)
    actions = torch.zeros(1, 4, dtype=torch.int64)
    base = model.denoise(noisy, 1.0, past, actions)
    for position in range(4):
        other = actions.clone()
        other[0, position] = 3
        assert not torch.equal(model.denoise(noisy, 1.0, past, other), base)
        moved = past.clone()
        moved[0, position] *= -1
        assert not torch.equal(model.denoise(noisy, 1.0, moved, actions), base)
    assert not torch.equal(model.denoise(noisy, 1.1, past, actions), base)


def test_every_parameter_has_a_gradient() -> None:
    net = denoiser_net()
    awake(net)
    out = net(
        numbers(0, 2, 3, 16, 16), numbers(1, 2), numbers(2, 2, 6, 16, 16), torch.ones(2, 2).long()
    )
    (out * numbers(3, *out.shape)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@given(st.integers(1, 300))
def test_any_width_has_a_group_norm(channels: int) -> None:
    groups = num_groups(channels)
    assert channels % groups == 0
    assert groups <= max(1, channels // 32)
    assert channels % 32 or groups == channels // 32


@pytest.mark.parametrize("channels", [4, 17, 44, 64, 100])
def test_any_width_has_attention(channels: int) -> None:
    attention = SelfAttention2d(channels)
    x = numbers(0, 2, channels, 3, 5)
    assert torch.equal(attention(x), attention.norm(x))
    assert channels % 8 or attention.num_heads == channels // 8


@pytest.mark.parametrize("channels", [(33, 64), (17, 50), (100, 100)])
def test_any_valid_width_builds_a_working_denoiser(channels: tuple[int, ...]) -> None:
    net = denoiser_net(channels=channels)
    out = net(
        numbers(0, 1, 3, 16, 16), torch.zeros(1), numbers(1, 1, 6, 16, 16), torch.ones(1, 2).long()
    )
    assert out.shape == (1, 3, 16, 16)
