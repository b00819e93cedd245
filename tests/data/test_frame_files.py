"""Frames on disk: what is written comes back, one episode without the others, in equal bytes."""

import time
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from diamond.data.frame_files import (
    FrameWriter,
    StoredFrames,
    read_episodes,
    read_stack,
    write_stack,
)


def write(path: Path, episodes: list[NDArray[np.uint8]]) -> None:
    with FrameWriter(path) as file:
        for number, frames in enumerate(episodes):
            file.write(number, frames)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_every_episode_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("frames") / "frames.npz"
    episodes = [data.draw(arrays(np.uint8, (length, 2, 3, 3))) for length in lengths]
    write(path, episodes)
    for number, frames in enumerate(episodes):
        found = StoredFrames(path, number)
        assert np.asarray(found).dtype == np.uint8
        assert np.array_equal(found, frames)
        assert len(found) == len(frames)
        assert np.array_equal(found[1:], frames[1:])
        for rows in (slice(2), slice(5), slice(-1), slice(None, 2, 2), slice(0, 2)):
            assert np.array_equal(found[rows], frames[rows])
    assert np.array_equal(read_episodes(path, lengths), np.concatenate(episodes))


@pytest.mark.parametrize("shape", [(3, 2, 2, 3, 3), (11, 4, 2, 2, 3, 3), (1, 0, 2, 2, 3)])
def test_a_stack_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    stack = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_stack(tmp_path / "frames.npz", stack)
    found = read_stack(tmp_path / "frames.npz")
    assert found.dtype == np.uint8 and np.array_equal(found, stack)
    assert np.array_equal(StoredFrames(tmp_path / "frames.npz", shape[0] - 1), stack[-1])


def test_numpy_opens_a_file_by_itself(tmp_path: Path) -> None:
    frames = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    write(tmp_path / "frames.npz", [frames[:1], frames])
    with np.load(tmp_path / "frames.npz") as episodes:
        assert episodes.files == ["0", "1"]
        assert np.array_equal(episodes["1"], frames)


def test_an_episode_is_read_without_the_others(tmp_path: Path) -> None:
    """All bytes of the others are damaged, and it is read all the same."""
    rng = np.random.default_rng(0)
    episodes = list(rng.integers(0, 256, (3, 4, 8, 8, 3), dtype=np.uint8))
    path = tmp_path / "frames.npz"
    write(path, episodes)
    content = bytearray(path.read_bytes())
    with ZipFile(path) as file:
        first, second, third = file.infolist()
    for begin, end in (
        (first.header_offset, second.header_offset),
        (third.header_offset, third.header_offset + third.compress_size),
    ):
        content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    assert np.array_equal(StoredFrames(path, 1), episodes[1])
    for number in (0, 2):
        with pytest.raises(ValueError, match=f"frames.npz, episode {number}: "):
            np.asarray(StoredFrames(path, number))


def test_equal_frames_give_equal_bytes_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    write(tmp_path / "one.npz", [frames, frames[:1]])
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    write(tmp_path / "two.npz", [frames[:], np.asfortranarray(frames)[:1].copy()])
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_screens_take_a_small_part_of_their_size(tmp_path: Path) -> None:
    """A still screen with one moving patch, as a game draws it."""
    frames = np.zeros((50, 210, 160, 3), dtype=np.uint8)
    frames[:, ::7] = (184, 50, 50)
    for number, frame in enumerate(frames):
        frame[number : number + 8, 40:48] = 200
    write(tmp_path / "frames.npz", [frames])
    assert (tmp_path / "frames.npz").stat().st_size < frames.nbytes / 30


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file at all"])
def test_what_is_no_file_of_frames_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "frames.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"frames\.npz, episode 0: File is not a zip file"):
        np.asarray(StoredFrames(tmp_path / "frames.npz", 0))
