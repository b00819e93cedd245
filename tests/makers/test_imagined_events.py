"""Real events: which are chosen, how they are imagined, and what of them is seen."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from diamond.config.run import CONTEXT_FRAMES
from diamond.data.reference_files import View
from diamond.engine.output_names import DRAWN_EVENTS_FILE
from diamond.engine.stage_context import StageContext
from diamond.families.interface import Step
from diamond.fidelity.event_recall import find_events
from diamond.fidelity.reward_end import PredictedRewardEnds
from diamond.makers import imagined_events
from diamond.makers.imagined_events import draw_events, score_events
from diamond.records import to_bytes, to_unit
from diamond.rng import Noise
from diamond.stages.rollouts import MAX_EVENTS
from tests.commands import attempt_in

NUM_STARTS, HORIZON, LENGTH = 3, 12, 9
SIZE = (8, 8, 3)
LAST = CONTEXT_FRAMES - 1
"""The frame of a reference before its first time step."""


def frame_of(start: int, number: int) -> NDArray[np.uint8]:
    """A frame that says which it is: the reference, and its number in it."""
    return np.full(SIZE, (start, 5 * number, 0), np.uint8)


def view_of(rewards: NDArray[np.float64], lengths: tuple[int, ...]) -> View:
    """References whose frames say which they are; the last env step of each ends it."""
    steps = np.arange(HORIZON)[None]
    played = np.array(lengths)[:, None]
    shown = np.stack(
        [
            [frame_of(start, number) for number in range(CONTEXT_FRAMES + HORIZON)]
            for start in range(len(lengths))
        ]
    )
    actions = np.random.default_rng(2).integers(0, 3, (len(lengths), LAST + HORIZON))
    return View(
        context=shown[:, :CONTEXT_FRAMES],
        actions=actions,
        targets=shown[:, CONTEXT_FRAMES:],
        valid=steps < played - 1,
        rewards=np.where(steps < played, rewards, 0),
        ends=steps == played - 1,
        padded=np.zeros(len(lengths), np.int64),
    )


def example() -> View:
    """Rewards at the first and at the fifth time step, and ends at 9, 12 and beyond the horizon."""
    rewards = np.zeros((NUM_STARTS, HORIZON))
    rewards[:, 0], rewards[:, 5], rewards[2, 8] = 2.0, 1.0, -3.0
    return view_of(rewards, (9, 12, 20))


class Told(NamedTuple):
    """Which frame each trajectory is at (b, c, h, w)."""

    now: Tensor


class Game:
    """The game itself as a world model: it takes the recorded actions and gives what followed."""

    history = 1

    def __init__(self, view: View, late: int = 0) -> None:
        self._view = view
        self._late = late
        self.padded: list[int] = []

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Told:
        shown = to_bytes(frames).numpy()
        for row, before in zip(shown, actions.numpy(), strict=True):
            start, first = self._place(row[0])
            expected = [frame_of(start, first + i) for i in range(CONTEXT_FRAMES)]
            assert np.array_equal(row, expected)
            assert before.tolist() == self._view.actions[start, first : first + LAST].tolist()
        self.padded += padded.tolist()
        return Told(frames[:, -1])

    def step(self, state: Told, action: Tensor, noise: Noise) -> tuple[Told, Step]:
        places = [self._place(one) for one in to_bytes(state.now).numpy()]
        frames, rewards, ends = [], [], []
        for (start, number), taken in zip(places, action.tolist(), strict=True):
            if number < LAST + HORIZON:
                assert taken == self._view.actions[start, number]
            frames.append(frame_of(start, number + 1))
            step = number - LAST - self._late
            inside = 0 <= step < HORIZON
            rewards.append(np.sign(self._view.rewards[start, step]) if inside else 0.0)
            ends.append(bool(self._view.ends[start, step]) if inside else False)
        after = Told(to_unit(torch.from_numpy(np.stack(frames))))
        return after, Step(after.now, torch.tensor(rewards).float(), torch.tensor(ends))

    def frame(self, state: Told) -> Tensor:
        return state.now

    @staticmethod
    def _place(frame: NDArray[np.uint8]) -> tuple[int, int]:
        return int(frame[0, 0, 0]), int(frame[0, 0, 1]) // 5


class Silent(Game):
    """A world model that draws no event."""

    def step(self, state: Told, action: Tensor, noise: Noise) -> tuple[Told, Step]:
        after, step = super().step(state, action, noise)
        white = torch.ones_like(step.frame)
        return after, Step(white, torch.zeros_like(step.reward), torch.zeros_like(step.end))


class Loud(Silent):
    """A world model that draws a reward at every env step."""

    def step(self, state: Told, action: Tensor, noise: Noise) -> tuple[Told, Step]:
        after, step = super().step(state, action, noise)
        return after, step._replace(reward=torch.ones_like(step.reward))


class Chance(Game):
    """A world model that draws rewards by its noise alone."""

    def step(self, state: Told, action: Tensor, noise: Noise) -> tuple[Told, Step]:
        after, step = super().step(state, action, noise)
        return after, step._replace(reward=noise.uniform("reward", len(action)).sub(0.5).sign())


def scores_of(folder: Path, view: View, world: Game) -> dict[str, float]:
    """What is scored of a world; the reward/end model gives rewards a third, ends a half."""
    context = StageContext(attempt_in(folder), {}, {}, 7, torch.device("cpu"), lambda *_: None, 1e9)
    draw_events(context, world, view, 0, DRAWN_EVENTS_FILE, with_frames=True)
    shape = view.valid.shape
    even = PredictedRewardEnds(np.full((*shape, 3), 1 / 3), np.full(shape, 1 / 2))
    found = score_events(context.folder / DRAWN_EVENTS_FILE, view, even)
    assert {values.shape for values in found.values()} == {(1, 1)}
    return {name: values.item() for name, values in found.items()}


def test_rewards_and_ends_are_events_and_as_many_others_stand_beside_them() -> None:
    found = find_events(example())
    rows = list(zip(found.starts.tolist(), found.steps.tolist(), strict=True))
    assert found.common == 0
    assert {rows[i] for i in np.flatnonzero(found.rewarded)} == {
        (0, 0), (0, 5), (1, 0), (1, 5), (2, 0), (2, 5), (2, 8),
    }  # fmt: skip
    assert {rows[i] for i in np.flatnonzero(found.ended)} == {(0, 8), (1, 11)}
    others = [rows[i] for i in np.flatnonzero(~found.happened)]
    assert len(set(others)) == len(others) == 9
    view = example()
    assert all(view.valid[row] and view.rewards[row] == 0 for row in others)


def test_the_most_frequent_reward_is_no_event_and_an_end_with_a_reward_is_two() -> None:
    rewards = np.ones((1, HORIZON))
    rewards[0, 2], rewards[0, HORIZON - 1] = 0.0, -1.0
    found = find_events(view_of(rewards, (HORIZON,)))
    assert found.common == 1
    assert found.steps[found.rewarded].tolist() == found.steps[found.ended].tolist() == [11]
    assert found.signs[found.rewarded].tolist() == [-1]


def test_no_kind_of_event_crowds_another_out() -> None:
    rewards = np.zeros((200, HORIZON))
    rewards[:, :5], rewards[::40, 6] = 1.0, -1.0
    found = find_events(view_of(rewards, (HORIZON,) * 200))
    kinds = [found.rewarded & (found.signs == -1), found.rewarded & (found.signs == 1), found.ended]
    assert [int(kind.sum()) for kind in kinds] == [5, 62, 61]
    assert found.happened.sum() == MAX_EVENTS and (~found.happened).sum() == MAX_EVENTS
    # Evenly over episodes: none is looked at much more than another.
    assert np.bincount(found.starts[kinds[2]], minlength=200).max() == 1


def test_the_game_itself_draws_every_event_and_no_other(tmp_path: Path) -> None:
    """The world checks the frames and the actions that it is given."""
    found = scores_of(tmp_path, example(), Game(example()))
    assert found == {
        "event_recall": 1,
        "event_recall_rewards": 1,
        "event_recall_ends": 1,
        "event_recall_4": 1,
        "event_false_alarm": 0,
        "event_recall_real": pytest.approx((7 / 3 + 2 / 2) / 9),
        "event_frames_exact": 1,
    }


def test_a_world_without_events_is_found_out(tmp_path: Path) -> None:
    found = scores_of(tmp_path, example(), Silent(example()))
    zeros = {name for name, value in found.items() if value == 0}
    assert zeros == found.keys() - {"event_recall_real"}


def test_rewards_at_every_step_are_false_alarms(tmp_path: Path) -> None:
    found = scores_of(tmp_path, example(), Loud(example()))
    assert found["event_false_alarm"] == 1 and found["event_recall_rewards"] == 6 / 7


def test_what_is_drawn_one_step_late_counts_from_four_steps_before_alone(tmp_path: Path) -> None:
    view = example()
    found = scores_of(tmp_path, view, Game(view, late=1))
    assert found["event_recall"] == 0
    # The rewards at 0 are nearer than four steps. The ends would be drawn after the end.
    assert found["event_recall_4"] == pytest.approx(4 / 6)
    assert scores_of(tmp_path / "later", view, Game(view, late=2))["event_recall_4"] == 0


def test_what_of_a_context_is_padded_is_told(tmp_path: Path) -> None:
    """From one step before time step t, t frames of padding are left behind."""
    view = replace(example(), padded=np.array([3, 0, 15]))
    world = Game(view)
    context = StageContext(attempt_in(tmp_path), {}, {}, 7, torch.device("cpu"), lambda *_: None)
    draw_events(context, world, view, 0, DRAWN_EVENTS_FILE, with_frames=False)
    events = find_events(view)
    near = (view.padded[events.starts] - events.steps).clip(min=0).tolist()
    assert world.padded[: len(near)] == near
    assert set(load_file(context.folder / DRAWN_EVENTS_FILE)) == {
        "rewards_1", "ends_1", "rewards_4", "ends_4",
    }  # fmt: skip


def test_what_is_drawn_does_not_depend_on_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for size in (64, 2):
        monkeypatch.setattr(imagined_events, "BATCH_ROWS", size)
        folder = tmp_path / str(size)
        context = StageContext(attempt_in(folder), {}, {}, 7, torch.device("cpu"), lambda *_: None)
        draw_events(context, Chance(example()), example(), 0, DRAWN_EVENTS_FILE, with_frames=True)
        found.append(load_file(context.folder / DRAWN_EVENTS_FILE))
    for name, values in found[0].items():
        assert np.array_equal(values, found[1][name]), name
    assert len(np.unique(found[0]["rewards_1"])) == 2


def test_without_any_event_there_is_nothing_to_recall(tmp_path: Path) -> None:
    view = view_of(np.zeros((2, HORIZON)), (20, 20))
    found = scores_of(tmp_path, view, Game(view))
    assert all(np.isnan(value) for value in found.values())
