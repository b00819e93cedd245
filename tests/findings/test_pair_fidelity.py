"""`diamond fidelity --real A --imagined B`: files of any form against the metrics themselves."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.cli.tables.fidelity_table import fidelity_notes
from diamond.data.reference_files import median_background
from diamond.data.trajectories import natural, read_frame
from diamond.errors import RequestError
from diamond.fidelity.pixel_oracle import score_frame
from diamond.findings.pair_fidelity import Pairs, find_pairs, pairs_result, score_pairs
from diamond.results.metric_model import Estimate

Frames = NDArray[np.uint8]
VIDEOS = Path(__file__).parents[1] / "videos"
COPY, BACKGROUND = "copy last frame", "median background"


def moving(seed: int, num_frames: int = 6, side: int = 32) -> Frames:
    """A bright square that moves over a still random background, with noise of its own."""
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(0, 90, (1, side, side, 3), dtype=np.uint8), num_frames, axis=0)
    for t in range(num_frames):
        frames[t, 8:14, 3 * t + 1 : 3 * t + 7] = 250
    return frames


def blurred(frames: Frames) -> Frames:
    return np.stack([cv2.blur(frame, (3, 3)) for frame in frames]).astype(np.uint8)


def scored(real: Frames, imagined: Frames, background: Frames) -> dict[str, NDArray[np.float64]]:
    """Every metric of single frames, (t,) each."""
    rows = [score_frame(x, y, background) for x, y in zip(real, imagined, strict=True)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def pairs_of(real: Path, imagined: Path, context: int = 0, horizon: int | None = None) -> Pairs:
    return find_pairs(real, imagined, None, context, horizon)


def write_pngs(folder: Path, frames: Frames) -> None:
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{t}.png"), np.ascontiguousarray(frame[..., ::-1]))


def write_video(path: Path, frames: Frames, codec: str) -> None:
    size = frames.shape[2], frames.shape[1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 15, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def write_array(path: Path, frames: Frames) -> None:
    np.save(path.with_suffix(".npy"), frames)


def write_compressed(path: Path, frames: Frames) -> None:
    np.savez_compressed(path.with_suffix(".npz"), frames=frames, other=np.zeros(3))


def write_lossless(path: Path, frames: Frames) -> None:
    write_video(path.with_suffix(".avi"), frames, "HFYU")


def write_floats(path: Path, frames: Frames) -> None:
    np.save(path.with_suffix(".npy"), (frames / 255).astype(np.float32))


EXACT: dict[str, Callable[[Path, Frames], None]] = {
    "npy": write_array,
    "npz": write_compressed,
    "floats": write_floats,
    "png": write_pngs,
    "lossless video": write_lossless,
}


@pytest.mark.parametrize("write", EXACT.values(), ids=EXACT)
def test_every_form_gives_the_scores_of_the_metrics(
    write: Callable[[Path, Frames], None], tmp_path: Path
) -> None:
    """Each of these forms keeps every level.

    The metrics of single frames come from scikit-image, with which the batched ones agree to 1e-6.
    """
    trajectories = {f"episode {n}": moving(n, 5 + n) for n in (0, 2)}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for name, frames in trajectories.items():
        write(tmp_path / "a" / name, frames)
        write_array(tmp_path / "b" / name, blurred(frames))
    pairs = pairs_of(tmp_path / "a", tmp_path / "b", context=2)
    scores = score_pairs(pairs)
    assert pairs.lengths == (3, 5)
    for row, real in enumerate(trajectories.values()):
        last = len(real) - 2
        candidates = {
            "imagined": blurred(real)[2:],
            COPY: np.stack([real[1]] * last),
            BACKGROUND: np.stack([median_background(real)] * last),
        }
        for arm, frames in candidates.items():
            expected = scored(real[2:], frames, median_background(real))
            for name, values in expected.items():
                np.testing.assert_allclose(scores[arm][name][row, :last], values, atol=1e-6)
            for values in scores[arm].values():
                assert np.isnan(values[row, last:]).all()
    # Skill is relative to the mean error of all pairs: that of the baseline itself is 0 on average.
    skill = np.nanmean(scores[COPY]["skill_copy_l1"], axis=0)
    np.testing.assert_allclose(skill, 0, atol=1e-12)


def test_several_in_one_array_are_several_trajectories(tmp_path: Path) -> None:
    real = np.stack([moving(n) for n in range(11)])
    write_array(tmp_path / "real", real)
    write_array(tmp_path / "other", blurred(real.reshape(-1, 32, 32, 3)).reshape(real.shape))
    write_array(tmp_path / "fewer", real[:10])
    with pytest.raises(RequestError, match=r"only under --real: real-00, .* and 6 more"):
        pairs_of(tmp_path / "real.npy", tmp_path / "fewer.npy")
    # Of one file each, as many rows are pairs, whatever the files are called.
    scores = score_pairs(pairs_of(tmp_path / "real.npy", tmp_path / "other.npy"))
    assert scores["imagined"]["psnr"].shape == (11, 6)
    assert COPY not in scores
    assert np.isnan(scores["imagined"]["skill_copy_l1"]).all()
    frozen = scores["imagined"]["frozen"]
    assert np.isnan(frozen[:, 0]).all() and not np.isnan(frozen[:, 1:]).any()


def test_a_horizon_scores_the_first_time_steps(tmp_path: Path) -> None:
    write_array(tmp_path / "a", moving(0))
    write_array(tmp_path / "b", blurred(moving(0)))
    paths = tmp_path / "a.npy", tmp_path / "b.npy"
    whole = score_pairs(pairs_of(*paths, context=1))["imagined"]
    cut = score_pairs(pairs_of(*paths, context=1, horizon=2))["imagined"]
    for name, values in whole.items():
        np.testing.assert_array_equal(cut[name], values[:, :2])
    assert any("the longest has 5" in told for told in pairs_of(*paths, 1, 99).remarks)


def test_what_may_change_a_score_is_said(tmp_path: Path) -> None:
    real = moving(0)
    write_video(tmp_path / "lossy.mp4", real, "mp4v")
    np.save(tmp_path / "floats.npy", np.clip(real / 255 + 0.001, 0, 1))
    pairs = pairs_of(tmp_path / "lossy.mp4", tmp_path / "floats.npy", context=2)
    told = " ".join(pairs.remarks)
    assert "--real: frames come from video" in told
    # 0.001 of the full range is 0.255 of a level.
    assert "--imagined: floats were rounded to 256 levels, by at most 0.26 of a level" in told
    assert "1 of 1 pairs: the 2 context frames are not the same in both" in told


def test_one_still_pair_has_no_interval_and_says_what_is_not_defined(tmp_path: Path) -> None:
    """Where nothing moves nothing differs from the median: no foreground, and no score on it."""
    still = np.repeat(moving(0, 1), 5, axis=0)
    write_array(tmp_path / "a", still)
    write_array(tmp_path / "b", still)
    pairs = pairs_of(tmp_path / "a.npy", tmp_path / "b.npy")
    result = pairs_result(pairs, score_pairs(pairs), "diamond fidelity")
    told = list(fidelity_notes(result))
    assert told[0] == "one start: an interval is not defined"
    never = told[-1].partition(": ")[2].partition("; ")[0].split(", ")
    assert {"psnr_fg", "l1_fg", "ssim_fg", "skill_copy_l1", "foreground_iou"} <= set(never)
    assert not {"l1", "psnr", "ssim"} & set(never)
    found = result.arms[0].metrics
    assert found["l1"]["mean"] == Estimate(mean=0.0, n=1)
    assert found["psnr_fg"]["mean"] is None


def test_names_are_sorted_as_people_count() -> None:
    names = ["10.png", "2.png", "frame_1b.png", "frame_1.png", "02.png"]
    sorted_names = [path.name for path in natural(map(Path, names))]
    assert sorted_names == ["02.png", "2.png", "10.png", "frame_1.png", "frame_1b.png"]


def numbered(folder: Path, *names: str) -> Path:
    """A folder of PNGs of the given names, in their order the frames of a trajectory."""
    folder.mkdir(parents=True)
    for name, frame in zip(names, moving(0, len(names)), strict=True):
        cv2.imwrite(str(folder / "one.png"), frame)
        (folder / "one.png").rename(folder / name)
    return folder


SIX = ("0.png", "1.png", "2.png", "3.png", "4.png", "5.png")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("0.png", "1.png", "3.png", "4.png", "5.png", "6.png"), "lacks frame 2 between"),
        (("0.png", "1.png", "02.png", "2.png", "3.png", "4.png"), "'02.png' and '2.png' are both"),
        (("0.png", "2.png", "4.png", "6.png", "10.png", "12.png"), "lacks frame 8 between"),
        (
            ("0.png", "1.png", "2.png", "10.png", "11.png", "12.png"),
            "lacks frame 3, 4, 5, 6, 7 and more between",
        ),
        (
            ("1.png", "2.png", "3.png", "4.png", "5.png", "6.png"),
            "only under --real: 0\n  only under --imagined: 6",
        ),
        (
            ("0.png", "2.png", "4.png", "6.png", "8.png", "10.png"),
            "only under --imagined: 6, 8, 10",
        ),
        (
            ("0.png", "1.png", "2.png", "3.png", "4.png", "5b.png"),
            "'0.png' to '5b.png' differ in more",
        ),
        (("a1_1.png", "a1_2.png", "a1_3.png", "a2_1.png", "a2_2.png", "a2_3.png"), "in more than"),
    ],
)
def test_frames_are_matched_by_their_numbers(
    names: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    """Before, the i-th file was scored against the i-th: a missing one shifted all later frames."""
    real, imagined = numbered(tmp_path / "a" / "x", *SIX), numbered(tmp_path / "b" / "x", *names)
    for paths in ((real, imagined), (real.parent, imagined.parent)):
        with pytest.raises(RequestError, match=text):
            pairs_of(*paths)


@pytest.mark.parametrize(
    "names",
    [
        SIX,
        ("00.png", "01.PNG", "2.png", "003.png", "4.png", "5.png"),
        tuple(f"run7_t{t}_64x64.png" for t in range(6)),
    ],
)
def test_numbers_are_read_as_people_write_them(names: tuple[str, ...], tmp_path: Path) -> None:
    real, imagined = numbered(tmp_path / "a", *SIX), numbered(tmp_path / "b", *names)
    (imagined / ".DS_Store").write_text("hidden")
    (imagined / "._0.png").write_text("hidden")
    assert (score_pairs(pairs_of(real, imagined))["imagined"]["l1"] == 0).all()


@pytest.mark.parametrize(
    "name", ["run:0", "run%03d", "-run", "a\nb [*] ?", "Ünï cödé", os.fsdecode(b"lat\xe9")]
)
def test_a_video_is_read_by_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg takes `run:0.mp4` for an address; the last name is not UTF-8."""
    monkeypatch.chdir(tmp_path)
    write_array(Path("real"), moving(0))
    write_video(Path("plain.avi"), moving(0), "HFYU")
    Path("plain.avi").rename(f"{name}.avi")
    pairs = pairs_of(Path("real.npy"), Path(f"{name}.avi"))
    assert (score_pairs(pairs)["imagined"]["l1"] == 0).all()


def test_a_picture_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """OpenCV ends the process where it gets one."""
    path = tmp_path / os.fsdecode(b"lat\xe9.png")
    path.write_bytes(b"")
    with pytest.raises(RequestError, match="the name is not UTF-8"):
        read_frame(path, "--real")


def test_of_a_cut_video_the_frames_that_players_show_are_scored(tmp_path: Path) -> None:
    """12 coded frames, cut without being encoded again by `ffmpeg -ss`: 3 to 11 are shown."""
    pairs = pairs_of(VIDEOS / "cut.mp4", VIDEOS / "cut.mp4")
    assert pairs.lengths == (9,)
    assert any("'cut.mp4' holds 12 frames and shows 9" in told for told in pairs.remarks)


def test_a_video_whose_frames_are_not_even_in_time_says_so() -> None:
    """Frame 3 of 8 was left out when it was written, at 15 frames a second."""
    pairs = pairs_of(VIDEOS / "uneven.mp4", VIDEOS / "uneven.mp4")
    assert pairs.lengths == (7,)
    assert any("'uneven.mp4' follow each other after 67 to 133 ms" in r for r in pairs.remarks)


def test_av1_is_read() -> None:
    pairs = pairs_of(VIDEOS / "av1.mp4", VIDEOS / "av1.mp4")
    assert pairs.lengths == (6,)
    assert any("frames come from video (av1)" in told for told in pairs.remarks)


def test_why_a_video_cannot_be_read(tmp_path: Path) -> None:
    write_array(tmp_path / "a", moving(0))
    write_video(tmp_path / "cut.avi", moving(0), "HFYU")
    whole = (tmp_path / "cut.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 7 // 10])
    with pytest.raises(
        RequestError, match=r"is cut or damaged: . frames can be read, .* there are 6"
    ):
        pairs_of(tmp_path / "cut.avi", tmp_path / "a.npy")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(RequestError, match="it is damaged, or another kind of file"):
        pairs_of(tmp_path / "text.mp4", tmp_path / "a.npy")


def _nothing(_: Path) -> None: ...


def _empty_folder(folder: Path) -> None:
    (folder / "a").mkdir()


def _mixed_sizes(folder: Path) -> None:
    write_pngs(folder / "a", moving(0, 2))
    cv2.imwrite(str(folder / "a" / "2.png"), np.zeros((16, 16, 3), np.uint8))


def _sixteen_bits(folder: Path) -> None:
    (folder / "a").mkdir()
    cv2.imwrite(str(folder / "a" / "0.png"), np.zeros((16, 16, 3), np.uint16))


def _text_beside(folder: Path) -> None:
    write_pngs(folder / "a" / "one", moving(0, 2))
    (folder / "a" / "one" / "notes.txt").write_text("mine")


def _not_an_array(folder: Path) -> None:
    (folder / "a.npy").write_bytes(b"\x93NUMPY cut")


def _objects(folder: Path) -> None:
    np.save(folder / "a.npy", np.array([{}], dtype=object), allow_pickle=True)


def _array(values: NDArray[np.generic]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "a.npy", values)


def _not_finite() -> NDArray[np.float64]:
    values = moving(0) / 255
    values[0, 0, 0, 0] = np.nan
    return values


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (_nothing, "there is no such file or folder"),
    "an empty folder": (_empty_folder, "the folder is empty"),
    "mixed sizes": (_mixed_sizes, "2.png has 16 x 16 pixels, 0.png has 32 x 32"),
    "16 bits": (_sixteen_bits, "3 channels of uint16"),
    "something else": (_text_beside, "holds 'notes.txt'"),
    "a cut file": (_not_an_array, "cannot be read as an array"),
    "objects": (_objects, "cannot be read as an array"),
    "channels first": (_array(np.zeros((5, 3, 32, 32), np.uint8)), r"numpy.moveaxis\(x, 1, -1\)"),
    "grey": (_array(np.zeros((5, 32, 32), np.uint8)), r"has the shape \(5, 32, 32\)"),
    "no frames": (_array(np.zeros((0, 32, 32, 3), np.uint8)), "there is no frame in it"),
    "integers": (_array(np.zeros((5, 32, 32, 3), np.int64)), "has the type int64"),
    "NaN": (_array(_not_finite()), "1 numbers are NaN or infinite"),
    "another range": (_array(moving(0).astype(np.float32)), "floats from 0 to 250"),
    "small frames": (_array(np.zeros((6, 5, 5, 3), np.uint8)), "7 x 7 or more"),
    "another length": (_array(moving(0, 5)), r"real \(5, 32, 32, 3\).*imagined \(6, 32, 32, 3\)"),
}


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_scored_is_refused(
    make: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    make(tmp_path)
    path = next(iter(tmp_path.iterdir()), tmp_path / "a.npy")
    small = text.startswith("7")
    write_array(tmp_path / "b", np.zeros((6, 5, 5, 3), np.uint8) if small else moving(0, 6))
    with pytest.raises(RequestError, match=text):
        pairs_of(path, tmp_path / "b.npy")


def test_floats_that_rounding_took_beyond_one_are_taken(tmp_path: Path) -> None:
    frames = moving(0)
    floats = np.where(frames == frames.max(), np.float32(1) + np.float32(2e-7), 0.5)
    write_array(tmp_path / "a", floats.astype(np.float32))
    pairs = pairs_of(tmp_path / "a.npy", tmp_path / "a.npy")
    assert (score_pairs(pairs)["imagined"]["l1"] == 0).all()
    write_array(tmp_path / "b", (floats * 1.00001).astype(np.float32))
    with pytest.raises(RequestError, match=r"floats from 0\.500005 to 1\.00001"):
        pairs_of(tmp_path / "b.npy", tmp_path / "b.npy")


def test_sizes_context_and_background_must_fit(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_array(tmp_path / folder / "one", moving(0))
        write_array(tmp_path / folder / "two", moving(0, side=40))
    with pytest.raises(RequestError, match="'two' has frames of 40 x 40 pixels, 'one' of 32 x 32"):
        pairs_of(tmp_path / "a", tmp_path / "b")
    one = tmp_path / "a" / "one.npy", tmp_path / "b" / "one.npy"
    with pytest.raises(RequestError, match="6 frames, of which 6 are context"):
        pairs_of(*one, context=6)
    for context, horizon in ((-1, None), (0, 0)):
        with pytest.raises(RequestError, match=r"--context -1|--horizon 0"):
            pairs_of(*one, context, horizon)
    np.save(tmp_path / "wide.npy", np.zeros((32, 40, 3), np.uint8))
    with pytest.raises(RequestError, match="32 x 40 pixels, the frames have 32 x 32"):
        find_pairs(*one, tmp_path / "wide.npy", 0, None)


def test_a_given_background_is_used(tmp_path: Path) -> None:
    write_array(tmp_path / "a", moving(0))
    write_array(tmp_path / "b", blurred(moving(0)))
    black = np.zeros((32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "black.png"), black)
    paths = tmp_path / "a.npy", tmp_path / "b.npy"
    scores = score_pairs(find_pairs(*paths, tmp_path / "black.png", 0, None))
    expected = scored(moving(0), blurred(moving(0)), black)["core_ratio"]
    np.testing.assert_allclose(scores["imagined"]["core_ratio"][0], expected, atol=1e-6)
