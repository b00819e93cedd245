"""Actions of several numbers: what networks learn of them, and worlds that know no rewards."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from diamond.config.presets import make_preset
from diamond.config.scoring import INVERSE_DYNAMICS
from diamond.config.worlds import world_section
from diamond.data.action_space import ActionSpace
from diamond.data.dataset import FrameSet
from diamond.data.segments import SegmentSampler
from diamond.errors import StageFailedError
from diamond.families import trees
from diamond.families.diamond.config import DenoiserConfig, RewardEndConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.families.diamond.world import build_world
from diamond.families.interface import Material
from diamond.nets.inverse_dynamics_net import INVERSE_DYNAMICS as JUDGE
from diamond.part import AnyPart, Extent
from diamond.rng import KeyedNoise, torch_generator
from diamond.seeds import Purpose
from diamond.training.inverse_dynamics_evaluation import judge_held_out_numbers
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import begin, train

SIDE = 16
MOVES = ActionSpace(low=(-2.0, 0.0), high=(2.0, 1.0))
"""A square moves down by the first number of pixels, and right by 4 times the second, less 2."""
SHAPE = MOVES.shape | {"height": SIDE, "width": SIDE}
SMOKE = make_preset("smoke", "Boxing")


def square(place: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A bright square of 4 x 4 pixels; a pixel that it covers in part is grey."""
    pixels = np.arange(SIDE)
    rows, columns = (
        np.clip(np.minimum(pixels + 1, p + 4) - np.maximum(pixels, p), 0, 1) for p in place
    )
    grey = np.rint(255 * np.outer(rows, columns)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def recorded_squares(
    num_frames: int, seed: int
) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """Frames of an episode, and the actions between them as they were recorded."""
    rng = np.random.default_rng(seed)
    place, frames, actions = rng.uniform(3, 9, size=2), [], []
    for _ in range(num_frames):
        frames.append(square(place))
        move = rng.uniform(-2, 2, size=2)
        move = np.where((place + move > 1) & (place + move < 11), move, -move)
        place = place + move
        actions.append((float(move[0]), float(move[1] / 4 + 0.5)))
    return np.stack(frames), actions[:-1]


def squares(num_episodes: int, seed: int, num_frames: int = 20) -> FrameSet:
    episodes = [recorded_squares(num_frames, 1000 * seed + one) for one in range(num_episodes)]
    n = num_episodes * num_frames
    return FrameSet(
        np.concatenate([frames for frames, _ in episodes]),
        np.concatenate([np.concatenate((MOVES.encode(a), MOVES.nothing(1))) for _, a in episodes]),
        np.zeros(n, np.float32),
        np.zeros(n, np.uint8),
        np.arange(num_episodes + 1, dtype=np.int64) * num_frames,
    )


def trained(part: AnyPart, config: Any, frames: FrameSet, updates: int) -> Any:
    optimizer = config.optimizer.model_copy(update={"lr": 2e-3, "warmup_updates": 5})
    net = part.fresh(config, SHAPE, 0)
    loss_of = part.loss_of(net, config, SegmentSampler(frames, part.data(config, None)), 0)
    for _ in train(begin(net, optimizer), loss_of, optimizer, updates):
        pass
    return net


def awake(net: nn.Module) -> None:
    """Move every parameter a little, so that what starts at zero takes part."""
    for index, parameter in enumerate(net.parameters()):
        generator = torch_generator(index, Purpose.BOOTSTRAP)
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def small_denoiser(**changes: object) -> DenoiserConfig:
    small = {"history": 2, "channels": (16, 16), "cond_channels": 32, "batch_size": 16}
    base = diamond_of(SMOKE).denoiser.model_dump()
    return DenoiserConfig.model_validate(base | small | changes)


def sections(**changes: object) -> dict[str, Any]:
    """What the stages of a world hold of it."""
    world = diamond_of(SMOKE).model_dump(mode="json")
    return world | {"denoiser": small_denoiser(**changes).model_dump(mode="json")}


def starts(num: int, num_frames: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Real frames, the actions between them and after them."""
    source = SegmentSampler(squares(20, seed=2), Extent(num_frames))
    drawn = source.sample(num, torch_generator(0, Purpose.DENOISER_SEGMENTS))
    return drawn.frames[:, :num_frames], drawn.actions[:, :-1], drawn.actions[:, -1]


def noise_at(time_step: int, num: int = 3) -> KeyedNoise:
    return KeyedNoise(0, range(num), time_step)


def test_the_denoiser_learns_what_each_number_does() -> None:
    """Under noise that hides the next frame, true actions give it, those of others do not.

    A denoiser that does not look at an action, or a number of it, has the same error whoever's
    they are: here it is .02 with the true ones, .15 with others and .09 with others' of one number.
    """
    config = small_denoiser(autoregressive_passes=1, noise_loc=1.6, noise_scale=0.1)
    denoiser = trained(DENOISER, config, squares(100, seed=1), 200)
    source = SegmentSampler(squares(20, seed=2), DENOISER.data(config, None))
    drawn = source.sample(64, torch_generator(0, Purpose.DENOISER_SEGMENTS))
    past, target = drawn.frames[:, :2], drawn.frames[:, 2]
    noise = torch.randn(target.shape, generator=torch_generator(0, Purpose.DENOISER_NOISE))

    def error(actions: Tensor) -> float:
        with torch.no_grad():
            guess = denoiser.denoise(target + 5 * noise, 5.0, past, actions)
        return float((guess - target).square().mean())

    actions = drawn.actions
    assert actions.shape == (64, 2, 2)
    assert error(actions) < 0.4 * error(actions.roll(1, 0))
    for number in range(2):
        other = actions.clone()
        other[..., number] = actions.roll(1, 0)[..., number]
        assert error(actions) < 0.6 * error(other)


def test_the_judge_reads_the_numbers_off_frames() -> None:
    config = INVERSE_DYNAMICS.model_copy(update={"batch_size": 32, "channels": (8, 16)})
    before = judge_held_out_numbers(JUDGE.fresh(config, SHAPE, 0), squares(10, seed=2))
    judge = trained(JUDGE, config, squares(100, seed=1), 300)
    after = judge_held_out_numbers(judge, squares(10, seed=2))
    # Always naming the mean gets 0.
    assert before.r2 < 0.1
    assert after.r2 > 0.7
    assert len(after.each) == 2 and min(after.each) > 0.6
    assert after.num_steps == 190


def test_reward_end_in_two_parts_equals_the_whole() -> None:
    config = RewardEndConfig.model_validate(diamond_of(SMOKE).reward_end)
    net = REWARD_END.fresh(config, SHAPE, 0)
    awake(net)
    frames, actions, _ = starts(3, 7)
    rewards, ends, memory = net(frames[:, :-1], actions, frames[:, 1:], None)
    assert rewards.shape == (3, 6, 3) and ends.shape == (3, 6, 2)
    _, _, begun = net(frames[:, :3], actions[:, :3], frames[:, 1:4], None)
    later = net(frames[:, 3:6], actions[:, 3:], frames[:, 4:], begun)
    # Convolutions of another batch size sum in another order.
    assert torch.allclose(later[0], rewards[:, 3:], atol=2e-5)
    other = net(frames[:, :-1], actions.flip(2), frames[:, 1:], None)[2]
    assert not torch.allclose(other[0], memory[0], atol=1e-3)


def test_a_policy_says_that_it_needs_discrete_actions() -> None:
    with pytest.raises(
        StageFailedError, match=r"need discrete actions; an action of these frames is 2 numbers"
    ):
        POLICY.build(SMOKE.policy, SHAPE)


# --- a world without a reward/end part ----------------------------------------------------------


def worlds() -> tuple[Any, Any]:
    """One that knows no rewards and ends, and the same with a model of them."""
    networks = {
        "denoiser": DENOISER.fresh(small_denoiser(), SHAPE, 0),
        "reward_end": REWARD_END.fresh(diamond_of(SMOKE).reward_end, SHAPE, 0),
    }
    for net in networks.values():
        awake(net)
    held = {name: section for name, section in sections().items() if name != "reward_end"}
    without = world_section(held, absent={"reward_end"})
    return (
        build_world(Material({"denoiser": networks["denoiser"]}, without)),
        build_world(Material(networks, world_section(sections()))),
    )


def test_a_world_that_knows_no_rewards_and_ends_draws_the_same_frames() -> None:
    frames, actions, action = starts(3)
    without, whole = worlds()
    states = [world.start(frames, actions, torch.zeros(3).long()) for world in (without, whole)]
    assert states[0].hidden.shape == states[0].cell.shape == (3, 0)
    for time_step in range(3):
        (states[0], mine), (states[1], other) = (
            world.step(state, action, noise_at(time_step))
            for world, state in zip((without, whole), states, strict=True)
        )
        assert torch.equal(mine.frame, other.frame)
        assert mine.reward.tolist() == [0.0] * 3 and mine.reward.dtype == torch.float32
        assert mine.end.tolist() == [False] * 3 and mine.end.dtype == torch.bool
    assert states[0].actions.shape == (3, 1, 2)
    assert torch.equal(states[0].actions[:, -1], action)
    other_frame = without.step(states[0], -action, noise_at(3))[1].frame
    assert not torch.equal(without.step(states[0], action, noise_at(3))[1].frame, other_frame)


def test_it_goes_on_from_a_saved_state() -> None:
    frames, actions, action = starts(3)
    world, _ = worlds()
    state, _ = world.step(world.start(frames, actions, torch.zeros(3).long()), action, noise_at(0))
    saved = load(save({name: one.contiguous() for name, one in trees.tensors(state).items()}))
    begun = world.start(frames.flip(0), actions.flip(0), torch.zeros(3).long())
    _, mine = world.step(trees.with_tensors(begun, saved), action, noise_at(1))
    assert torch.equal(mine.frame, world.step(state, action, noise_at(1))[1].frame)
    rows = torch.tensor([2])
    mixed = trees.replace(
        begun, rows, trees.with_tensors(begun, {n: t[:1] for n, t in saved.items()})
    )
    assert torch.equal(mixed.frames[2], state.frames[0])


def test_the_section_of_a_world_lacks_what_was_not_trained() -> None:
    held = {name: section for name, section in sections().items() if name != "reward_end"}
    found: Any = world_section(held | {"rollouts": {}}, absent={"reward_end"})
    assert found.sampler == diamond_of(SMOKE).sampler
    assert found.denoiser == small_denoiser()
    assert not hasattr(found, "reward_end")
    with pytest.raises(ValidationError, match="reward_end"):
        world_section(held)
