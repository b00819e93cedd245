"""Episodes are written as .npz, video and Minari, and read back by others bit by bit."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import minari
import numpy as np
import pytest

from diamond.arrays import ByteArray
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import Reference, save_references
from diamond.envs.real_game import EpisodeKey
from diamond.errors import RequestError, StoreError
from diamond.recordings.episodes import Actions, RecordedEpisode, Source
from diamond.recordings.export import (
    ABOUT_FILE,
    FORMATS,
    ExportFormat,
    Outgoing,
    write_export,
    write_video,
)
from diamond.recordings.kept_episodes import KeptEpisodes, held_out_episodes, training_episodes
from diamond.recordings.reading import read_source

NAMES = ("NOOP", "FIRE", "LEFT")
NUMBERS = ("steer", "throttle, brake")
RNG = np.random.default_rng(0)


def noise(*size: int) -> ByteArray:
    return RNG.integers(0, 256, (*size, 3), dtype=np.uint8)


def episode(frames: ByteArray, actions: Actions, **known: Any) -> RecordedEpisode:
    return RecordedEpisode("episode-0", len(frames), lambda: iter(frames), actions, **known)


def known_episode(num_frames: int, *size: int) -> RecordedEpisode:
    """With rewards that no short decimal says, and an end at its last action."""
    num = num_frames - 1
    return episode(
        noise(num_frames, *size),
        RNG.integers(0, len(NAMES), num),
        rewards=RNG.normal(size=num).astype(np.float32),
        ends=np.arange(num) == num - 1,
        frame_rate=60 / 7,
    )


def continuous_episode() -> RecordedEpisode:
    return episode(
        noise(4, 9, 7),
        RNG.normal(size=(3, 2)),
        rewards=np.zeros(3, dtype=np.float32),
        ends=np.zeros(3, dtype=np.bool_),
    )


def outgoing(*episodes: RecordedEpisode, names: tuple[str, ...] = NAMES) -> Outgoing:
    origins = tuple({"emulator_seed": 7 + n, "num_noops": n} for n in range(len(episodes)))
    return Outgoing("boxing-frames", "frames", episodes, origins, names, {"game": "Boxing"})


def decoded(path: Path) -> ByteArray:
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.asarray(frames, dtype=np.uint8)


def frames_of(one: RecordedEpisode) -> ByteArray:
    return np.stack(list(one.frames()))


def from_npz(folder: Path, one: RecordedEpisode) -> dict[str, Any]:
    with np.load(folder / f"{one.name}.npz", allow_pickle=False) as file:
        return dict(file)


def from_video(folder: Path, one: RecordedEpisode) -> dict[str, Any]:
    with (folder / f"{one.name}.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    assert list(map(int, columns.pop("frame"))) == list(range(len(rows)))
    found: dict[str, Any] = {"frames": decoded(folder / f"{one.name}.mp4")}
    for name, column, kind in (("rewards", "reward", float), ("terminated", "terminated", int)):
        if column in columns:
            numbers = [kind(text) for text in columns.pop(column)]
            found[name] = np.array(numbers, np.float32 if kind is float else np.bool_)
    if list(columns) == ["action"]:
        return found | {"actions": np.array([int(text) for text in columns["action"]])}
    assert list(columns) == list(NUMBERS)
    return found | {"actions": np.array([list(map(float, texts)) for texts in columns.values()]).T}


def from_minari(folder: Path, one: RecordedEpisode) -> dict[str, Any]:
    data = minari.MinariDataset(folder / "boxing-frames-v0" / "data")
    found = data[int(one.name.rpartition("-")[2])]
    return {
        "frames": found.observations,
        "actions": found.actions,
        "rewards": found.rewards,
        "terminated": found.terminations,
    }


READERS: dict[ExportFormat, Callable[[Path, RecordedEpisode], dict[str, Any]]] = {
    "npz": from_npz,
    "video": from_video,
    "minari": from_minari,
}


def check_same(found: dict[str, Any], one: RecordedEpisode) -> None:
    said = {"actions": one.actions, "rewards": one.rewards, "terminated": one.ends}
    wanted = {"frames": frames_of(one)} | {n: v for n, v in said.items() if v is not None}
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [(64, 64), (11, 7)])
def test_an_episode_comes_back_bit_by_bit(
    form: ExportFormat, size: tuple[int, int], tmp_path: Path
) -> None:
    """At 64 x 64 Minari would write JPEG, if it were not told otherwise."""
    one = known_episode(12, *size)
    write_export(outgoing(one), form, tmp_path / "out")
    check_same(READERS[form](tmp_path / "out", one), one)


@pytest.mark.parametrize("form", FORMATS)
def test_continuous_actions_come_back_bit_by_bit(form: ExportFormat, tmp_path: Path) -> None:
    one = continuous_episode()
    write_export(outgoing(one, names=NUMBERS), form, tmp_path / "out")
    check_same(READERS[form](tmp_path / "out", one), one)


def check_imported(folder: Path, *episodes: RecordedEpisode) -> Source:
    source = read_source(folder)
    assert len(source.episodes) == len(episodes)
    for found, one in zip(source.episodes, episodes, strict=True):
        check_same(
            {"frames": frames_of(found), "actions": found.actions}
            | ({} if found.rewards is None else {"rewards": found.rewards})
            | ({} if found.ends is None else {"terminated": found.ends}),
            one,
        )
    return source


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_is_imported_again(form: ExportFormat, tmp_path: Path) -> None:
    first, second = known_episode(12, 11, 7), known_episode(3, 11, 7)
    first = replace(first, actions=np.arange(11) % 3)
    second = replace(second, name="episode-1")
    write_export(outgoing(first, second), form, tmp_path / "out")
    source = check_imported(tmp_path / "out", first, second)
    assert source.kind == form
    assert len(source.action_names) == len(NAMES)
    if form == "video":
        assert source.episodes[0].frame_rate == pytest.approx(60 / 7)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("names", [NUMBERS, ("action", "reward")], ids=["names", "taken names"])
def test_continuous_actions_are_imported_again(
    form: ExportFormat, names: tuple[str, ...], tmp_path: Path
) -> None:
    """Also where the numbers happen to be whole."""
    one = replace(continuous_episode(), actions=np.array([[0.1, 1], [2, -3], [1e-9, 4]]))
    write_export(outgoing(one, names=names), form, tmp_path / "out")
    source = check_imported(tmp_path / "out", one)
    if form == "video" and names == NUMBERS:
        assert source.action_names == NUMBERS


@pytest.mark.parametrize("form", ["npz", "video"])
def test_what_is_not_known_is_not_written(form: ExportFormat, tmp_path: Path) -> None:
    one = episode(noise(3, 8, 8), np.array([2, 0]))
    write_export(outgoing(one), form, tmp_path / "out")
    check_same(READERS[form](tmp_path / "out", one), one)
    check_imported(tmp_path / "out", one)


def test_minari_refuses_what_it_cannot_say_and_leaves_nothing(tmp_path: Path) -> None:
    one = episode(noise(3, 8, 8), np.array([2, 0]))
    with pytest.raises(RequestError, match=r"rewards .* not known.*\n.*--format npz"):
        write_export(outgoing(one), "minari", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_minari_data_set_is_found_by_its_id_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = known_episode(3, 8, 8)
    stopped = replace(ended, ends=np.zeros(2, dtype=np.bool_))
    write_export(outgoing(ended, stopped), "minari", tmp_path / "out")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "out"))
    data = minari.load_dataset("boxing-frames-v0")
    assert data.action_space.n == len(NAMES)
    assert data.observation_space.shape == (8, 8, 3)
    metadata, _ = data.storage.get_episode_metadata([0, 1])
    assert metadata["seed"] == 7
    assert metadata["options"] == {"num_noops": 0}
    assert [data[0].truncations.tolist(), data[1].truncations.tolist()] == [
        [False] * 2,
        [False, True],
    ]
    assert data.storage.metadata["about"]["action_names"] == list(NAMES)


def test_a_video_says_its_frame_rate_and_opencv_reads_the_same_frames(tmp_path: Path) -> None:
    frames = noise(10, 11, 7)
    write_video(tmp_path / "a.mp4", frames, 60 / 7)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(60 / 7)
    read = np.stack([capture.read()[1][..., ::-1] for _ in range(10)])
    assert not capture.read()[0]
    np.testing.assert_array_equal(read, frames)


def test_a_lossy_video_can_be_asked_for(tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    frames = np.stack([ramp + shift for shift in range(0, 100, 10)]).astype(np.uint8)
    write_video(
        tmp_path / "a.mp4",
        frames,
        15,
        codec="libx264",
        options={"crf": "23"},
        pixel_format="yuv420p",
    )
    error = np.abs(decoded(tmp_path / "a.mp4").astype(int) - frames).mean()
    # H.264 at crf 23 is off by a few levels on a smooth ramp; other frames would be by tens.
    assert 0 < error < 5


def test_the_folder_is_whole_or_absent_and_nothing_is_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def broken() -> Any:
        yield noise(8, 8)
        raise OSError("the disk is full")

    one = known_episode(3, 8, 8)
    bad = RecordedEpisode("episode-1", 3, broken, one.actions, one.rewards, one.ends)
    with pytest.raises(StoreError, match="the disk is full"):
        write_export(outgoing(one, bad), "npz", out)
    assert not list(tmp_path.iterdir())
    out.mkdir()
    write_export(outgoing(one), "npz", out)  # an empty folder is taken
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(RequestError, match="nothing in it is changed"):
        write_export(outgoing(one), "video", out)
    assert sorted(path.name for path in out.iterdir()) == before


def test_about_says_what_the_episodes_are(tmp_path: Path) -> None:
    returned = write_export(outgoing(known_episode(5, 8, 6)), "npz", tmp_path / "out")
    about = json.loads((tmp_path / "out" / ABOUT_FILE).read_text())
    assert about == returned
    assert about["game"] == "Boxing"
    assert (about["height"], about["width"], about["num_frames"]) == (8, 6, 5)
    assert about["action_names"] == list(NAMES)
    assert about["episodes"] == [
        {"name": "episode-0", "num_frames": 5, "emulator_seed": 7, "num_noops": 0}
    ]


def kept_frames(folder: Path, bounds: list[int]) -> tuple[FrameSet, KeptEpisodes]:
    num = bounds[-1]
    rows = FrameSet(
        noise(num, 8, 8),
        RNG.integers(0, 3, num),
        RNG.normal(size=num).astype(np.float32),
        RNG.integers(0, 2, num).astype(np.uint8),
        np.array(bounds),
    )
    rows.save(folder)
    return rows, training_episodes(folder, 15.0)


def test_training_frames_are_cut_into_episodes_without_those_of_one_frame(tmp_path: Path) -> None:
    rows, kept = kept_frames(tmp_path, [0, 5, 6, 9])
    assert kept.num_single == 1
    assert [one.name for one in kept.episodes] == ["episode-0", "episode-2"]
    for (first, end), one in zip([(0, 5), (6, 9)], kept.episodes, strict=True):
        np.testing.assert_array_equal(frames_of(one), rows.frames[first:end])
        np.testing.assert_array_equal(one.actions, rows.actions[first : end - 1])
        np.testing.assert_array_equal(one.rewards, rows.rewards[first : end - 1])
        np.testing.assert_array_equal(one.ends, rows.ends[first : end - 1] == 1)
        assert one.num_frames == end - first


def test_names_of_many_episodes_are_in_their_order(tmp_path: Path) -> None:
    _, kept = kept_frames(tmp_path, list(range(0, 23, 2)))
    names = [one.name for one in kept.episodes]
    assert len(names) == 11
    assert all(earlier < later for earlier, later in pairwise(names))


CODES = (0, 3, 4)


def reference(num_steps: int, offset: int, num_valid: int, ended: bool) -> Reference:
    """An episode of `num_steps` actions, whose frame t shows t and whose action t is t % 3."""
    shown = np.arange(num_steps + 1, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    padded = [0] * max(0, -offset)
    first = max(0, offset)
    rows = [*padded, *range(first, first + CONTEXT_FRAMES - len(padded) + num_valid)]
    return Reference(
        EpisodeKey(11, 4),
        tuple(CODES[step % 3] for step in range(num_steps)),
        offset,
        num_valid,
        shown[rows],
        shown[:1],
        tuple(float(step) for step in range(num_steps)),
        shown[rows[-1] + 1 : rows[-1] + 2] if ended else shown[:0],
    )


@pytest.mark.parametrize(
    ("one", "first", "end"),
    [
        (reference(40, 5, 20, ended=False), 5, 41),
        (reference(31, 5, 10, ended=True), 5, 32),
        (reference(6, -13, 2, ended=True), 0, 6),
        (reference(40, 0, 4, ended=False), 0, 20),
    ],
    ids=["in the middle", "to the end", "padded", "from the reset"],
)
def test_held_out_frames_are_those_of_the_game_and_no_padding(
    one: Reference, first: int, end: int, tmp_path: Path
) -> None:
    save_references([one], tmp_path)
    kept = held_out_episodes(tmp_path, CODES, 15.0)
    (found,) = kept.episodes
    steps = list(range(first, end - 1))
    assert frames_of(found)[:, 0, 0, 0].tolist() == list(range(first, end))
    assert found.num_frames == end - first
    assert found.actions.tolist() == [step % 3 for step in steps]
    assert found.rewards is not None and found.rewards.tolist() == steps
    assert found.ends is not None
    assert found.ends.tolist() == [False] * (len(steps) - 1) + [len(one.final) > 0]
    assert kept.origins == ({"emulator_seed": 11, "num_noops": 4, "first_env_step": first},)
