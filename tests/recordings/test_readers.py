"""Every form of a recording is read back exactly: frames, actions, rewards, ends."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import h5py
import minari
import numpy as np
import pandas as pd
import pytest
from minari.data_collector import EpisodeBuffer
from PIL import Image

from diamond.data.videos import decode, open_video
from diamond.errors import RequestError
from diamond.recordings.hdf5_episodes import CSGO_NAMES
from diamond.recordings.reading import read_source
from tests.recordings.made_files import (
    RGB_H264,
    Played,
    played,
    read_frames,
    table,
    write_npz,
    write_pngs,
    write_video,
)

TWO = {"ep 2": played(2), "ep 10 ü": played(10, 12)}
"""In natural order, which is not that of the alphabet."""
NO_ENVIRONMENT = pytest.mark.filterwarnings("ignore::UserWarning:minari")
"""Minari warns where a data set of no environment is written."""
Write = Callable[[Path, str, Played], None]


def _npz(folder: Path, name: str, one: Played) -> None:
    write_npz(folder / f"{name}.npz", one)


def _npy(folder: Path, name: str, one: Played) -> None:
    (folder / name).mkdir()
    np.save(folder / name / "frames.npy", one.frames)
    np.save(folder / name / "actions.npy", one.actions)
    np.save(folder / name / "rewards.npy", one.rewards)
    np.save(folder / name / "terminated.npy", one.ends)


def _into_group(group: h5py.Group, one: Played) -> None:
    group.create_dataset("frames", data=one.frames, chunks=(4, *one.frames.shape[1:]))
    group["actions"] = one.actions
    group["rewards"] = one.rewards
    group["terminated"] = one.ends


def _hdf5(folder: Path, name: str, one: Played) -> None:
    with h5py.File(folder / f"{name}.h5", "w") as file:
        _into_group(file, one)


def _groups(folder: Path, name: str, one: Played) -> None:
    with h5py.File(folder / "all.hdf5", "a") as file:
        _into_group(file.create_group(name), one)


def _h264(folder: Path, name: str, one: Played) -> None:
    write_video(folder / f"{name}.mp4", one.frames, *RGB_H264)
    table(one).to_csv(folder / f"{name}.csv", index=False)


def _ffv1(folder: Path, name: str, one: Played) -> None:
    write_video(folder / f"{name}.mkv", one.frames)
    table(one).to_parquet(folder / f"{name}.parquet")


def _png_inside(folder: Path, name: str, one: Played) -> None:
    write_pngs(folder / name, one.frames)
    table(one).to_csv(folder / name / "actions.csv", index=False)


def _png_beside(folder: Path, name: str, one: Played) -> None:
    write_pngs(folder / name, one.frames)
    table(one).to_csv(folder / f"{name}.csv", index=False)


FORMS: dict[str, tuple[str, Write]] = {
    "npz": ("npz", _npz),
    "npy": ("npy", _npy),
    "hdf5": ("hdf5", _hdf5),
    "hdf5 of groups": ("hdf5", _groups),
    "H.264 of RGB and CSV": ("video", _h264),
    "FFV1 and Parquet": ("video", _ffv1),
    "PNGs with a table inside": ("png", _png_inside),
    "PNGs with a table beside": ("png", _png_beside),
}


@pytest.mark.parametrize(("kind", "write"), FORMS.values(), ids=FORMS)
def test_a_form_is_read_back_bit_by_bit(kind: str, write: Write, tmp_path: Path) -> None:
    for name, one in reversed(TWO.items()):
        write(tmp_path, name, one)
    source = read_source(tmp_path)
    assert source.kind == kind
    assert source.action_names == ("0", "1", "2", "3") and not source.is_continuous
    assert [one.name.rpartition("/")[2] for one in source.episodes] == (
        sorted(TWO) if write is _groups else list(TWO)
    )
    for found in source.episodes:
        one = TWO[found.name.rpartition("/")[2]]
        assert found.num_frames == len(one.frames)
        for _ in range(2):  # Frames can be read again.
            np.testing.assert_array_equal(read_frames(found), one.frames)
        np.testing.assert_array_equal(found.actions, one.actions)
        assert found.rewards is not None and found.ends is not None
        types = [str(values.dtype) for values in (found.actions, found.rewards, found.ends)]
        assert types == ["int64", "float32", "bool"]
        np.testing.assert_array_equal(found.rewards, one.rewards)
        np.testing.assert_array_equal(found.ends, one.ends)
        assert found.frame_rate == (15 if kind == "video" else None)


@pytest.mark.parametrize("write", [_npz, _npy, _hdf5, _ffv1, _png_inside])
def test_one_episode_needs_no_folder_around_it(write: Write, tmp_path: Path) -> None:
    one = played(0)
    write(tmp_path, "one", one)
    (path,) = [entry for entry in tmp_path.iterdir() if entry.suffix != ".parquet"]
    (found,) = read_source(path).episodes
    assert found.name == "one"
    np.testing.assert_array_equal(read_frames(found), one.frames)


def test_csgo_files_are_read_as_the_released_code_reads_them(tmp_path: Path) -> None:
    """Channels are kept as BGR; action i belongs to frame i; folders hold folders of files."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 15, 28, 3), dtype=np.uint8)
    vectors = rng.integers(0, 2, (5, 51)).astype(np.float64)
    (tmp_path / "1-200").mkdir()
    with h5py.File(tmp_path / "1-200" / "hdf5_dm_july2021_1.hdf5", "w") as file:
        for i in range(5):
            file[f"frame_{i}_x"] = frames[i, ..., ::-1]
            file[f"frame_{i}_y"] = vectors[i]
            file[f"frame_{i}_xaux"] = np.zeros(54)
            file[f"frame_{i}_helperarr"] = np.zeros(2)
    source = read_source(tmp_path)
    (found,) = source.episodes
    assert source.is_continuous and source.action_names == CSGO_NAMES
    # Eleven keys, two clicks, 23 mouse moves across and 15 up and down.
    assert source.action_names[11] == "left_click" and source.action_names[13] == "mouse_x_-1000"
    assert source.action_names[24] == "mouse_x_0" and source.action_names[43] == "mouse_y_0"
    assert found.name == "1-200/hdf5_dm_july2021_1" and (found.rewards, found.ends) == (None, None)
    np.testing.assert_array_equal(read_frames(found), frames)
    np.testing.assert_array_equal(found.actions, vectors[:-1])
    with h5py.File(tmp_path / "1-200" / "hdf5_dm_july2021_1.hdf5", "a") as file:
        del file["frame_2_x"]
    with pytest.raises(RequestError, match="holds 4 frames, and lacks frame_2_x"):
        read_source(tmp_path)


def _minari(
    name: str,
    one: Played,
    actions: gym.spaces.Space[Any],
    *,
    lossless: bool,
    data_format: str = "hdf5",
    images: tuple[str, ...] = ("image",),
) -> None:
    image = gym.spaces.Box(0, 255, one.frames.shape[1:], np.uint8)
    taken = one.actions + 3 if isinstance(actions, gym.spaces.Discrete) else one.rewards[:, None]
    buffer = EpisodeBuffer(
        id=0,
        observations={
            "speed": list(np.zeros((len(one.frames), 2))),
            **{key: list(one.frames) for key in images},
        },
        actions=list(taken),
        rewards=[float(reward) for reward in one.rewards],
        terminations=[bool(end) for end in one.ends],
        truncations=[False] * len(one.ends),
        infos={},
    )
    minari.create_dataset_from_buffers(
        name,
        [buffer],
        observation_space=gym.spaces.Dict(
            {"speed": gym.spaces.Box(-1, 1, (2,), np.float64), **dict.fromkeys(images, image)}
        ),
        action_space=actions,
        data_format=data_format,
        jpeg_encoding=not lossless,
        author="me",
        author_email="me@example.com",
        code_permalink="https://example.com",
        algorithm_name="random",
        description="Noise",
    )


@NO_ENVIRONMENT
@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_minari_data_sets_are_read(
    data_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    one = played(0, height=32, width=40)
    discrete = gym.spaces.Discrete(6, start=3)
    _minari("toy/noise-v0", one, discrete, lossless=True, data_format=data_format)
    for path in (Path("toy/noise-v0"), tmp_path / "toy" / "noise-v0"):
        source = read_source(path)
        (found,) = source.episodes
        assert source.kind == "minari"
        assert source.action_names == ("3", "4", "5", "6", "7", "8")
        np.testing.assert_array_equal(read_frames(found), one.frames)
        np.testing.assert_array_equal(found.actions, one.actions)
        assert found.rewards is not None and found.ends is not None
        np.testing.assert_array_equal(found.rewards, one.rewards)
        np.testing.assert_array_equal(found.ends, one.ends)
        assert found.remarks == ()
    with pytest.raises(RequestError, match="Did you mean 'toy/noise-v0'"):
        read_source(Path("toy/noise-v1"))
    with pytest.raises(RequestError, match="the kind minari holds its actions itself"):
        read_source(Path("toy/noise-v0"), tmp_path / "x.csv")


@NO_ENVIRONMENT
def test_minari_frames_of_jpeg_and_numbers_as_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    one = played(0, height=32, width=40)
    numbers = gym.spaces.Box(-9, 9, (1,), np.float32)
    _minari("toy/noise-v0", one, numbers, lossless=False)
    source = read_source(Path("toy/noise-v0"))
    (found,) = source.episodes
    assert source.action_names == ("a0",) and source.is_continuous
    np.testing.assert_array_equal(found.actions[:, 0], one.rewards)
    assert "JPEG" in found.remarks[0]
    buffer = io.BytesIO()
    Image.fromarray(one.frames[3]).save(buffer, format="JPEG")
    np.testing.assert_array_equal(read_frames(found)[3], np.asarray(Image.open(buffer)))


@NO_ENVIRONMENT
@pytest.mark.parametrize(
    ("images", "text"),
    [(("left", "right"), "of which left, right are images"), ((), "has the observations Dict")],
)
def test_minari_observations_that_are_not_one_image_are_refused(
    images: tuple[str, ...], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    one, choice = played(0, height=32, width=40), gym.spaces.Discrete(4)
    _minari("toy/noise-v0", one, choice, lossless=True, images=images)
    with pytest.raises(RequestError, match=text):
        read_source(Path("toy/noise-v0"))


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels", "options"),
    [
        (".mp4", *RGB_H264),
        (".mkv", *RGB_H264),
        (".mkv", "ffv1", "bgr0", {}),
        (".avi", "ffv1", "bgr0", {}),
        (".avi", "huffyuv", "rgb24", {}),
        (".mov", "png", "rgb24", {}),
    ],
)
def test_a_video_of_rgb_without_loss_is_read_bit_by_bit(
    suffix: str, codec: str, pixels: str, options: dict[str, str], tmp_path: Path
) -> None:
    one = played(0)
    write_video(tmp_path / f"one{suffix}", one.frames, codec, pixels, options)
    video = open_video(tmp_path / f"one{suffix}", "--real")
    assert (video.num_frames, video.num_coded, video.frame_rate) == (9, 9, 15)
    np.testing.assert_array_equal(np.stack(list(decode(video))), one.frames)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_colours_that_a_file_does_not_name_are_those_of_bt601(suffix: str, tmp_path: Path) -> None:
    """The equation is that of ITU-R BT.601, levels 16 to 235; the conversion rounds once."""
    planes = np.empty((3, 16, 24), dtype=np.uint8)
    planes[0], planes[1], planes[2] = np.linspace(40, 200, 24), 100, 150
    codec, options = ("ffv1", {}) if suffix == ".avi" else ("libx264", {"qp": "0"})
    frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
    write_video(tmp_path / f"one{suffix}", [frame], codec, "yuv444p", options)
    y, u, v = (planes.astype(np.float64) - np.array([16, 128, 128])[:, None, None]) / np.array(
        [219, 224, 224]
    )[:, None, None]
    red, blue = y + 2 * (1 - 0.299) * v, y + 2 * (1 - 0.114) * u
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    expected = 255 * np.clip(np.stack([red, green, blue], axis=-1), 0, 1)
    (read,) = decode(open_video(tmp_path / f"one{suffix}", "--real"))
    np.testing.assert_allclose(read, expected, atol=1.01)


def test_a_video_is_turned_as_a_player_turns_it(tmp_path: Path) -> None:
    """The matrix of the track header says how: here by a quarter, clockwise."""
    one = played(0)
    write_video(tmp_path / "one.mp4", one.frames, *RGB_H264)
    data = (tmp_path / "one.mp4").read_bytes()
    unit, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    last = (1 << 30).to_bytes(4, "big")
    still = b"".join([unit, zero, zero, zero, unit, zero, zero, zero, last])
    turned = b"".join([zero, unit, zero, minus, zero, zero, zero, zero, last])
    track = data.index(b"tkhd")
    place = data.index(still, track)
    (tmp_path / "one.mp4").write_bytes(data[:place] + turned + data[place + len(still) :])
    read = np.stack(list(decode(open_video(tmp_path / "one.mp4", "--real"))))
    np.testing.assert_array_equal(read, np.rot90(one.frames, -1, axes=(1, 2)))


def test_only_frames_that_players_show_are_read() -> None:
    """12 coded frames, cut without being encoded again: 3 to 11 are shown."""
    video = open_video(Path(__file__).parents[1] / "videos" / "cut.mp4", "--real")
    assert (video.num_coded, video.num_frames) == (12, 9)
    assert len(list(decode(video))) == 9


def test_words_of_all_episodes_are_the_actions(tmp_path: Path) -> None:
    words = {"a": ["up", "None", "up"], "b": ["left", "1", "up"]}
    for name, column in words.items():
        write_pngs(tmp_path / name, played(0, 4).frames)
        pd.DataFrame({"action": column}).to_csv(tmp_path / f"{name}.csv", index=False)
    source = read_source(tmp_path)
    assert source.action_names == ("1", "None", "left", "up")
    for one in source.episodes:
        assert [source.action_names[i] for i in one.actions] == words[one.name]
        assert one.rewards is None and one.ends is None


def test_columns_of_numbers_are_one_vector(tmp_path: Path) -> None:
    one = played(0)
    values = np.random.default_rng(0).normal(size=(8, 2))
    write_video(tmp_path / "one.mkv", one.frames)
    columns = pd.DataFrame({"steer": values[:, 0], "gas": values[:, 1], "reward": one.rewards})
    columns.to_csv(tmp_path / "one.csv", index=False)
    source = read_source(tmp_path / "one.mkv")
    assert source.action_names == ("steer", "gas") and source.is_continuous
    np.testing.assert_array_equal(source.episodes[0].actions, values)


@pytest.mark.parametrize(
    ("values", "names"), [([0.0, 1.0, 2.0], ("0", "1", "2")), ([0.0, 1.0, 0.5], ("action",))]
)
def test_floats_of_a_table_are_indices_where_all_are_whole(
    values: list[float], names: tuple[str, ...], tmp_path: Path
) -> None:
    for name, column in (("a", [0.0, 1.0, 1.0]), ("b", values)):
        write_pngs(tmp_path / name, played(0, 4).frames)
        pd.DataFrame({"action": column}).to_csv(tmp_path / f"{name}.csv", index=False)
    source = read_source(tmp_path)
    assert source.action_names == names
    np.testing.assert_array_equal(source.episodes[1].actions.reshape(-1), values)


def test_one_table_elsewhere_says_the_actions_of_several(tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    rows = []
    for name, one in TWO.items():
        write_video(tmp_path / "seen" / f"{name}.mkv", one.frames)
        rows.append(table(one).assign(episode=name, frame=np.arange(len(one.actions))))
    # Neither episodes nor frames are in order.
    whole = pd.concat(rows).sample(frac=1, random_state=0)
    whole.to_csv(tmp_path / "all.csv", index=False)
    for found in read_source(tmp_path / "seen", tmp_path / "all.csv").episodes:
        np.testing.assert_array_equal(found.actions, TWO[found.name].actions)
        np.testing.assert_array_equal(found.rewards, TWO[found.name].rewards)
    path = tmp_path / "seen" / "ep 2.mkv"
    (found,) = read_source(path, tmp_path / "all.csv").episodes
    np.testing.assert_array_equal(found.actions, TWO["ep 2"].actions)
    whole[whole["episode"] == "ep 2"].to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(RequestError, match="unknown episode 'ep 10 ü'"):
        read_source(tmp_path / "seen", tmp_path / "all.csv")
    whole["episode"] = whole["episode"].replace("ep 2", "ep 3")
    whole.to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(RequestError, match=r"unknown episode 'ep 2'\. Did you mean 'ep 3'"):
        read_source(tmp_path / "seen", tmp_path / "all.csv")
    whole.drop(columns="episode").to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(RequestError, match="no column 'episode', and there are several"):
        read_source(tmp_path / "seen", tmp_path / "all.csv")


def test_as_many_actions_as_frames_are_taken_but_the_last(tmp_path: Path) -> None:
    one = played(0)
    last = np.append(one.actions, 0)
    np.savez(tmp_path / "one.npz", frames=one.frames, actions=last)
    write_pngs(tmp_path / "seen", one.frames)
    column = pd.Series([*map(str, one.actions), None])
    pd.DataFrame({"action": column}).to_csv(tmp_path / "seen" / "actions.csv", index=False)
    for path in (tmp_path / "one.npz", tmp_path / "seen"):
        (found,) = read_source(path).episodes
        np.testing.assert_array_equal(found.actions, one.actions)
        assert found.remarks == ("the last of 9 actions leads to no frame and is left out",)


def test_a_long_episode_is_not_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream no more is asked for than one block: all else is still in the file."""
    one = played(0, 200)
    write_npz(tmp_path / "one.npz", one)
    (found,) = read_source(tmp_path / "one.npz").episodes
    asked: list[int] = []
    read = __import__("zipfile").ZipExtFile.read

    def counted(self: io.BufferedIOBase, size: int = -1) -> bytes:
        data: bytes = read(self, size)
        asked.append(len(data))
        return data

    monkeypatch.setattr("zipfile.ZipExtFile.read", counted)
    next(found.frames())
    assert sum(asked) < one.frames[:40].nbytes


def test_packets_that_no_player_shows_are_not_counted(tmp_path: Path) -> None:
    """The fifth bit of a VP8 frame says whether it is shown; encoders hide references so."""
    write_video(tmp_path / "all.webm", played(0, height=32, width=32).frames, "libvpx", "yuv420p")
    with (
        av.open(str(tmp_path / "all.webm")) as whole,
        av.open(str(tmp_path / "one.webm"), "w") as file,
    ):
        stream = file.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            data = bytearray(bytes(packet))
            if number == 4:
                data[0] &= ~0x10
            if data:
                other = av.Packet(bytes(data))
                other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
                other.is_keyframe, other.stream = packet.is_keyframe, stream
                file.mux(other)
    video = open_video(tmp_path / "one.webm", "--real")
    assert (video.num_coded, video.num_frames) == (9, 8)
    assert len(list(decode(video))) == 8
