"""What may be done: how recorded actions become what networks read, on disk and in segments."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ACTIONS_FILE, ActionSpace
from diamond.data.dataset import FrameSet, read_in_turn
from diamond.data.defects import shuffled
from diamond.data.reference_files import (
    Reference,
    load_references,
    save_references,
    view_references,
)
from diamond.data.seen_starts import stored_seen_starts
from diamond.data.segments import SegmentSampler, starts_of
from diamond.envs.real_game import EpisodeKey
from diamond.part import Extent
from diamond.rng import torch_generator
from diamond.seeds import Purpose

CODES = ActionSpace((3, 0, 7))
NUMBERS = ActionSpace(low=(-2.0, 0.0, 5.0), high=(2.0, 1.0, 5.0))
SIZE = 8
VIEW = ViewConfig(height=SIZE, width=SIZE, crop=None)


def test_codes_become_their_indices_and_numbers_fill_minus_one_to_one() -> None:
    assert CODES.encode([7, 3, 3, 0]).tolist() == [2, 0, 0, 1]
    assert CODES.encode([]).shape == (0,)
    found = NUMBERS.encode([(-2.0, 1.0, 5.0), (1.0, 0.25, 5.0), (4.0, 0.5, 6.0)])
    # The third number is the same throughout: it says nothing. Beyond the range is beyond 1.
    assert found.tolist() == [[-1, 1, 0], [0.5, -0.5, 0], [2, 0, 0]]
    assert NUMBERS.encode([]).shape == (0, 3)
    assert (CODES.encode([0]).dtype.name, found.dtype.name) == ("int64", "float32")
    with pytest.raises(
        ValueError, match=r"the actions \[4, 5\], not in the action set \(3, 0, 7\)"
    ):
        CODES.encode([5, 3, 4])


def test_networks_are_told_how_many_actions_or_numbers_there_are() -> None:
    assert CODES.shape == {"num_actions": 3}
    assert NUMBERS.shape == {"num_actions": 0, "action_size": 3}
    assert CODES.nothing(2, 4).tolist() == np.zeros((2, 4)).tolist()
    assert NUMBERS.nothing(2, 4).shape == (2, 4, 3) and not NUMBERS.nothing(2, 4).any()
    assert (CODES.nothing(1).dtype.name, NUMBERS.nothing(1).dtype.name) == ("int64", "float32")


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (CODES, "[3, 0, 7]\n"),
        (NUMBERS, '{"low": [-2.0, 0.0, 5.0], "high": [2.0, 1.0, 5.0]}\n'),
    ],
)
def test_it_survives_the_disk(space: ActionSpace, text: str, tmp_path: Path) -> None:
    space.save(tmp_path)
    assert (tmp_path / ACTIONS_FILE).read_text() == text
    assert ActionSpace.load(tmp_path) == space


# --- numbers in what is drawn from real frames --------------------------------------------------


def frames_of(num: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (num, SIZE, SIZE, 3), dtype=np.uint8)


def numbers_of(num: int, seed: int) -> list[tuple[float, float, float]]:
    rows = np.random.default_rng(seed).uniform((-2, 0, 5), (2, 1, 5), (num, 3))
    return [(float(a), float(b), float(c)) for a, b, c in rows]


def recorded(pads_starts: bool = False) -> FrameSet:
    """Two episodes of 12 and 8 frames; the number of a row is in its action."""
    actions = np.arange(1, 21)[:, None].astype(np.float32) * np.array([0.01, -0.01], np.float32)
    nothing = np.zeros(20, np.float32)
    bounds = np.array([0, 12, 20])
    return FrameSet(
        frames_of(20, 0), actions, nothing, nothing.astype(np.uint8), bounds, pads_starts
    )


def row_of(frames: torch.Tensor) -> NDArray[np.int64]:
    """Which row of the set each frame (n, c, h, w) is."""
    known = {frame.tobytes(): row for row, frame in enumerate(recorded().frames)}
    shown = frames.add(1).mul(127.5).round().to(torch.uint8).movedim(1, -1).numpy()
    return np.array([known[frame.tobytes()] for frame in shown])


@pytest.mark.parametrize("pads_starts", [False, True])
def test_the_numbers_of_a_segment_are_those_taken_at_its_frames(pads_starts: bool) -> None:
    found = SegmentSampler(recorded(pads_starts), Extent(4)).sample(
        32, torch_generator(0, Purpose.DENOISER_SEGMENTS)
    )
    assert found.actions.shape == (32, 4, 2) and found.actions.dtype == torch.float32
    rows = row_of(found.frames[:, :4].flatten(0, 1)).reshape(32, 4)
    expected = torch.from_numpy(recorded().actions[rows] * found.valid.numpy()[..., None])
    assert torch.equal(found.actions, expected)
    assert bool(found.valid.all()) != pads_starts
    starts = starts_of(found)
    assert torch.equal(starts.actions, found.actions[:, :3])


def test_episodes_of_numbers_survive_the_disk(tmp_path: Path) -> None:
    recorded().save(tmp_path)
    found = [actions for _, actions in read_in_turn(tmp_path)]
    assert np.array_equal(np.concatenate(found), recorded().actions)
    assert FrameSet.load(tmp_path).actions.dtype == np.float32


def reference(numbers: list[tuple[float, float, float]], offset: int, valid: int) -> Reference:
    shown = frames_of(CONTEXT_FRAMES + valid, 1)
    return Reference(
        EpisodeKey(-1, 0), tuple(numbers), offset, valid, shown, shown, None, shown[:0]
    )


def test_a_view_has_the_numbers_that_were_taken_and_zeros_elsewhere(tmp_path: Path) -> None:
    long, short = numbers_of(25, 1), numbers_of(12, 2)
    made = [reference(long, 3, 6), reference(short, -6, 2)]
    save_references(made, tmp_path)
    found = load_references(tmp_path)
    assert [one.action_codes for one in found] == [tuple(long), tuple(short)]
    seen = view_references(found, VIEW, NUMBERS, 6)
    assert seen.actions.shape == (2, CONTEXT_FRAMES + 5, 3) and seen.actions.dtype == np.float32
    assert np.array_equal(seen.actions[0], NUMBERS.encode(long)[3:24])
    assert not seen.actions[1, :6].any() and not seen.actions[1, 17:].any()
    assert np.array_equal(seen.actions[1, 6:17], NUMBERS.encode(short)[:11])
    assert np.array_equal(shuffled(seen.actions, "actions_shuffled")[1], seen.actions[0])


def test_a_start_is_seen_in_training_only_with_the_same_numbers(tmp_path: Path) -> None:
    whole = reference(numbers_of(20, 1), 0, 4)
    save_references([whole, reference(numbers_of(20, 2), 0, 4)], tmp_path)
    frames = tmp_path / "frames"
    frames.mkdir()
    NUMBERS.save(frames)
    actions = NUMBERS.encode([*whole.action_codes[:19], (0.0, 0.5, 5.0)])
    nothing = np.zeros(20, np.float32)
    FrameSet(whole.native[:], actions, nothing, nothing.astype(np.uint8), np.array([0, 20])).save(
        frames
    )
    assert stored_seen_starts(tmp_path, frames, VIEW, 2) == (0,)
