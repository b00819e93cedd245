"""Episodes shorter than what is read of them: padded in front, and nothing is learnt there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.config.recording import FramesConfig
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import View
from diamond.data.replay import Replay
from diamond.data.segments import SegmentSampler, draw_starts
from diamond.envs.open_game import data_shape
from diamond.errors import RequestError, StageFailedError
from diamond.families.diamond.config import DenoiserConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser
from diamond.families.diamond.precondition import per_item
from diamond.families.diamond.quantizer import quantize
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet, RewardEndNetShape
from diamond.families.diamond.world import DiamondWorld
from diamond.makers import learned_judges as judges
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.part import CPU, AnyPart, Extent
from diamond.records import RealStarts, Segments
from diamond.rng import torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY, imagination_policy
from tests.commands import ablate

NUM_ACTIONS = 3
# Convolutions of another batch size sum in another order, in float32, of numbers up to 10.
ROUNDING = 1e-5


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(seed, Purpose.BOOTSTRAP))


def numbered(lengths: list[int], pads_starts: bool = True) -> FrameSet:
    """Episodes of env steps; frames show their own row, actions and rewards are never 0."""
    bounds = np.cumsum([0, *(length + 1 for length in lengths)]).astype(np.int64)
    n = int(bounds[-1])
    rows = np.arange(n)
    frames = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (n, 1, 1, 3)).copy()
    ends = np.isin(rows, bounds[1:] - 2).astype(np.uint8)
    return FrameSet(frames, rows + 1, rows + np.float32(1), ends, bounds, pads_starts)


def replayed(folder: Path, frames: FrameSet) -> Replay:
    folder.mkdir()
    replay = Replay(folder, len(frames.frames), (1, 1), frames.pads_starts)
    for first, after in zip(frames.bounds[:-1], frames.bounds[1:], strict=True):
        replay.begin(frames.frames[first])
        for row in range(first, after - 1):
            reward, end = float(frames.rewards[row]), bool(frames.ends[row])
            replay.add(int(frames.actions[row]), reward, end, frames.frames[row + 1])
        replay.close()
    return replay


def rows_of(frames: Tensor) -> NDArray[np.int64]:
    shown = frames[..., 0, 0, 0].add(1).mul(127.5).round().long().numpy()
    return np.asarray(shown)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12), st.integers(0, 9))
def test_what_lies_before_the_episode_is_its_first_frame_and_nothing_is_done_there(
    lengths: list[int], num_steps: int, seed: int
) -> None:
    frames = numbered(lengths)
    generator = torch_generator(seed, Purpose.DENOISER_SEGMENTS)
    drawn = SegmentSampler(frames, Extent(num_steps)).sample(16, generator)
    for item, last in enumerate(rows_of(drawn.frames)[:, -1]):
        begin = max(bound for bound in frames.bounds if bound < last)
        for step in range(num_steps):
            row = last - num_steps + step
            real = row >= begin
            assert rows_of(drawn.frames)[item, step] == max(row, begin)
            assert bool(drawn.valid[item, step]) == real
            assert int(drawn.actions[item, step]) == (row + 1 if real else 0)
            assert float(drawn.rewards[item, step]) == (row + 1 if real else 0)
            assert int(drawn.ends[item, step]) == (frames.ends[row] if real else 0)


def test_every_env_step_is_equally_likely_to_be_the_last(tmp_path: Path) -> None:
    frames = numbered([1, 5, 2])
    for given_frames in (frames, replayed(tmp_path / "replay", frames)):
        generator = torch_generator(0, Purpose.DENOISER_SEGMENTS)
        drawn = SegmentSampler(given_frames, Extent(4)).sample(4000, generator)
        last, counts = np.unique(rows_of(drawn.frames)[:, -1], return_counts=True)
        assert last.tolist() == [1, 3, 4, 5, 6, 7, 9, 10]
        # Four standard deviations of a binomial share of 1/8.
        assert np.abs(counts / 4000 - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / 4000)


def test_weights_are_those_of_episodes_and_short_ones_have_their_share() -> None:
    generator = torch_generator(0, Purpose.DENOISER_SEGMENTS)
    sampler = SegmentSampler(numbered([1, 9, 2, 2]), Extent(5), (0.25, 0.75))
    last = rows_of(sampler.sample(4000, generator).frames)[:, -1]
    rows, counts = np.unique(last, return_counts=True)
    # Half of a quarter for the only step of the first episode, and so on.
    expected = [1 / 8, *[1 / 72] * 9, *[3 / 16] * 4]
    assert len(rows) == 14
    # Four standard deviations of a binomial share of 3/16, the largest.
    assert np.abs(counts / 4000 - expected).max() < 4 * np.sqrt(3 / 16 * 13 / 16 / 4000)


def test_an_episode_of_one_env_step_is_enough() -> None:
    generator = torch_generator(0, Purpose.POLICY_STARTS)
    starts = draw_starts(SegmentSampler(numbered([1]), Extent(4)), 2, generator)
    assert rows_of(starts.frames).tolist() == [[0] * 4] * 2
    assert starts.actions.tolist() == [[0] * 3] * 2
    assert starts.padded.tolist() == [3, 3]
    with pytest.raises(StageFailedError, match="no episode has 4 env steps"):
        SegmentSampler(numbered([1], pads_starts=False), Extent(4)).sample(2, generator)


def test_starts_say_how_many_of_their_frames_are_copies() -> None:
    generator = torch_generator(0, Purpose.POLICY_STARTS)
    frames = numbered([6, 3])
    starts = draw_starts(SegmentSampler(frames, Extent(4)), 64, generator)
    shown = rows_of(starts.frames)
    assert set(starts.padded.tolist()) == {0, 1, 2, 3}
    for rows, actions, padded in zip(shown, starts.actions, starts.padded, strict=True):
        assert (np.diff(rows) == [0] * int(padded) + [1] * (3 - int(padded))).all()
        assert (actions[:padded] == 0).all() and (actions[padded:] > 0).all()
        assert int(rows[-1]) not in (frames.bounds[1:] - 1)  # never a final frame


def drawn_before_padding(
    frames: FrameSet, extent: Extent, batch_size: int, generator: torch.Generator
) -> list[list[int]]:
    """The rows of segments without padded starts, item by item: the draws, one row of frames."""
    num_steps, padded = extent[:2]
    lengths = np.diff(frames.bounds) - 1
    places = [
        (int(begin), int(begin) + step, int(begin + length))
        for begin, length in zip(frames.bounds[:-1], lengths, strict=True)
        for step in range(length if padded else max(0, length + 1 - num_steps))
    ]
    picks = torch.randint(len(places), (batch_size,), generator=generator).tolist()
    shifts = [0] * batch_size
    if padded:
        shifts = torch.randint(num_steps, (batch_size,), generator=generator).tolist()
    found = []
    for pick, shift in zip(picks, shifts, strict=True):
        begin, first, final = places[pick]
        last = min(first - shift + num_steps, final)
        first = max(begin, first - shift)
        found.append([min(first + index, last) for index in range(num_steps + 1)])
    return found


@pytest.mark.parametrize("extent", [Extent(1), Extent(4), Extent(6, padded=True)])
def test_without_it_no_draw_and_no_bit_is_another(extent: Extent) -> None:
    """Segments that are padded at their end begin with the episode in either case."""
    for pads_starts in (False, True) if extent.padded else (False,):
        frames = numbered([3, 9, 1, 6], pads_starts)
        streams = [torch_generator(0, Purpose.DENOISER_SEGMENTS) for _ in range(2)]
        drawn = SegmentSampler(frames, extent).sample(100, streams[0])
        rows = np.array(drawn_before_padding(frames, extent, 100, streams[1]))
        assert torch.equal(streams[0].get_state(), streams[1].get_state())
        steps = rows[:, :-1]
        assert rows_of(drawn.frames).tolist() == rows.tolist()
        assert drawn.actions.tolist() == frames.actions[steps].tolist()
        assert drawn.rewards.tolist() == frames.rewards[steps].tolist()
        assert drawn.ends.tolist() == frames.ends[steps].tolist()
        assert drawn.valid.tolist() == (np.diff(rows, axis=1) > 0).tolist()


def test_a_set_on_disk_says_it_and_one_without_it_is_as_it_was(tmp_path: Path) -> None:
    for pads_starts in (False, True):
        folder = tmp_path / str(pads_starts)
        folder.mkdir()
        numbered([2, 3], pads_starts).save(folder)
        assert FrameSet.load(folder).pads_starts is pads_starts
        found = json.loads((folder / "episodes.json").read_text())
        assert found == {"bounds": [0, 3, 7]} | ({"pads_starts": True} if pads_starts else {})


def small_denoiser(**changes: Any) -> Denoiser:
    small = {"channels": (8, 8), "cond_channels": 16, "history": 2, "autoregressive_passes": 3}
    section = diamond_of(make_preset("smoke", "Boxing")).denoiser.model_dump() | small | changes
    config = DenoiserConfig.model_validate(section)
    denoiser = DENOISER.fresh(config, {"num_actions": NUM_ACTIONS}, 0)
    for index, parameter in enumerate(denoiser.parameters()):
        parameter.data += 0.1 * numbers(index, *parameter.shape)
    return denoiser


def random_segments(padded: list[int], num_steps: int = 4) -> Segments:
    """Segments of noise; `padded` steps of each lie before its episode."""
    b = len(padded)
    frames = numbers(0, b, num_steps + 1, 3, 16, 16).clamp(-1, 1)
    valid = torch.arange(num_steps) >= torch.tensor(padded)[:, None]
    actions = torch.arange(b * num_steps).reshape(b, -1) % NUM_ACTIONS
    zeros = torch.zeros(b, num_steps)
    return Segments(frames, actions, zeros, zeros.long(), valid)


def loss_and_gradients(denoiser: Denoiser, segments: Segments) -> list[Tensor]:
    loss = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    return [loss, *torch.autograd.grad(loss, list(denoiser.parameters()))]


def test_nothing_is_learnt_from_a_padded_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network is shown as noisy targets is replaced where they are padding."""
    denoiser = small_denoiser()
    history, segments = denoiser.config.history, random_segments([0, 3, 2])
    expected = loss_and_gradients(denoiser, segments)
    add_noise = Denoiser._add_training_noise
    index = 0

    def other_noise(self: Denoiser, clean: Tensor, drawn: list[Tensor]) -> Any:
        nonlocal index
        noisy, cs = add_noise(self, clean, drawn)
        learnt = segments.valid[:, history - 1 + index]
        index += 1
        return torch.where(per_item(learnt), noisy, 3 - noisy), cs

    monkeypatch.setattr(Denoiser, "_add_training_noise", other_noise)
    found = loss_and_gradients(denoiser, segments)
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


@torch.no_grad()
def plain_loss(denoiser: Denoiser, segments: Segments) -> Tensor:
    """The loss item by item and pass by pass, of what is valid."""
    config, errors = denoiser.config, []
    generator = torch_generator(0, Purpose.DENOISER_NOISE)
    drawn_noise = [
        denoiser._draw_training_noise(segments.frames[:, 0], generator)
        for _ in range(config.autoregressive_passes)
    ]
    noisy = [
        denoiser._add_training_noise(segments.frames[:, config.history + index], drawn)
        for index, drawn in enumerate(drawn_noise)
    ]
    frames = segments.frames.clone()
    for index, (image, cs) in enumerate(noisy):
        target = index + config.history
        past = denoiser._add_past_noise(frames[:, index:target], generator)
        output = denoiser._network(image, cs, past, segments.actions[:, index:target])
        drawn = per_item(cs.c_skip) * image + per_item(cs.c_out) * output.detach()
        drawn = quantize(drawn, config.quantizer)
        wanted = (segments.frames[:, target] - per_item(cs.c_skip) * image) / per_item(cs.c_out)
        for item in segments.valid[:, target - 1].nonzero().flatten().tolist():
            errors.append(F.mse_loss(output[item], wanted[item]))
            frames[item, target] = drawn[item]
    return torch.stack(errors).mean()


@pytest.mark.parametrize("padded", [[0, 0, 0], [3, 2, 0], [3, 3, 3]])
def test_the_loss_is_the_mean_over_the_targets_that_are_real(padded: list[int]) -> None:
    denoiser, segments = small_denoiser(), random_segments(padded)
    found = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE)).detach()
    assert float(found) == pytest.approx(float(plain_loss(denoiser, segments)), rel=1e-5)


def test_without_padding_the_loss_is_the_plain_mean_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    denoiser, segments = small_denoiser(), random_segments([0] * 49)
    losses: list[Tensor] = []
    plain = F.mse_loss

    def note(output: Tensor, target: Tensor) -> Tensor:
        losses.append(plain(output, target))
        return losses[-1]

    monkeypatch.setattr(F, "mse_loss", note)
    found = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    assert torch.equal(found, torch.stack(losses).mean())


def test_a_batch_of_padding_teaches_nothing() -> None:
    """Segments with a step more than the loss reads may have no target in a one-step episode."""
    denoiser = small_denoiser()
    segments = random_segments([4, 4])
    assert not any(tensor.any() for tensor in loss_and_gradients(denoiser, segments))


def padded_starts(padded: list[int], num_frames: int = 6) -> RealStarts:
    starts = numbers(1, len(padded), num_frames, 3, 16, 16).clamp(-1, 1)
    actions = torch.arange(len(padded) * (num_frames - 1)).reshape(len(padded), -1) % NUM_ACTIONS
    for row, count in enumerate(padded):
        starts[row, :count] = starts[row, count]
        actions[row, :count] = 0
    return RealStarts(starts, actions, torch.tensor(padded))


def reward_end() -> RewardEndNet:
    net = RewardEndNet(RewardEndNetShape(NUM_ACTIONS, 16, 16, (8, 8), (1, 1), 8, 12))
    for index, parameter in enumerate(net.parameters()):
        parameter.data = 0.3 * numbers(index, *parameter.shape)
    return net.requires_grad_(False)


def policy() -> ActorCriticNet:
    net = ActorCriticNet(ActorCriticShape(NUM_ACTIONS, 16, 16, (8, 8), 12))
    for index, parameter in enumerate(net.parameters()):
        parameter.data = 0.3 * numbers(index, *parameter.shape)
    return net


def test_a_padded_start_is_a_start_at_the_first_real_frame() -> None:
    world = DiamondWorld(
        small_denoiser(),
        reward_end(),
        diamond_of(make_preset("smoke", "Boxing")).sampler,
    )
    counts = [0, 2, 5]
    starts = padded_starts(counts)
    state = world.start(*starts)
    assert torch.equal(state.frames, starts.frames[:, -2:])
    for row, count in enumerate(counts):
        memory = reward_end().remember(
            starts.frames[row : row + 1, count:],
            starts.actions[row : row + 1, count:],
            torch.zeros(1, dtype=torch.int64),
        )
        for mine, fresh in zip((state.hidden, state.cell), memory, strict=True):
            assert torch.allclose(mine[row], fresh[0], rtol=0, atol=ROUNDING)
    assert not state.hidden[2].any() and state.hidden[:2].abs().max() > 0.01


def test_without_padding_a_start_is_one_call_to_the_bit() -> None:
    net, (frames, actions, padded) = reward_end(), padded_starts([0, 0])
    _, _, expected = net(frames[:, :-1], actions, frames[:, 1:], None)
    for mine, once in zip(net.remember(frames, actions, padded), expected, strict=True):
        assert torch.equal(mine, once)


@pytest.mark.parametrize("burn_in_frames", [6, 3, 2])
def test_a_policy_remembers_no_padding_and_learns_nothing_from_it(burn_in_frames: int) -> None:
    net, counts = policy(), [0, 2, 4]
    starts = padded_starts(counts)
    starts.frames.requires_grad_()
    warm_up = imagination_policy(net, burn_in_frames, torch_generator(0, Purpose.POLICY_ACTIONS))
    memory = warm_up.burn_in(starts.frames, starts.padded)
    for row, count in enumerate(counts):
        first = max(count, 6 - burn_in_frames)
        fresh = net.initial(1, starts.frames)
        for index in range(first, 5):
            _, _, fresh = net(starts.frames[row : row + 1, index], fresh)
        for mine, other in zip(memory, fresh, strict=True):
            assert torch.allclose(mine[row], other[0], rtol=0, atol=ROUNDING)
    (gradient,) = torch.autograd.grad(memory[0].sum() + memory[1].sum(), starts.frames)
    for row, count in enumerate(counts):
        assert not gradient[row, :count].any()
    assert gradient[0].any()


def judged(padded: list[int], num_frames: int = 6) -> View:
    rng = np.random.default_rng(0)
    context = rng.integers(256, size=(len(padded), num_frames, 16, 16, 3), dtype=np.uint8)
    targets = rng.integers(256, size=(len(padded), 3, 16, 16, 3), dtype=np.uint8)
    actions = rng.integers(NUM_ACTIONS, size=(len(padded), num_frames + 2))
    for row, count in enumerate(padded):
        context[row, :count] = context[row, count]
        actions[row, :count] = 0
    valid = np.ones((len(padded), 3), dtype=np.bool_)
    rewards = np.zeros((len(padded), 3))
    return View(context, actions, targets, valid, rewards, ~valid, np.array(padded))


def test_judges_remember_no_padding() -> None:
    """What they say after a padded context is what they say after its real frames alone."""
    view = judged([2, 2])
    alone = replace(
        view, context=view.context[:, 2:], actions=view.actions[:, 2:], padded=np.zeros(2, np.int64)
    )
    seen, seen_alone = (judges.watch(policy(), one, view.targets, CPU) for one in (view, alone))
    assert seen.logits == pytest.approx(seen_alone.logits, abs=ROUNDING)
    assert seen.values == pytest.approx(seen_alone.values, abs=ROUNDING)
    said, said_alone = (
        judges.predict_rewards_and_ends(reward_end(), one, view.targets, CPU)
        for one in (view, alone)
    )
    assert said.rewards == pytest.approx(said_alone.rewards, abs=ROUNDING)
    assert said.ends == pytest.approx(said_alone.ends, abs=ROUNDING)
    forgotten = replace(view, padded=np.zeros(2, np.int64))
    assert not np.allclose(judges.watch(policy(), forgotten, view.targets, CPU).values, seen.values)


MINATAR = "MinAtar/Breakout-v1"


def test_a_whole_agent_learns_from_episodes_of_nine_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: list[Tensor] = []
    for network in (RewardEndNet, ActorCriticNet):
        remember = network.remember

        def note(self: Any, *given: Tensor, remember: Any = remember) -> Any:
            remembered.append(given[-1])
            return remember(self, *given)

        monkeypatch.setattr(network, "remember", note)
    long = {"denoiser.history": "8", "policy.burn_in_frames": "16"}
    config = override(make_preset("smoke", MINATAR), long)
    play = config.frames.play
    frames = collect_frames(
        MINATAR, config.environment, config.view, FramesConfig(play=play, num_frames=200), 0
    )
    assert frames.pads_starts
    assert np.diff(frames.bounds).min() < diamond_of(config).denoiser.history
    shape = data_shape(MINATAR, config.environment, config.view)

    def trained(part: AnyPart, given: Any = None) -> Any:
        section = part.section(config.sections())
        net = part.fresh(section, shape, 0)
        source = SegmentSampler(frames, part.data(section, given))
        loss, _ = part.loss_of(net, section, source, 0, given)(0)
        gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
        return net

    world = DiamondWorld(trained(DENOISER), trained(REWARD_END), diamond_of(config).sampler)
    trained(POLICY, world)
    told, kept = remembered[:2]
    assert told.max() > 8
    assert torch.equal(kept, told)


@pytest.mark.slow
def test_a_study_of_short_episodes_reaches_returns(tmp_path: Path) -> None:
    words = ("--game", MINATAR, "--preset", "smoke", "--set", "history=8 policy.burn_in_frames=16")
    document = ablate(tmp_path, "steps=1,3", *words)
    for arm in document["arms"][:2]:
        assert arm["runs"][0]["stages"]["returns"]["made"]


def test_games_of_one_env_step_may_be_collected_online() -> None:
    """Without padding they are refused."""
    online, short = make_preset("smoke", MINATAR, "online"), {"online.max_episode_steps": "1"}
    assert override(online, short).online is not None
    with pytest.raises(RequestError, match="max_episode_steps=1: training segments"):
        override(online, short | {"environment.padding": "none"})
