"""The judge that tells actions from frames: it learns, goes on after a stop, and sees frames right.

Also how the other networks are led along a trajectory when they judge it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond.config.presets import smoke
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.config.scoring import INVERSE_DYNAMICS
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import View
from diamond.data.segments import SegmentSampler
from diamond.engine.files import read_json
from diamond.engine.output_names import HELD_OUT_FILE, WEIGHTS_FILE
from diamond.engine.stage_attempt import RESULT
from diamond.engine.stage_context import StageContext
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.makers import learned_judges as judges
from diamond.makers.trained_parts import train_inverse_dynamics
from diamond.nets.inverse_dynamics_net import INVERSE_DYNAMICS as JUDGE
from diamond.nets.inverse_dynamics_net import InverseDynamicsNet, InverseDynamicsShape
from diamond.plan.stage_keys import StageSpec, stages_of
from diamond.records import to_unit
from diamond.rng import seeded_init
from diamond.seeds import Purpose
from diamond.training.inverse_dynamics_evaluation import judge_held_out
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import begin, train
from tests.commands import attempt_in

MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
SIDE = 16
CPU = torch.device("cpu")


def dots(num_episodes: int, seed: int) -> FrameSet:
    """Episodes of a bright square that each action moves by two pixels, or not at all."""
    rng = np.random.default_rng(seed)
    frames, actions, bounds = [], [], [0]
    for _ in range(num_episodes):
        place = rng.integers(4, SIDE - 4, size=2)
        for step in range(20):
            frame = np.zeros((SIDE, SIDE, 3), np.uint8)
            rows, columns = ((p + np.arange(4)) % SIDE for p in place)
            frame[np.ix_(rows, columns)] = 255
            frames.append(frame)
            action = int(rng.integers(len(MOVES)))
            actions.append(action if step < 19 else 0)
            place = (place + 2 * np.array(MOVES[action])) % SIDE
        bounds.append(len(frames))
    n = len(frames)
    return FrameSet(
        np.stack(frames),
        np.array(actions, np.int64),
        np.zeros(n, np.float32),
        np.zeros(n, np.uint8),
        np.array(bounds, np.int64),
    )


def fresh_net(num_actions: int = len(MOVES), channels: tuple[int, ...] = (8, 16)) -> Any:
    with seeded_init(0, Purpose.INVERSE_DYNAMICS_INIT):
        return InverseDynamicsNet(InverseDynamicsShape(num_actions, SIDE, SIDE, channels, 16))


def test_it_learns_which_way_a_dot_moves() -> None:
    """Chance is .2; a dot that stays is told from one that moves, each way from each other."""
    net, updates = fresh_net(), 300
    optimizer = INVERSE_DYNAMICS.optimizer.model_copy(update={"lr": 3e-3, "warmup_updates": 5})
    config = INVERSE_DYNAMICS.model_copy(update={"batch_size": 32})
    source = SegmentSampler(dots(200, seed=1), JUDGE.data(config, None))
    loss_of = JUDGE.loss_of(net, config, source, 0)
    before = judge_held_out(net, dots(10, seed=2))
    for _ in train(begin(net, optimizer), loss_of, optimizer, updates):
        pass
    after = judge_held_out(net, dots(10, seed=2))
    assert before.accuracy < 0.5
    assert after.accuracy > 0.8
    assert min(after.recall) > 0.5
    assert after.num_steps == sum(after.counts) == 190
    assert after.majority_rate == max(after.counts) / 190


def test_an_action_that_nobody_takes_has_no_recall() -> None:
    found = judge_held_out(fresh_net(num_actions=7), dots(3, seed=2))
    assert np.isnan(found.recall[5:]).all()
    assert found.counts[5:] == (0, 0)


# --- the stage --------------------------------------------------------------------------------


def judge_spec(config: RunConfig) -> StageSpec:
    return next(spec for spec in stages_of(config) if spec.stage == "inverse_dynamics")


@dataclass
class Stop(Exception):  # noqa: N818
    """Where a test interrupts a training."""


def context_of(folder: Path, spec: StageSpec, stop_at: int | None = None) -> StageContext:
    def progress(done: int, total: int, note: str) -> None:
        if done == stop_at:
            raise Stop

    attempt = attempt_in(folder)
    return StageContext(attempt, spec.config, {}, spec.seed, CPU, progress, checkpoint_seconds=0.0)


def test_a_stop_changes_nothing(tmp_path: Path) -> None:
    spec = judge_spec(smoke("Breakout"))
    result = train_inverse_dynamics(context_of(tmp_path / "whole", spec))
    with pytest.raises(Stop):
        train_inverse_dynamics(context_of(tmp_path / "stopped", spec, stop_at=12))
    train_inverse_dynamics(context_of(tmp_path / "stopped", spec))
    whole, stopped = (tmp_path / name / RESULT for name in ("whole", "stopped"))
    assert (whole / WEIGHTS_FILE).read_bytes() == (stopped / WEIGHTS_FILE).read_bytes()
    found: Mapping[str, Any] = read_json(whole / HELD_OUT_FILE)
    assert found == read_json(stopped / HELD_OUT_FILE)
    assert result.timings["held_out_accuracy"] == found["accuracy"]
    assert [row["code"] for row in found["actions"]] == [0, 1, 3, 4]
    counts = [row["count"] for row in found["actions"]]
    right = sum(row["count"] * (row["recall"] or 0) for row in found["actions"])
    assert found["accuracy"] == pytest.approx(right / sum(counts))
    assert found["majority_rate"] == max(counts) / sum(counts)


# --- networks along trajectories --------------------------------------------------------------


def random_view(num_starts: int, horizon: int, num_actions: int) -> View:
    rng, shape = np.random.default_rng(0), (32, 32, 3)
    return View(
        rng.integers(0, 256, (num_starts, CONTEXT_FRAMES, *shape)).astype(np.uint8),
        rng.integers(0, num_actions, (num_starts, CONTEXT_FRAMES + horizon - 1)),
        rng.integers(0, 256, (num_starts, horizon, *shape)).astype(np.uint8),
        np.ones((num_starts, horizon), np.bool_),
        np.zeros((num_starts, horizon)),
        np.zeros((num_starts, horizon), np.bool_),
        np.zeros(num_starts, np.int64),
    )


SHAPE = {"num_actions": 4, "height": 32, "width": 32}
ROUNDING = 1e-5
"""Convolutions of batches of other sizes add float32 numbers of size one in another order."""


@pytest.mark.parametrize("batch_frames", [1, 7, 512])
def test_reward_ends_are_those_of_one_pass_over_the_whole_trajectory(
    batch_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "BATCH_FRAMES", batch_frames)
    net = REWARD_END.build(diamond_of(smoke("Breakout")).reward_end, SHAPE)
    view = random_view(2, 9, 4)
    found = judges.predict_rewards_and_ends(net, view, view.targets, CPU)
    frames = to_unit(torch.from_numpy(np.concatenate((view.context, view.targets), axis=1)))
    with torch.no_grad():
        rewards, ends, _ = net(frames[:, :-1], torch.from_numpy(view.actions), frames[:, 1:], None)
    expected = rewards.softmax(dim=-1)[:, CONTEXT_FRAMES - 1 :].numpy()
    assert found.rewards == pytest.approx(expected, abs=ROUNDING)
    expected = ends.softmax(dim=-1)[:, CONTEXT_FRAMES - 1 :, 1].numpy()
    assert found.ends == pytest.approx(expected, abs=ROUNDING)
    assert found.rewards.sum(axis=-1) == pytest.approx(1.0)


def test_a_policy_remembers_the_context_and_everything_after_it() -> None:
    config = smoke("Breakout").policy
    net = POLICY.build(config, SHAPE)
    torch.nn.init.normal_(net.actor.weight, generator=torch.Generator().manual_seed(0))
    view = random_view(2, 6, 4)
    found = judges.watch(net, view, view.targets, CPU)
    # The memory makes every later frame depend on an earlier one, and on none that follows.
    changed = view.targets.copy()
    changed[:, 2] = 255 - changed[:, 2]
    other = judges.watch(net, view, changed, CPU)
    same = np.isclose(found.logits, other.logits, atol=ROUNDING).all(axis=(0, 2))
    assert same.tolist() == [True, True, False, False, False, False]
    nothing = judges.watch(net, replace(view, context=view.context[:, :1]), view.targets, CPU)
    assert not np.isclose(found.logits, nothing.logits, atol=ROUNDING).all(axis=(0, 2)).any()
    assert found.values.shape == (2, 6)


@pytest.mark.parametrize("batch_frames", [1, 4, 512])
def test_actions_are_read_off_a_frame_and_the_one_before(
    batch_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "BATCH_FRAMES", batch_frames)
    net = fresh_net()
    frames = dots(2, seed=1).frames.reshape(2, 20, SIDE, SIDE, 3)
    actions, features = judges.read_actions(net, frames[:, 0], frames[:, 1:], CPU)
    assert actions.shape == (2, 19) and features.shape == (2, 19, 16)
    for start in range(2):
        for t in range(19):
            pair = to_unit(torch.from_numpy(frames[start, t : t + 2]))
            with torch.no_grad():
                hidden = net.features(pair[:1], pair[1:])
                logits = net(pair[:1], pair[1:])
            assert features[start, t] == pytest.approx(hidden[0].numpy(), abs=ROUNDING)
            assert actions[start, t] == logits.argmax()
