"""Cells of a palette: which are right, which have changed, which steps are events."""

import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.config.presets import make_preset
from diamond.config.recording import ViewConfig
from diamond.data.action_space import ActionSpace
from diamond.data.collect import collect_references
from diamond.data.reference_files import View, view_references
from diamond.envs.open_game import open_game
from diamond.envs.palette import COLOURS, paint
from diamond.envs.view import apply_view
from diamond.fidelity.cells import nearest_colours, score_cells
from diamond.findings.reader_notes import scoring_notes
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request

NAN = np.nan
CELLS = (10, 10)
MINATAR = "MinAtar/Breakout-v1"


def test_a_colour_is_nearest_to_itself_and_noise_moves_it_not() -> None:
    """Neighbours differ by 127 or more in a channel, so that 60 levels in one decide nothing."""
    numbers = np.arange(len(COLOURS))
    np.testing.assert_array_equal(nearest_colours(COLOURS, COLOURS), numbers)
    for channel in range(3):
        for change in (-60, 60):
            noisy = COLOURS.astype(int)
            noisy[:, channel] = np.clip(noisy[:, channel] + change, 0, 255)
            np.testing.assert_array_equal(nearest_colours(noisy.astype(np.uint8), COLOURS), numbers)


def test_of_two_equally_near_colours_the_first_is_taken() -> None:
    palette = np.array([[0, 0, 0], [2, 0, 0]], dtype=np.uint8)
    middle = np.array([[1, 0, 0], [2, 1, 1]], dtype=np.uint8)
    assert nearest_colours(middle, palette).tolist() == [0, 1]


def drawn(*rows: str) -> NDArray[np.uint8]:
    """Frames of one row of cells, a digit for a colour: (t, 1, w, 3)."""
    frames: NDArray[np.uint8] = COLOURS[np.array([[[int(n) for n in row]] for row in rows])]
    return frames


def one_start(rewards: list[float]) -> View:
    """Four real frames, then the one after the end; what comes later is no frame."""
    targets = np.zeros((1, 6, 1, 4, 3), dtype=np.uint8)
    targets[0, :5] = drawn("0120", "0012", "0012", "1012", "3000")
    return View(
        context=drawn("1111", "1200")[None],
        actions=np.zeros((1, 7), dtype=np.int64),
        targets=targets,
        valid=np.array([[True] * 4 + [False] * 2]),
        rewards=np.array([rewards]),
        ends=np.array([[False] * 4 + [True, False]]),
        padded=np.zeros(1, dtype=np.int64),
    )


def test_the_three_shares_by_hand() -> None:
    """The real frame before decides what has changed, and the end is an event of its own."""
    view = one_start([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    imagined = drawn("0100", "0011", "0012", "1012", "3011", "3000")[None]
    scores = score_cells(view, imagined, COLOURS)
    assert list(scores) == ["cell_accuracy", "cell_accuracy_changed", "cell_accuracy_events"]
    # Changed: cells 0-2; cells 1-3; none; cell 0; cells 0, 2 and 3.
    expected = {
        "cell_accuracy": [[3 / 4, 3 / 4, 1, 1, NAN, NAN]],
        "cell_accuracy_changed": [[2 / 3, 2 / 3, NAN, 1, NAN, NAN]],
        "cell_accuracy_events": [[NAN, 2 / 3, NAN, NAN, 1 / 3, NAN]],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(scores[name], values, err_msg=name)


def test_a_reward_that_is_not_known_is_no_event() -> None:
    scores = score_cells(one_start([NAN] * 6), drawn(*["0000"] * 6)[None], COLOURS)
    assert np.flatnonzero(~np.isnan(scores["cell_accuracy_events"][0])).tolist() == [4]


def test_a_copy_of_the_frame_before_wins_nothing_where_cells_changed() -> None:
    view = one_start([1.0] * 6)
    before = np.concatenate([view.context[:, -1:], view.targets[:, :-1]], axis=1)
    scores = score_cells(view, before, COLOURS)
    defined = scores["cell_accuracy_changed"][~np.isnan(scores["cell_accuracy_changed"])]
    assert defined.tolist() == [0, 0, 0]
    assert np.nanmean(scores["cell_accuracy"]) == (1 / 4 + 1 / 4 + 1 + 3 / 4) / 4


def test_the_real_frames_of_a_game_are_cells_and_copying_the_last_gets_the_unchanged_ones() -> None:
    config = make_preset("smoke", MINATAR)
    short = config.references.model_copy(update={"num_starts": 4, "counterfactuals": None})
    found = list(collect_references(MINATAR, config.environment, short, 0))
    codes = open_game(MINATAR, config.environment).action_codes
    seen = view_references(found, view(10, 10), ActionSpace(codes), 6)
    shown = np.concatenate([seen.context.reshape(-1, 3), seen.targets[seen.valid].reshape(-1, 3)])
    np.testing.assert_array_equal(COLOURS[nearest_colours(shown, COLOURS)], shown)
    scores = score_cells(seen, np.repeat(seen.context[:, -1:], 6, axis=1), COLOURS)
    assert set(scores["cell_accuracy_changed"][:, 0]) == {0.0}
    assert 0.9 < np.nanmean(scores["cell_accuracy"][:, 0]) < 1
    ended = seen.ends.any(axis=1)
    events = scores["cell_accuracy_events"][ended]
    assert len(events) and not np.isnan(events).all(axis=1).any()


def view(height: int, width: int, **fields: object) -> ViewConfig:
    return ViewConfig.model_validate({"height": height, "width": width, "crop": None} | fields)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (view(10, 10), True),
        (view(20, 30, resize="nearest"), True),
        (view(20, 20), False),
        (view(8, 8, resize="nearest"), False),
        (view(10, 10, colour="grey"), False),
        (view(8, 10, crop=(2, 10, 0, 10)), True),
        (view(10, 10, crop=(2, 10, 0, 10), resize="nearest"), False),
        (view(16, 10, crop=(2, 10, 0, 10), resize="nearest"), True),
    ],
)
def test_cells_are_shown_where_each_is_as_many_pixels_of_its_colour(
    seen: ViewConfig, shown: bool
) -> None:
    assert seen.shows_cells(CELLS) == shown
    assert not seen.shows_cells(None)
    frame = paint(np.random.default_rng(0).random((*CELLS, 4)) < 0.4)
    if shown:
        top, bottom, left, right = seen.crop or (0, 10, 0, 10)
        rows, columns = seen.height // (bottom - top), seen.width // (right - left)
        part = frame[top:bottom, left:right]
        expected = part.repeat(rows, axis=0).repeat(columns, axis=1)
        np.testing.assert_array_equal(apply_view(frame, seen), expected)


@pytest.mark.parametrize("pixels", [10, 32])
def test_the_reader_is_told_where_cells_are_not_scored(pixels: int) -> None:
    settings = (f"view.height={pixels}", f"view.width={pixels}")
    games = (MINATAR, "Boxing")
    plan = make_plan(Request(("steps=1,3",), "smoke", games, 1, None, None, settings=settings))
    told = [note for note in scoring_notes(plan) if "cells are not scored" in note]
    start = f"{MINATAR}: cells are not scored at 32 x 32 pixels (rgb, nearest)"
    assert [note.partition(";")[0] for note in told] == ([start] if pixels == 32 else [])
