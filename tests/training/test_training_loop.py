"""Training loops: they fit, they stop on bad numbers, and a stop and resume changes no bit."""

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

from diamond.config.networks import OptimizerConfig, PartConfig
from diamond.config.presets import make_preset
from diamond.data.dataset import FrameSet
from diamond.data.replay import Replay
from diamond.data.segments import SegmentSampler
from diamond.errors import ExitCode, StageFailedError
from diamond.families.diamond.config import DenoiserConfig, RewardEndConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser, Past
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet
from diamond.part import CPU, Draw, Extent, Loss, Losses, Part
from diamond.records import Segments
from diamond.rng import seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.training.training_loop import TrainingState, begin, begin_part, train

SMOKE = make_preset("smoke", "Boxing")
SHAPE = {"num_actions": 3, "height": 16, "width": 16}
OPTIMIZER = OptimizerConfig(
    lr=3e-3, weight_decay=1e-2, eps=1e-8, warmup_updates=5, schedule="cosine", max_grad_norm=1.0
)


def toy_frames(num_episodes: int = 4, length: int = 20) -> FrameSet:
    """A bright 4x4 square that the three actions move left, hold or move right.

    Reaching the right border earns 1 and ends the episode.
    """
    rng = np.random.default_rng(0)
    frames = np.zeros((num_episodes * length, 16, 16, 3), dtype=np.uint8)
    actions = rng.integers(3, size=num_episodes * length)
    rewards = np.zeros(num_episodes * length, dtype=np.float32)
    ends = np.zeros(num_episodes * length, dtype=np.uint8)
    for episode in range(num_episodes):
        column = 6
        for row in range(episode * length, (episode + 1) * length):
            frames[row, 6:10, column : column + 4] = (255, 128, 64)
            column = int(np.clip(column + 2 * (actions[row] - 1), 0, 12))
            rewards[row] = column == 12
            ends[row] = row == (episode + 1) * length - 2
    bounds = np.arange(0, num_episodes * length + 1, length, dtype=np.int64)
    return FrameSet(frames, actions, rewards, ends, bounds)


def denoiser_config(**changes: Any) -> DenoiserConfig:
    small = {
        "channels": (16, 16),
        "cond_channels": 32,
        "batch_size": 4,
        "noise_loc": -0.4,
        "noise_scale": 1.2,
        "offset_noise": 0.1,
        "autoregressive_passes": 1,
    }
    return DenoiserConfig.model_validate(diamond_of(SMOKE).denoiser.model_dump() | small | changes)


def fresh_denoiser(config: DenoiserConfig, seed: int = 0) -> tuple[TrainingState, Loss]:
    denoiser = DENOISER.fresh(config, SHAPE, seed)
    return begin(denoiser, OPTIMIZER, config.ema), denoiser_loss(denoiser, seed)


def denoiser_loss(denoiser: Denoiser, seed: int = 0) -> Loss:
    source = SegmentSampler(toy_frames(), DENOISER.data(denoiser.config, None))
    return DENOISER.loss_of(denoiser, denoiser.config, source, seed)


def run(state: TrainingState, loss_of: Loss, until: int, total: int, ema: float) -> list[Any]:
    """Train up to `until` of `total` updates, as a stage that is stopped there."""
    records = []
    for record in train(state, loss_of, OPTIMIZER, total, ema):
        records.append(record)
        if record.update == until:
            break
    return records


def through_bytes(state: TrainingState) -> dict[str, Tensor]:
    """What a checkpoint keeps: contiguous copies, as training writes them."""
    return load(save({name: t.detach().contiguous() for name, t in state.tensors().items()}))


def same_bits(first: TrainingState, second: TrainingState) -> bool:
    mine, theirs = first.tensors(), second.tensors()
    assert mine.keys() == theirs.keys()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_the_denoiser_overfits_one_batch() -> None:
    """One batch with one draw of noise: 80 updates bring the loss to a fifth."""
    config = denoiser_config()
    state, _ = fresh_denoiser(config)
    denoiser = state.module
    assert isinstance(denoiser, Denoiser)
    segments = SegmentSampler(toy_frames(), Extent(4)).sample(
        4, torch_generator(0, Purpose.DENOISER_SEGMENTS)
    )

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        return denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE)), {}

    records = run(state, loss_of, 80, 80, config.ema)
    assert records[-1].values["loss"] < 0.2 * records[0].values["loss"]


def test_the_denoiser_learns_what_the_action_does() -> None:
    """Two futures of one past, told apart by the last action alone, under noise that hides them.

    A denoiser that does not look at the action is best with their mean: an error of a quarter of
    their distance. The trained one stays below half of that, and with the actions exchanged it
    draws the other future, farther off than the mean.
    """
    frames = -torch.ones(2, 5, 3, 16, 16)
    frames[:, :4, :, 6:10, 6:10] = 1
    frames[0, 4, :, 6:10, :4] = 1
    frames[1, 4, :, 6:10, 12:] = 1
    actions = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 2]])
    nothing = torch.zeros(2, 4)
    segments = Segments(frames, actions, nothing, nothing.long(), nothing == 0)
    config = denoiser_config(ema=0.0, noise_loc=math.log(5), noise_scale=0.1)
    state, _ = fresh_denoiser(config)
    denoiser = state.module
    assert isinstance(denoiser, Denoiser)

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        return denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE, update)), {}

    faster = OPTIMIZER.model_copy(update={"lr": 1e-2})
    for _ in train(state, loss_of, faster, 60):
        pass
    past, target = frames[:, :4], frames[:, 4]
    noise = 5.0 * torch.randn(target.shape, generator=torch_generator(1, Purpose.DENOISER_NOISE))

    def error(taken: Tensor) -> float:
        with torch.no_grad():
            guess = denoiser.denoise(target + noise, 5.0, past, taken)
        return float((guess - target).square().mean())

    blind = float((target[0] - target[1]).square().mean()) / 4
    assert error(actions) < 0.5 * blind
    assert error(actions.flip(0)) > 2 * blind


@dataclass(frozen=True)
class Given:
    """Stands in for a sampler."""

    segments: Segments

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        return self.segments.to(device)


def fresh_reward_end() -> RewardEndNet:
    with seeded_init(0, Purpose.REWARD_END_INIT):
        return REWARD_END.build(diamond_of(SMOKE).reward_end, SHAPE)


def reward_end_terms(
    net: RewardEndNet, segments: Segments
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The loss and its parts, and the gradient of every parameter."""
    loss, parts = REWARD_END.loss_of(net, diamond_of(SMOKE).reward_end, Given(segments), seed=0)(0)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    return {"loss": loss.detach(), **parts}, list(gradients)


def padded_segments() -> Segments:
    """Some cut at either edge of their episode, of 5 env steps: shorter than the segments."""
    sampler = SegmentSampler(toy_frames(4, 6), Extent(7, padded=True))
    segments = sampler.sample(6, torch_generator(0, Purpose.REWARD_END_SEGMENTS))
    assert len(set(segments.valid.sum(dim=1).tolist())) > 2
    assert bool(segments.ends[segments.valid].any())
    return segments


def test_the_loss_of_padded_segments_is_that_of_each_alone_without_padding() -> None:
    """The mean over all env steps, from the definition of cross-entropy; a sum of some 25 terms.

    Means of another order in float32 differ by some 1e-7, and so do convolutions of other batches.
    """
    net, segments = fresh_reward_end(), padded_segments()
    terms, gradients = reward_end_terms(net, segments)
    sums = {"reward_loss": torch.zeros(()), "end_loss": torch.zeros(())}
    num_steps = 0
    for item, valid in enumerate(segments.valid):
        n = int(valid.sum())
        frames = segments.frames[item : item + 1, : n + 1]
        rewards, ends, _ = net(
            frames[:, :-1], segments.actions[item : item + 1, :n], frames[:, 1:], None
        )
        for step in range(n):
            earned = {-1.0: 0, 0.0: 1, 1.0: 2}[float(segments.rewards[item, step])]
            ended = int(segments.ends[item, step])
            sums["reward_loss"] = sums["reward_loss"] - rewards[0, step].softmax(0)[earned].log()
            sums["end_loss"] = sums["end_loss"] - ends[0, step].softmax(0)[ended].log()
            num_steps += 1
    means = {name: total / num_steps for name, total in sums.items()}
    expected = torch.autograd.grad(sum(means.values(), torch.zeros(())), list(net.parameters()))
    for name, mean in means.items():
        assert float(terms[name]) == pytest.approx(float(mean.detach()), rel=1e-5)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


def test_padding_carries_no_loss_and_no_gradient() -> None:
    """Whatever stands there, not a bit of the loss, its gradients or their source changes."""
    net, segments = fresh_reward_end(), padded_segments()
    padding, generator = ~segments.valid, torch.Generator().manual_seed(0)
    after = F.pad(padding, (1, 0))
    other = replace(
        segments,
        frames=segments.frames.clone(),
        actions=segments.actions.masked_fill(padding, 2),
        rewards=segments.rewards.masked_fill(padding, -5.0),
        ends=segments.ends.masked_fill(padding, 1),
    )
    other.frames[after] = torch.rand(other.frames[after].shape, generator=generator)
    terms, gradients = reward_end_terms(net, segments)
    others, other_gradients = reward_end_terms(net, other)
    assert terms == others
    assert all(torch.equal(a, b) for a, b in zip(gradients, other_gradients, strict=True))
    other.frames.requires_grad_()
    loss, _ = REWARD_END.loss_of(net, diamond_of(SMOKE).reward_end, Given(other), seed=0)(0)
    (source,) = torch.autograd.grad(loss, [other.frames])
    assert not source[after].any()
    assert bool(source[~after].flatten(1).any(dim=1).all())


def test_without_padding_the_loss_is_the_plain_mean_to_the_bit() -> None:
    net = fresh_reward_end()
    sampler = SegmentSampler(toy_frames(), Extent(8))
    segments = sampler.sample(4, torch_generator(0, Purpose.REWARD_END_SEGMENTS))
    assert bool(segments.valid.all())
    terms, _ = reward_end_terms(net, segments)
    frames = segments.frames
    rewards, ends, _ = net(frames[:, :-1], segments.actions, frames[:, 1:], None)
    classes = segments.rewards.sign().long() + 1
    assert torch.equal(
        terms["reward_loss"], F.cross_entropy(rewards.flatten(0, 1), classes.flatten())
    )
    assert torch.equal(
        terms["end_loss"], F.cross_entropy(ends.flatten(0, 1), segments.ends.flatten())
    )


def test_the_reward_end_model_learns_rewards_and_ends() -> None:
    """Reward and end together start near ln 3 + ln 2 = 1.79, and fall to less than half."""
    config = RewardEndConfig.model_validate(
        diamond_of(SMOKE).reward_end.model_dump() | {"batch_size": 8, "sequence_steps": 8}
    )
    with seeded_init(0, Purpose.REWARD_END_INIT):
        net = REWARD_END.build(config, SHAPE)
    source = SegmentSampler(toy_frames(), REWARD_END.data(config, None))
    loss_of = REWARD_END.loss_of(net, config, source, seed=0)
    records = run(begin(net, OPTIMIZER), loss_of, 40, 40, 0.0)
    losses = [record.values["loss"] for record in records]
    assert losses[0] == pytest.approx(math.log(3) + math.log(2), abs=0.4)
    assert np.mean(losses[-10:]) < losses[0] / 2
    last = records[-1].values
    assert last["loss"] == pytest.approx(last["reward_loss"] + last["end_loss"], rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.995},
        {"ema": 0.0, "autoregressive_passes": 2, "quantizer": "floor", "patch": 1},
        {"ema": 0.9, "precision": "bfloat16", "middle_attention": True},
    ],
)
def test_stop_and_resume_equals_no_stop_bit_for_bit(changes: dict[str, Any]) -> None:
    config = denoiser_config(**changes)
    whole, loss_of = fresh_denoiser(config)
    curve = run(whole, loss_of, 12, 12, config.ema)

    stopped, loss_of = fresh_denoiser(config)
    run(stopped, loss_of, 7, 12, config.ema)
    saved = through_bytes(stopped)
    # Another initialisation stands where a new process would begin.
    resumed, _ = fresh_denoiser(config, seed=9)
    resumed.restore(saved, stopped.update)
    assert same_bits(resumed, stopped)
    denoiser = resumed.module
    assert isinstance(denoiser, Denoiser)
    rest = run(resumed, denoiser_loss(denoiser), 12, 12, config.ema)

    assert same_bits(resumed, whole)
    assert [record.values for record in rest] == [record.values for record in curve[7:]]
    for name, parameter in whole.module.named_parameters():
        other = dict(resumed.module.named_parameters())[name]
        assert parameter.stride() == other.stride()


def replayed(frames: FrameSet, folder: Path) -> Replay:
    """The same episodes as an online agent would have collected them."""
    folder.mkdir()
    replay = Replay(folder, len(frames.frames), (16, 16))
    for low, high in pairwise(frames.bounds):
        replay.begin(frames.frames[low])
        for row in range(low, high - 1):
            done = int(frames.actions[row]), float(frames.rewards[row]), bool(frames.ends[row])
            replay.add(*done, frames.frames[row + 1])
        replay.close()
    return replay


@pytest.mark.parametrize("final_frames", ["targets", "left_out"])
@pytest.mark.parametrize("online", [False, True], ids=["static", "online"])
def test_final_frames_are_learnt_or_left_out(
    final_frames: str, online: bool, tmp_path: Path
) -> None:
    """Left out, they are in no loss: other ones change no bit of it. They are 1 in 20 targets else.

    Four episodes of 15 frames hold 10 segments of 6 frames each, two of them targets, and the
    final frame is the second target of one of the 10; of 7 frames there are 9.
    """
    config = denoiser_config(autoregressive_passes=2, history=4, final_frames=final_frames)
    first = toy_frames(length=15)
    finals = first.bounds[1:] - 1
    changed = first.frames.copy()
    changed[finals] = 255 - changed[finals]
    with seeded_init(0, Purpose.DENOISER_INIT):
        denoiser = DENOISER.build(config, SHAPE)
    losses, shares = [], []
    for name, frames in (("first", first), ("other", replace(first, frames=changed))):
        extent = DENOISER.data(config, None)
        sampler = (
            SegmentSampler(replayed(frames, tmp_path / name), extent, (0.1, 0.9))
            if online
            else SegmentSampler(frames, extent)
        )
        loss_of = DENOISER.loss_of(denoiser, config, sampler, 0)
        losses.append([loss_of(update)[0].item() for update in range(8)])
        drawn = sampler.sample(4_000, torch_generator(1, Purpose.DENOISER_SEGMENTS))
        # What follows an end is the final frame: an end at the step to a target shows it.
        shares.append(drawn.ends[:, 3:5].float().mean().item())
    if final_frames == "left_out":
        assert losses[0] == losses[1]
        assert shares == [0, 0]
    else:
        assert losses[0] != losses[1]
        # Four standard deviations of a tenth of 4,000 segments, halved.
        assert shares == pytest.approx([1 / 20] * 2, abs=4 * math.sqrt(0.09 / 4_000) / 2)


class Level(nn.Module):
    """A single number."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.rand(()))


def level_loss(net: Level, config: PartConfig, draw: Draw) -> Losses:
    segments = draw.segments(config.batch_size, Purpose.DENOISER_SEGMENTS)
    aim = segments.frames.mean() + draw.given
    return (net.level - aim).square(), {"num_steps": torch.tensor(segments.valid.shape[1])}


def test_any_part_is_trained_on_what_it_asks_for() -> None:
    """Its first weights follow from the seed, what is given reaches its loss, the average is used.

    Frames are dark but for the square: their mean is about -.95, so that with 2 the aim is 1.05.
    """
    part = Part(
        name="level",
        config=PartConfig,
        build=lambda config, shape: Level(),
        init=Purpose.DENOISER_INIT,
        data=lambda config, given: Extent(3, padded=True),
        loss=level_loss,
        ema=lambda config: 0.5,
    )
    faster = OPTIMIZER.model_copy(update={"lr": 0.1})
    config = part.section({"level": {"optimizer": faster, "updates": 60, "batch_size": 4}})
    net = part.fresh(config, SHAPE, seed=1)
    assert torch.equal(net.level, part.fresh(config, SHAPE, seed=1).level)
    assert not torch.equal(net.level, part.fresh(config, SHAPE, seed=2).level)
    source = SegmentSampler(toy_frames(), part.data(config, 2.0))
    training = begin_part(part, net, config, source, 0, given=2.0)
    records = list(training.updates(config.updates, until=59))
    assert len(records) == 59
    assert {record.values["num_steps"] for record in records} == {3}
    assert records[-1].values["loss"] < 0.01 < records[0].values["loss"]
    used = training.state.result()
    assert isinstance(used, Level) and used is not net
    assert float(used.level.detach()) == pytest.approx(1.05, abs=0.1)


@pytest.mark.gpu
def test_a_checkpoint_on_the_processor_continues_on_the_device() -> None:
    """All of the optimiser's state goes where the weights are, its step counters too."""
    config = denoiser_config()
    state, _ = fresh_denoiser(config)
    state.module.to("cuda")
    denoiser = state.module
    assert isinstance(denoiser, Denoiser)
    state = begin(denoiser, OPTIMIZER, config.ema)
    loss_of = denoiser_loss(denoiser)
    run(state, loss_of, 2, 4, config.ema)
    saved = {name: tensor.cpu() for name, tensor in through_bytes(state).items()}
    state.restore(saved, 2)
    assert {t.device.type for t in state.tensors().values()} == {"cuda"}
    run(state, loss_of, 4, 4, config.ema)
    assert state.update == 4


def test_convolutions_are_channels_last() -> None:
    """The layout that the stage trains in; otherwise the test above would not cover it."""
    state, loss_of = fresh_denoiser(denoiser_config())
    run(state, loss_of, 1, 1, 0.0)
    weight = next(p for p in state.module.parameters() if p.ndim == 4 and min(p.shape) > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    moment = state.optimizer.state[weight]["exp_avg"]
    assert moment.stride() == weight.stride()


def test_before_the_first_update_there_is_nothing_but_weights_to_restore() -> None:
    first, _ = fresh_denoiser(denoiser_config())
    second, _ = fresh_denoiser(denoiser_config(), seed=3)
    second.restore(through_bytes(first), 0)
    assert same_bits(first, second)
    assert second.update == 0


def test_a_different_seed_differs_and_the_same_does_not() -> None:
    config = denoiser_config()
    states = []
    for seed in (0, 0, 1):
        state, loss_of = fresh_denoiser(config, seed)
        run(state, loss_of, 3, 3, config.ema)
        states.append(state)
    assert same_bits(states[0], states[1])
    assert not same_bits(states[0], states[2])


def test_a_batch_does_not_depend_on_the_batches_before() -> None:
    config = denoiser_config()
    state, loss_of = fresh_denoiser(config)
    first = float(loss_of(5)[0].detach())
    loss_of(0)
    assert float(loss_of(5)[0].detach()) == first
    assert float(loss_of(6)[0].detach()) != first
    assert state.update == 0


def test_an_update_does_not_load_the_compiler_of_torch() -> None:
    program = (
        "import sys, torch\n"
        "from diamond.config.presets import make_preset\n"
        "from diamond.training.optimizer import apply_update, make_optimizer\n"
        "module, config = torch.nn.Linear(2, 1), make_preset('smoke', 'Boxing').policy.optimizer\n"
        "loss = module(torch.ones(1, 2)).sum()\n"
        "apply_update(loss, {}, module, make_optimizer(module, config), config, (0, 1))\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_number_that_is_not_finite_stops_and_moves_nothing(bad: float, where: str) -> None:
    module = nn.Linear(3, 2)
    state = begin(module, OPTIMIZER, ema=0.9)

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss = module(torch.ones(1, 3)).square().sum()
        if update == 2:
            if where == "loss":
                loss = loss * bad
            else:
                loss.register_hook(lambda gradient: gradient * bad)
        return loss, {}

    run(state, loss_of, 2, 10, 0.9)
    before = through_bytes(state)
    with pytest.raises(StageFailedError, match=f"{where}.* is .*(nan|inf) at update 2") as caught:
        run(state, loss_of, 10, 10, 0.9)
    assert caught.value.exit_code == ExitCode.RUN_FAILED
    assert state.update == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.tensors().items())


def test_averaged_weights_follow_their_formula() -> None:
    """a <- d a + (1 - d) w with d = min(ema, (1 + u) / (10 + u)) at update u."""
    module = nn.Linear(3, 2)
    ema = 0.3
    state = begin(module, OPTIMIZER, ema)
    expected = module.weight.detach().double().clone()

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        return module(torch.ones(1, 3)).square().sum(), {}

    for record in train(state, loss_of, OPTIMIZER, 6, ema):
        u = record.update - 1
        decay = min(ema, (1 + u) / (10 + u))
        expected = decay * expected + (1 - decay) * module.weight.detach().double()
        averaged = state.result()
        assert isinstance(averaged, nn.Linear)
        # Six float32 interpolations.
        assert torch.allclose(averaged.weight.double(), expected, rtol=0, atol=1e-6)
    assert averaged is not module
    assert not averaged.weight.requires_grad


def test_without_averaging_the_result_is_the_module_itself() -> None:
    module = nn.Linear(3, 2)
    assert begin(module, OPTIMIZER).result() is module


def test_autoregressive_passes_are_conditioned_on_the_models_own_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second pass sees what the first one drew, quantised and without gradient."""
    config = denoiser_config(autoregressive_passes=2, quantizer="round", history=2)
    with seeded_init(0, Purpose.DENOISER_INIT):
        denoiser = DENOISER.build(config, SHAPE)
    seen: list[Tensor] = []
    network = denoiser._network

    def spy(noisy: Tensor, cs: Any, past: Past, actions: Tensor) -> Tensor:
        seen.append(past.frames)
        return network(noisy, cs, past, actions)

    monkeypatch.setattr(denoiser, "_network", spy)
    segments = SegmentSampler(toy_frames(), Extent(3)).sample(
        2, torch_generator(0, Purpose.DENOISER_SEGMENTS)
    )
    denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    assert torch.equal(seen[0], segments.frames[:, :2])
    assert torch.equal(seen[1][:, 0], segments.frames[:, 1])
    own = seen[1][:, 1]
    assert not own.requires_grad
    assert not torch.allclose(own, segments.frames[:, 2], atol=0.05)
    levels = (own + 1) / 2 * 255
    assert float((levels - levels.round()).abs().max()) < 1e-3
