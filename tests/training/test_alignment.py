"""The lag between frames and actions is found where they show it, and none is told elsewhere."""

from itertools import pairwise

import numpy as np
import pytest

from diamond.config.environments import default_environment
from diamond.config.recorded import Alignment
from diamond.config.recording import FramesConfig, PlayConfig, ViewConfig
from diamond.data.collect import collect_frames
from diamond.data.frame_pairs import (
    MAX_PAIRS,
    Actions,
    FramePairs,
    PairCollector,
    choose_pairs,
)
from diamond.training.alignment import LAGS, LEAST_PAIRS, align
from tests.recordings.made_sources import MOVES, NAMES, Moved, moved


def pairs_of(played: list[Moved], actions: list[Actions], lag: int = 0) -> FramePairs:
    """The pairs of episodes whose action i + lag leads from frame i to frame i + 1."""
    late, early = max(0, lag), max(0, -lag)
    kept = [own[early : len(own) - late] for own in actions]
    collector = PairCollector(kept)
    for part, one in enumerate(played):
        for number, frame in enumerate(one.frames[late : len(one.frames) - early]):
            collector.see(part, number, frame)
    return collector.pairs()


def aligned(played: list[Moved], lag: int = 0, num_actions: int = len(NAMES)) -> Alignment:
    found = align(pairs_of(played, [one.actions for one in played], lag), num_actions)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def square() -> list[Moved]:
    return [moved(seed, 700) for seed in (0, 1)]


@pytest.mark.parametrize("lag", [-2, -1, 0, 1, 2])
def test_the_lag_of_a_square_that_actions_move_is_found(lag: int, square: list[Moved]) -> None:
    found = aligned(square, lag)
    assert found.told and found.lag == lag
    later = [score for at, score in zip(found.lags, found.scores, strict=True) if at > lag]
    assert max(later) < 0.1 < found.scores[LAGS.index(lag)]


@pytest.mark.parametrize("lag", [-1, 0, 1])
def test_the_lag_of_numbers_is_found(lag: int, square: list[Moved]) -> None:
    numbers = [np.asarray(MOVES)[one.actions] / 2.0 for one in square]
    found = align(pairs_of(square, list(numbers), lag), None)
    assert found is not None and found.told and found.lag == lag


@pytest.fixture(scope="module")
def breakout() -> list[Moved]:
    """Episodes of a real game whose actions are held for 1 to 8 steps."""
    play = PlayConfig(collector="random_held", max_hold_steps=8, random_fraction=0.0)
    view = ViewConfig(height=84, width=64, crop=None)
    frames = collect_frames(
        "Breakout",
        default_environment("Breakout"),
        view,
        FramesConfig(play=play, num_frames=2500),
        seed=0,
    )
    return [
        Moved(frames.frames[first:end], frames.actions[first : end - 1].astype(np.int64))
        for first, end in pairwise(frames.bounds)
    ]


@pytest.mark.parametrize("lag", [-1, 0, 1])
def test_the_lag_of_a_game_that_shows_actions_late_is_found(
    lag: int, breakout: list[Moved]
) -> None:
    found = aligned(breakout, lag, num_actions=4)
    assert found.told and found.lag == lag


def test_frames_that_do_not_show_actions_tell_no_lag() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (700, 32, 32, 3), dtype=np.uint8)
    assert not aligned([Moved(noise, moved(1, 700).actions)]).told


def test_a_player_whose_actions_follow_from_every_frame_tells_no_lag() -> None:
    """The place of the square says all actions around, whichever of them moved it."""
    times = np.arange(1400) % 56
    lanes = np.random.default_rng(0).integers(0, 5, 60)
    frames = np.zeros((1400, 32, 32, 3), dtype=np.uint8)
    for t, time in enumerate(times):
        frames[t, time // 2 : time // 2 + 4, 8:24] = 200
    found = aligned([Moved(frames, lanes[times[:-1]])])
    assert min(found.scores) > 0.3 and not found.told


def test_too_few_pairs_are_not_asked() -> None:
    one = moved(0, LEAST_PAIRS)
    assert align(pairs_of([one], [one.actions]), len(NAMES)) is None


def test_it_is_found_again_to_the_bit(square: list[Moved]) -> None:
    assert aligned(square) == aligned(square)


def test_pairs_are_those_whose_actions_change_around_them() -> None:
    actions = np.zeros(30, dtype=np.int64)
    actions[12:] = 1
    (rows,) = choose_pairs([actions])
    # Of the pairs 8 to 15 the window holds both action 11 and action 12.
    assert rows == [8, 9, 10, 11, 12, 13, 14, 15]


def test_pairs_of_many_frames_are_spread_evenly() -> None:
    actions = np.arange(5 * MAX_PAIRS) % 3
    (rows,) = choose_pairs([actions])
    assert len(rows) == MAX_PAIRS
    assert rows[0] == 4 and rows[-1] == len(actions) - 5
    assert set(np.diff(rows).tolist()) <= {4, 5, 6}


def test_the_actions_of_a_pair_are_those_around_it() -> None:
    one = moved(0, 20)
    pairs = pairs_of([one], [np.arange(19)])
    np.testing.assert_array_equal(pairs.actions[0], [0, 1, 2, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(pairs.after[:-1], pairs.before[1:])
