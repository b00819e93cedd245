"""Training where events are rare: balance, correction to true frequencies, the diffused change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from diamond.config.presets import make_preset
from diamond.data.dataset import FrameSet
from diamond.data.segments import SegmentSampler
from diamond.engine.output_names import NO_EVENTS
from diamond.engine.store import Store
from diamond.families.diamond.config import DenoiserConfig, RewardEndConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER, Denoiser
from diamond.families.diamond.reward_end_net import REWARD_END, RewardEndNet, shifted
from diamond.families.diamond.world import DiamondWorld
from diamond.findings.reader_notes import event_notes
from diamond.part import Extent
from diamond.records import EVENLY, Segments
from diamond.rng import StreamNoise, torch_generator
from diamond.seeds import Purpose
from diamond.training.training_loop import begin, begin_part, train
from tests.commands import finish, smoke_plan

SMOKE = make_preset("smoke", "Boxing")
SHAPE = {"num_actions": 3, "height": 16, "width": 16}
LENGTHS = [30, 1, 41, 12, 28]


def rare_frames(lengths: list[int] = LENGTHS, every: int = 13, side: int = 1) -> FrameSet:
    """Episodes whose frames show their row; every 13th env step earns 1, the last one ends."""
    bounds = np.cumsum([0, *(length + 1 for length in lengths)]).astype(np.int64)
    rows = np.arange(int(bounds[-1]))
    frames = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), side, side, 3))
    rewards = (rows % every == 0).astype(np.float32)
    rewards[bounds[1:] - 1] = 0
    ends = np.isin(rows, bounds[1:] - 2).astype(np.uint8)
    return FrameSet(frames.copy(), rows % 3, rewards, ends, bounds)


def draw(frames: FrameSet, extent: Extent, num: int, weights: tuple[float, ...] = ()) -> Segments:
    generator = torch_generator(0, Purpose.DENOISER_SEGMENTS)
    return SegmentSampler(frames, extent, weights).sample(num, generator)


def is_event(segments: Segments) -> Tensor:
    """Where a segment has a reward or an end (b, t)."""
    return segments.valid & ((segments.rewards != 0) | (segments.ends > 0))


@pytest.mark.parametrize("place", [0, 3])
def test_the_first_of_a_batch_have_an_event_where_it_is_wanted(place: int) -> None:
    extent = Extent(4, balance=0.25, event_places=(place, place))
    segments = draw(rare_frames(), extent, 400)
    assert bool(is_event(segments)[:100, place].all())
    plain = is_event(segments)[100:, place].float().mean()
    assert float(plain) < 0.4
    assert bool(segments.valid.all())
    # A reward and an end are each equally likely to be what a segment was drawn for, but nothing
    # comes after an end.
    rewards = (segments.rewards[:100, place] != 0).float().mean()
    assert float(rewards) == pytest.approx(0.5 if place == 3 else 1.0, abs=0.2)


def test_places_of_an_event_are_equally_likely() -> None:
    """Of an event in the middle of a long episode: rewards, as an end has no room after it."""
    frames = rare_frames([99], every=50)
    segments = draw(frames, Extent(4, balance=1.0, event_places=(1, 3)), 3000)
    _, places = (segments.rewards != 0).nonzero(as_tuple=True)
    shares = np.bincount(places.numpy(), minlength=4)[1:] / len(places)
    # 1,500 draws of three places: a standard error of .012.
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.05)


def test_an_event_may_come_after_the_segment() -> None:
    frames = rare_frames([99], every=50)
    extent = Extent(3, balance=1.0, event_places=(4, 4))
    last = draw(frames, extent, 200).frames[:, -1, 0, 0, 0].add(1).mul(127.5).round()
    # A reward at row 50 and the end at row 98: row - 4 is the first of three env steps.
    assert set(last.tolist()) == {49.0, 97.0}


def test_without_an_event_all_are_drawn_as_without_balance() -> None:
    frames = rare_frames(every=10**6)
    frames.rewards[0] = 0
    frames.ends[:] = 0
    balanced = SegmentSampler(frames, Extent(3, balance=0.5))
    assert balanced.lacks_events
    with_it, without = (draw(frames, extent, 50) for extent in (Extent(3, balance=0.5), Extent(3)))
    assert all(
        torch.equal(mine, vars(without)[name])
        for name, mine in vars(with_it).items()
        if isinstance(mine, Tensor)
    )
    assert with_it.shift == EVENLY


@pytest.mark.parametrize("weights", [(), (0.2, 0.8)])
def test_the_shift_is_how_much_more_often_a_class_is_drawn(weights: tuple[float, ...]) -> None:
    frames = rare_frames()
    extent = Extent(1, padded=True, balance=0.5)
    segments, plain = (draw(frames, one, 40_000, weights) for one in (extent, Extent(1, True)))
    for name, shift in (("rewards", segments.shift.rewards[1:]), ("ends", segments.shift.ends)):
        ratio = [
            float(
                (vars(segments)[name] == c).float().mean() / (vars(plain)[name] == c).float().mean()
            )
            for c in (0, 1)
        ]
        # The rarest class is 4 % of 40,000 draws: a standard error of .025 of its ratio.
        assert np.log(ratio) == pytest.approx(list(shift), abs=0.1)


@pytest.mark.parametrize("weights", [(), (0.2, 0.8)])
def test_all_of_a_batch_may_be_around_events(weights: tuple[float, ...]) -> None:
    """Of one trajectory that goes on elsewhere, by chance: a share is one of single ones too."""
    extent = Extent(2, balance=1.0, event_places=(0, 1))
    assert bool(is_event(draw(rare_frames(), extent, 32, weights)).any(dim=1).all())
    sampler = SegmentSampler(rare_frames(), extent._replace(balance=0.75), weights)
    generator = torch_generator(0, Purpose.POLICY_STARTS)
    single = [float(is_event(sampler.sample(1, generator)).any()) for _ in range(400)]
    # A plain one has an event one time in four: .75 + .25 / 4, with a standard error of .02.
    assert np.mean(single) == pytest.approx(0.81, abs=0.08)


def reward_end_config(**changes: Any) -> RewardEndConfig:
    small = {"channels": (8, 8), "depths": (1, 1), "lstm_size": 16, "cond_channels": 8}
    section = diamond_of(SMOKE).reward_end.model_dump() | small | changes
    return RewardEndConfig.model_validate(section)


def test_what_is_said_of_rare_rewards_is_how_often_they_are() -> None:
    """Nothing in still frames tells a reward: half of a batch has one, the model says one of 13."""
    frames = rare_frames([400], side=16)
    frames.frames[:] = 0
    frames.actions[:] = 0
    frames.ends[:] = 0
    config = reward_end_config(
        memory="none", encoder="strided", balance=0.5, sequence_steps=1, batch_size=64
    )
    net = REWARD_END.fresh(config, SHAPE, 0)
    source = SegmentSampler(frames, REWARD_END.data(config, None))
    optimizer = config.optimizer.model_copy(update={"lr": 1e-2, "warmup_updates": 5})
    training = begin_part(REWARD_END, net, config, source, 0)
    for _ in train(training.state, training.loss_of, optimizer, 150):
        pass
    real = torch.full((1, 1, 3, 16, 16), -1.0)
    with torch.no_grad():
        logits, _, _ = net(real, torch.zeros(1, 1).long(), real, None)
    assert float(logits[0, 0].softmax(0)[2]) == pytest.approx(1 / 13, abs=0.03)


@pytest.mark.parametrize("encoder", ["residual", "strided"])
def test_without_memory_nothing_of_the_past_is_told(encoder: str) -> None:
    net = REWARD_END.fresh(reward_end_config(memory="none", encoder=encoder), SHAPE, 0)
    assert net.lstm is None
    frames = torch.rand(2, 5, 3, 16, 16)
    actions = torch.zeros(2, 4).long()
    whole, _, memory = net(frames[:, :-1], actions, frames[:, 1:], None)
    alone, _, _ = net(frames[:, 3:4], actions[:, 3:], frames[:, 4:], None)
    assert whole[:, 3:].detach().numpy() == pytest.approx(alone.detach().numpy(), abs=1e-5)
    assert not memory[0].any()
    hidden, cell = net.remember(frames, actions, torch.zeros(2).long())
    assert not hidden.any()
    assert hidden.data_ptr() != cell.data_ptr()  # or a checkpoint could not hold both


def test_all_frames_of_a_segment_are_shifted_alike() -> None:
    frames = torch.rand(64, 2, 1, 6, 5)
    moved = shifted(frames, 2, torch_generator(0, Purpose.REWARD_END_SHIFTS))
    padded = torch.nn.functional.pad(frames.flatten(1, 2), (2, 2, 2, 2), mode="replicate")
    found = set()
    for item, (mine, wide) in enumerate(zip(moved.flatten(1, 2), padded, strict=True)):
        offsets = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(mine, wide[:, y : y + 6, x : x + 5])
        ]
        assert len(offsets) == 1, item
        found |= set(offsets)
    assert len(found) > 15  # of 25
    assert torch.equal(shifted(frames, 0, torch_generator(0, Purpose.REWARD_END_SHIFTS)), frames)


def denoiser_config(**changes: Any) -> DenoiserConfig:
    small = {"channels": (8, 8), "cond_channels": 16, "history": 2, "patch": 1, "ema": 0.0}
    return DenoiserConfig.model_validate(diamond_of(SMOKE).denoiser.model_dump() | small | changes)


class StillDenoiser(Denoiser):
    """Knows that nothing will change."""

    def denoise(
        self,
        noisy: Tensor,
        sigma: float,
        past: Tensor,
        actions: Tensor,
        past_noise: float = 0.0,
    ) -> Tensor:
        return torch.zeros_like(noisy)


def test_of_no_change_the_last_frame_is_drawn() -> None:
    """Whatever the noise: a denoiser of frames that says 0 draws grey ones."""
    past, actions = levels(3, 4, 3, 16, 16), torch.zeros(3, 3).long()
    for gain, quantizer in ((8.0, "round"), (8.0, "none"), (0.0, "round")):
        denoiser = StillDenoiser(denoiser_config(change=gain), 3)
        sampler = diamond_of(SMOKE).sampler.model_copy(update={"quantizer": quantizer})
        net = REWARD_END.fresh(reward_end_config(), SHAPE, 0)
        world = DiamondWorld(denoiser, net, sampler)
        state = world.start(past, actions, torch.zeros(3).long())
        noise = StreamNoise(torch_generator(0, Purpose.POLICY_NOISE))
        _, step = world.step(state, torch.zeros(3).long(), noise)
        drawn = past[:, -1] if gain else torch.full_like(step.frame, 1 / 255)
        assert step.frame.numpy() == pytest.approx(drawn.numpy(), abs=1e-5)


def levels(*shape: int) -> Tensor:
    numbers = torch.randint(256, shape, generator=torch_generator(0, Purpose.DENOISER_NOISE))
    return numbers / 127.5 - 1


def test_a_perfect_denoiser_of_the_change_has_no_loss() -> None:
    """D is the change of the last pass's own frame, which it drew without error."""
    gain, frames = 6.0, levels(4, 5, 3, 16, 16)
    config = denoiser_config(change=gain, autoregressive_passes=3, quantizer="round")
    denoiser = Denoiser(config, 3)
    segments = Segments(
        frames,
        torch.zeros(4, 4).long(),
        torch.zeros(4, 4),
        torch.zeros(4, 4).long(),
        torch.ones(4, 4).bool(),
    )
    index = iter(range(3))

    def perfect(noisy: Tensor, cs: Any, past: Any, actions: Tensor) -> Tensor:
        step = next(index) + config.history
        clean = gain * (frames[:, step] - frames[:, step - 1])
        shape = (-1, 1, 1, 1)
        target: Tensor = (clean - cs.c_skip.view(shape) * noisy) / cs.c_out.view(shape)
        return target

    denoiser._network = perfect  # type: ignore[method-assign]
    loss = denoiser.loss(segments, torch_generator(0, Purpose.DENOISER_NOISE))
    assert float(loss) < 1e-6


def test_copying_need_not_be_learnt_of_the_change() -> None:
    """The untrained network on little noise: of frames it draws grey ones, of the change none."""
    past = levels(8, 2, 3, 16, 16)
    errors = []
    for gain in (0.0, 8.0):
        denoiser = DENOISER.fresh(denoiser_config(change=gain, noise_loc=-2.0), SHAPE, 0)
        noisy = 0.1 * levels(8, 3, 16, 16)
        drawn = denoiser.denoise(noisy, 0.1, past, torch.zeros(8, 2).long())
        errors.append(float((denoiser.shown(drawn, past) - past[:, -1]).square().mean().detach()))
    assert errors[1] < 0.01 * errors[0]


def test_training_is_told_to_draw_around_events() -> None:
    config = denoiser_config(balance=0.25, autoregressive_passes=2)
    # Two past frames: the env steps that lead to the third and the fourth frame.
    assert DENOISER.data(config, None) == Extent(3, False, 0.25, (1, 2))
    reward_end = reward_end_config(balance=0.5, sequence_steps=4)
    assert REWARD_END.data(reward_end, None) == Extent(4, True, 0.5, (0, 3))
    net: RewardEndNet = REWARD_END.fresh(reward_end, SHAPE, 0)
    source = SegmentSampler(rare_frames(side=16), REWARD_END.data(reward_end, None))
    training = begin_part(REWARD_END, net, reward_end, source, 0)
    records = list(
        train(begin(net, reward_end.optimizer), training.loss_of, reward_end.optimizer, 2)
    )
    assert all(np.isfinite(record.values["loss"]) for record in records)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"balance": 1.5}, "less than or equal to 1"),
        ({"change": 5.0, "target": "eps", "input_scale": "vp"}, "denoiser.change=5"),
    ],
)
def test_what_is_not_allowed_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        denoiser_config(**changes)


def test_a_study_says_which_part_found_no_event(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), smoke_plan("denoiser.balance=0.5,0.25")
    for arm, timings in zip(plan.arms[:2], ({NO_EVENTS: 1.0}, {}), strict=True):
        spec = next(spec for spec in arm.runs[0].stages if spec.stage == "denoiser")
        finish(store, spec, timings=timings)
    (told,) = event_notes(plan, store)
    assert told.startswith("Boxing: the training frames have no rare reward and no end")
    assert "denoiser" in told
