"""Odd files: each is read rightly, with a remark, or refused with a sentence."""

from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.errors import RequestError
from diamond.recordings.action_tables import read_table
from diamond.recordings.reading import read_source
from tests.recordings.made_files import (
    RGB_H264,
    played,
    read_frames,
    table,
    write_npz,
    write_pngs,
    write_video,
)

ONE = played(0)
GREY = ONE.frames[..., 0]
OPAQUE = np.concatenate([ONE.frames, np.full_like(ONE.frames[..., :1], 255)], axis=-1)
THREE_TIMES = np.repeat(GREY[..., None], 3, axis=-1)


def _video(path: Path, frames: ByteArray, codec: str = "ffv1", pixels: str = "bgr0") -> None:
    write_video(path, frames, codec, pixels)
    table(ONE).to_csv(path.with_suffix(".csv"), index=False)


def _npz(folder: Path, **changed: NDArray[np.generic]) -> None:
    arrays: dict[str, NDArray[np.generic]] = {"frames": ONE.frames, "actions": ONE.actions}
    np.savez(folder / "one.npz", allow_pickle=True, **(arrays | changed))


def _pngs(folder: Path, frames: ByteArray, rows: pd.DataFrame | None = None) -> None:
    write_pngs(folder / "one", frames)
    (table(ONE) if rows is None else rows).to_csv(folder / "one.csv", index=False)


def _picture(folder: Path, number: int, picture: NDArray[np.integer]) -> None:
    cv2.imwrite(str(folder / "one" / f"{number}.png"), picture)


def _grey_video(folder: Path) -> None:
    _video(folder / "one.mkv", GREY, "ffv1", "gray")


def _grey_array(folder: Path) -> None:
    _npz(folder, frames=GREY)


def _grey_channel(folder: Path) -> None:
    _npz(folder, frames=GREY[..., None])


def _grey_pngs(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    for number, picture in enumerate(GREY):
        _picture(folder, number, picture)


def _opaque_video(folder: Path) -> None:
    _video(folder / "one.mkv", OPAQUE, "ffv1", "bgra")


def _opaque_array(folder: Path) -> None:
    _npz(folder, frames=OPAQUE)


def _opaque_pngs(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    for number, picture in enumerate(OPAQUE):
        _picture(folder, number, np.ascontiguousarray(picture[..., [2, 1, 0, 3]]))


def _halves(folder: Path) -> None:
    """Levels are steps of 1/255, half precision errs by 1/4096 at most."""
    _npz(folder, frames=(ONE.frames / 255).astype(np.float16))


def _late_frame(folder: Path) -> None:
    write_video(folder / "one.mp4", ONE.frames, *RGB_H264, times=(0, 1, 2, 3, 7, 8, 9, 10, 11))
    table(ONE).to_csv(folder / "one.csv", index=False)


def _columns_first(folder: Path) -> None:
    _npz(folder, frames=np.asfortranarray(ONE.frames))


def _counted_from_one(folder: Path) -> None:
    rows = pd.DataFrame({"action": [*ONE.actions, 0], "frame": np.arange(1, 10)})
    _video(folder / "one.mkv", ONE.frames)
    rows.to_csv(folder / "one.csv", index=False)


def _every_third(folder: Path) -> None:
    rows = table(ONE).assign(frame=np.arange(8) * 3 + 5)
    _pngs(folder, ONE.frames, rows)
    for number in reversed(range(9)):
        (folder / "one" / f"{number}.png").rename(folder / "one" / f"f_{3 * number + 5}.png")


def _words_of_bytes(folder: Path) -> None:
    with h5py.File(folder / "one.h5", "w") as file:
        file["frames"] = ONE.frames
        file["actions"] = [f"{action}".encode() for action in ONE.actions]


def _spaces(folder: Path) -> None:
    (folder / "my game").mkdir()
    _video(folder / "my game" / "day 1, früh.mkv", ONE.frames)


READ: dict[str, tuple[Callable[[Path], None], ByteArray, str]] = {
    "grey video": (_grey_video, THREE_TIMES, "grey frames"),
    "grey array": (_grey_array, THREE_TIMES, "grey frames"),
    "one channel": (_grey_channel, THREE_TIMES, "grey frames"),
    "grey PNGs": (_grey_pngs, THREE_TIMES, "grey frames"),
    "opaque video": (_opaque_video, ONE.frames, "opaque everywhere"),
    "opaque array": (_opaque_array, ONE.frames, "opaque everywhere"),
    "opaque PNGs": (_opaque_pngs, ONE.frames, "opaque everywhere"),
    "half precision": (_halves, ONE.frames, "rounded to 256 levels"),
    "variable frame rate": (_late_frame, ONE.frames, "after 67 to 267 ms: some may have been"),
    "columns first": (_columns_first, ONE.frames, ""),
    "frames counted from 1": (_counted_from_one, ONE.frames, "the last of 9 actions"),
    "every third number": (_every_third, ONE.frames, ""),
    "words of bytes": (_words_of_bytes, ONE.frames, ""),
    "spaces and accents": (_spaces, ONE.frames, "ffv1, bgr0"),
}


@pytest.mark.parametrize(("make", "frames", "remark"), READ.values(), ids=READ)
def test_odd_files_that_are_read_rightly(
    make: Callable[[Path], None], frames: ByteArray, remark: str, tmp_path: Path
) -> None:
    make(tmp_path)
    (path,) = [one for one in tmp_path.iterdir() if one.suffix != ".csv"]
    (found,) = read_source(path).episodes
    np.testing.assert_array_equal(read_frames(found), frames)
    np.testing.assert_array_equal(found.actions, ONE.actions)
    assert remark in " ".join(found.remarks)


def _one_frame(folder: Path) -> None:
    _npz(folder, frames=ONE.frames[:1], actions=ONE.actions[:0])


def _too_few(folder: Path) -> None:
    _npz(folder, actions=ONE.actions[:-1])


def _too_few_rows(folder: Path) -> None:
    _video(folder / "one.mkv", ONE.frames)
    table(ONE)[:-1].to_csv(folder / "one.csv", index=False)


def _ten_bits(folder: Path) -> None:
    write_video(folder / "one.mkv", ONE.frames, "ffv1", "yuv444p10le")
    table(ONE).to_csv(folder / "one.csv", index=False)


def _sixteen_bits(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    _picture(folder, 4, np.zeros((16, 24, 3), np.uint16))


def _see_through() -> ByteArray:
    frames = OPAQUE.copy()
    frames[5, 3, 3, 3] = 254
    return frames


def _transparent_video(folder: Path) -> None:
    _video(folder / "one.mkv", _see_through(), "ffv1", "bgra")


def _transparent_array(folder: Path) -> None:
    _npz(folder, frames=_see_through())


def _transparent_png(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    _picture(folder, 5, _see_through()[5])


def _missing_png(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    (folder / "one" / "3.png").unlink()


def _missing_row(folder: Path) -> None:
    _pngs(folder, ONE.frames, table(ONE).assign(frame=[0, 1, 2, 4, 5, 6, 7, 8]))


def _same_row(folder: Path) -> None:
    _pngs(folder, ONE.frames, table(ONE).assign(frame=[0, 1, 2, 2, 4, 5, 6, 7]))


def _from_one(folder: Path) -> None:
    _pngs(folder, ONE.frames, table(ONE).assign(frame=np.arange(1, 9)))


def _nan_reward(folder: Path) -> None:
    rewards = ONE.rewards.copy()
    rewards[2] = np.nan
    _npz(folder, rewards=rewards)


def _nan_action(folder: Path) -> None:
    actions = np.zeros((8, 2), np.float32)
    actions[6, 1] = np.inf
    _npz(folder, actions=actions)


def _empty_cell(folder: Path) -> None:
    rows = table(ONE).astype({"action": object})
    rows.loc[4, "action"] = "NA"
    _pngs(folder, ONE.frames, rows)


def _nan_frames(folder: Path) -> None:
    frames = ONE.frames / 255
    frames[7, 0, 0, 0] = np.nan
    _npz(folder, frames=frames)


def _object_frames(folder: Path) -> None:
    frames = np.empty(9, dtype=object)
    frames[:] = list(ONE.frames)
    _npz(folder, frames=frames)


def _large_indices(folder: Path) -> None:
    _npz(folder, actions=np.arange(8, dtype=np.uint64) * 300)


def _wide_video(folder: Path) -> None:
    _video(folder / "one.mkv", ONE.frames)
    _video(folder / "two.mkv", ONE.frames[:, :, :20])


def _wide_png(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    _picture(folder, 6, np.zeros((16, 16, 3), np.uint8))


def _cut(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = folder / f"one{suffix}"
        _video(path, played(0, 40).frames)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 7 // 10])

    return make


def _damaged_video(folder: Path) -> None:
    """The table of frames of an .mp4 stays whole."""
    _video(folder / "one.mp4", ONE.frames, "libx264", "yuv420p")
    data = bytearray((folder / "one.mp4").read_bytes())
    place = 2 * len(data) // 3
    data[place : place + 60] = bytes(60)
    (folder / "one.mp4").write_bytes(data)


def _damaged_npz(folder: Path) -> None:
    write_npz(folder / "one.npz", ONE)
    data = bytearray((folder / "one.npz").read_bytes())
    data[3000:3010] = bytes(10)
    (folder / "one.npz").write_bytes(data)


def _cut_hdf5(folder: Path) -> None:
    with h5py.File(folder / "one.hdf5", "w") as file:
        file["frames"], file["actions"] = ONE.frames, ONE.actions
    data = (folder / "one.hdf5").read_bytes()
    (folder / "one.hdf5").write_bytes(data[:9000])


def _two_kinds(folder: Path) -> None:
    _npz(folder)
    np.savez(folder / "two.npz", frames=ONE.frames, actions=np.zeros(8, np.float32))


def _no_table(folder: Path) -> None:
    write_video(folder / "one.mkv", ONE.frames)


def _two_tables(folder: Path) -> None:
    _pngs(folder, ONE.frames)
    table(ONE).to_csv(folder / "one" / "actions.csv", index=False)


def _table_of_nothing(folder: Path) -> None:
    _video(folder / "one.mkv", ONE.frames)
    table(ONE).to_csv(folder / "two.csv", index=False)


def _mixed_forms(folder: Path) -> None:
    _npz(folder)
    _video(folder / "two.mkv", ONE.frames)


def _column(**columns: object) -> Callable[[Path], None]:
    return lambda folder: _pngs(folder, ONE.frames, pd.DataFrame(columns))


def _arrays(**changed: NDArray[np.generic]) -> Callable[[Path], None]:
    return lambda folder: _npz(folder, **changed)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "one frame": (_one_frame, "has 1 frame\n  allowed: 2 or more"),
    "actions one too few": (_too_few, "has 7 actions for 9 frames\n  allowed: 8, action i"),
    "rows one too few": (_too_few_rows, "one.csv' has 7 actions for 9 frames"),
    "10 bits": (_ten_bits, r"10 bits for each colour \(yuv444p10le\)[^$]*-pix_fmt bgr0 -c:v ffv1"),
    "a PNG of 16 bits": (_sixteen_bits, "4.png' has 3 channels of uint16"),
    "a transparent video": (_transparent_video, "is transparent in places"),
    "a transparent array": (_transparent_array, "fourth channel that is not 255 everywhere"),
    "a transparent PNG": (_transparent_png, "5.png' is transparent in places"),
    "a missing PNG": (_missing_png, "lacks frame 3 between"),
    "a missing row": (_missing_row, "'frame' lacks 3: after the rows before it comes 4"),
    "a row twice": (_same_row, "'frame' 2 is there twice"),
    "rows from 1": (_from_one, "'frame' lacks 0"),
    "NaN among rewards": (_nan_reward, "reward 2, counted from 0, is NaN or infinite"),
    "inf among actions": (_nan_action, "action 6, counted from 0, is NaN or infinite"),
    "an empty cell": (_empty_cell, "column 'action' is empty in row 5 below the header"),
    "NaN among frames": (_nan_frames, "1 numbers are NaN or infinite"),
    "frames that are objects": (_object_frames, "'frames' holds Python objects"),
    "int64 frames": (_arrays(frames=ONE.frames.astype(np.int64)), "has the type int64"),
    "channels first": (
        _arrays(frames=np.moveaxis(ONE.frames, -1, 1)),
        r"numpy.moveaxis\(frames, 1, -1\)",
    ),
    "a picture alone": (_arrays(frames=ONE.frames[0]), "this is one frame"),
    "several in one": (_arrays(frames=ONE.frames[None]), "one file, or one group, for each"),
    "negative actions": (_arrays(actions=ONE.actions - 1), "has actions from -1 to 2"),
    "large indices": (_large_indices, "from 0 to 2100[^$]*are they amounts"),
    "actions of three axes": (_arrays(actions=np.zeros((8, 2, 2))), r"float64 \(8, 2, 2\)"),
    "ends that are counts": (
        _arrays(terminated=np.arange(8)),
        "'terminated' is int64 with other values",
    ),
    "rewards one too few": (
        _arrays(rewards=ONE.rewards[:-1]),
        r"'rewards' is \(7,\), there are 8 actions",
    ),
    "mixed sizes": (_wide_video, "'two' has frames of 16 x 20 pixels, 'one' of 16 x 24"),
    "a PNG of another size": (_wide_png, "6.png' has 16 x 16 pixels, 0.png has 16 x 24"),
    "a cut avi": (_cut(".avi"), "is cut or damaged: .* frames can be read, .* there are 40"),
    "a cut mkv": (_cut(".mkv"), "is cut or damaged: .* frames can be read, .* it lasts 2.67 s"),
    "a cut mp4": (_cut(".mp4"), "cannot be read as a video"),
    "a damaged video": (_damaged_video, "is cut or damaged"),
    "a damaged npz": (_damaged_npz, "is damaged or cut"),
    "a cut hdf5": (_cut_hdf5, "cannot be read as HDF5"),
    "two kinds of actions": (_two_kinds, r"actions that are 1 numbers, .*one\.npz' integers"),
    "no table": (_no_table, "has no table of its actions beside it[^$]*--actions FILE"),
    "two tables": (_two_tables, "has 'one.csv' and 'actions.csv' of its actions"),
    "a table of nothing": (_table_of_nothing, "holds 'two.csv', a table of no frames"),
    "mixed forms": (_mixed_forms, "holds 'one.npz', npz and 'two.mkv', video"),
    "no action column": (_column(act=range(8)), "column 'act' holds whole numbers: an index, or"),
    "words beside numbers": (
        _column(x=[0.5] * 8, key=["w"] * 8),
        "column 'key' holds no numbers",
    ),
    "a column without a name": (
        lambda folder: _pngs(folder, ONE.frames, table(ONE).rename(columns={"reward": ""})),
        "column 2 has no name",
    ),
    "infinite numbers": (
        _column(action=[0.5] * 7 + [np.inf]),
        "column 'action' is infinite in row 8",
    ),
    "two words mixed with numbers": (
        _column(action=["0.5", "none"] * 4),
        "column 'action' is empty in row 2 below the header, and in 3 more",
    ),
}


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=REFUSED)
def test_odd_files_that_are_refused(
    make: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    """When the source is opened, or at the latest when its frames are read."""
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RequestError, match=text):
        _ = [read_frames(one) for one in read_source(tmp_path).episodes]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_table_beside_and_another_elsewhere_are_not_guessed_between(tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    _video(tmp_path / "seen" / "one.mkv", ONE.frames)
    table(ONE).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(RequestError, match=r"is a table of the actions of 'one\.mkv', too"):
        read_source(tmp_path / "seen", tmp_path / "other.csv")
    with pytest.raises(RequestError, match=r"ends in '\.mkv'"):
        read_source(tmp_path / "seen", tmp_path / "seen" / "one.mkv")
    with pytest.raises(RequestError, match=r"'.*none\.csv' is no file"):
        read_source(tmp_path / "seen", tmp_path / "none.csv")
    _npz(tmp_path / "seen")
    with pytest.raises(RequestError, match="the kind npz holds its actions itself"):
        read_source(tmp_path / "seen" / "one.npz", tmp_path / "other.csv")


def test_no_path_is_answered_with_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nor a Minari data set[^$]*allowed: an \.npz file"):
        read_source(tmp_path / "nothing")
    (tmp_path / "text.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "text.txt"):
        with pytest.raises(RequestError, match=r"allowed: an \.npz file"):
            read_source(path)


def test_vectors_of_bool_and_integers_are_numbers(tmp_path: Path) -> None:
    buttons = np.random.default_rng(0).integers(0, 2, (8, 3))
    for kind in (np.bool_, np.int8):
        _npz(tmp_path, actions=buttons.astype(kind))
        source = read_source(tmp_path / "one.npz")
        assert source.action_names == ("a0", "a1", "a2") and source.is_continuous
        np.testing.assert_array_equal(source.episodes[0].actions, buttons)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"Action,Reward\n1,0\n", r"a column 'Action': is 'action' meant\?"),
        (b"dx,rewards\n0.5,1\n", r"a column 'rewards': is 'reward' meant\?"),
        (b"0.5,1.5\n0.25,1\n", r"has no header: its first line is '0\.5, 1\.5'"),
        (b"frame;action\n0;1\n", r"cells stand between ';'\n  allowed: commas"),
        (b"dx;dy\n0,5;1,5\n", "allowed: commas between cells, and a point in a number"),
        ("action\nüber\n".encode("latin-1"), "is no text in UTF-8"),
        ("action\n1\n".encode("utf-16"), "is no text in UTF-8"),
    ],
)
def test_a_table_that_would_be_read_wrongly_is_refused(
    text: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / "one.csv").write_bytes(text)
    with pytest.raises(RequestError, match=told):
        read_table(tmp_path / "one.csv")


def test_a_number_that_always_rises_is_told(tmp_path: Path) -> None:
    one = played(0, 14)
    rows = pd.DataFrame({"time": np.arange(13) / 15, "dx": one.rewards})
    write_pngs(tmp_path / "one", one.frames)
    rows.to_csv(tmp_path / "one.csv", index=False)
    (told,) = read_source(tmp_path / "one").episodes[0].remarks
    assert told.startswith("'time' rises from each row to the next")
