"""A recording is kept bit by bit, whole or not at all, and found again."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond.arrays import ByteArray
from diamond.config.recorded import recording_folder
from diamond.engine.store import Store
from diamond.errors import RequestError, StoreError
from diamond.plan.recordings.asked_recordings import read_recording
from diamond.recordings.cuts import DEFAULT_HOLD_OUT, prepare
from diamond.recordings.episodes import Source
from diamond.recordings.examined import Wanted, check_name, examine
from diamond.recordings.reading import read_source
from diamond.recordings.recording_files import list_recordings, open_recording
from diamond.recordings.writing import write_recording
from diamond.studies.garbage import find_garbage
from tests.recordings.made_files import played, write_npz, write_video
from tests.recordings.made_sources import keep, source


def digest(given: Source, hold_out: str = "0.5") -> str:
    return examine(given, Wanted("mine", "files", hold_out)).recording.digest


def frames_of(given: Source, episode: int) -> ByteArray:
    return np.stack(list(given.episodes[episode].frames()))


def test_what_is_kept_is_what_was_given(tmp_path: Path) -> None:
    given = source()
    record = keep(given, tmp_path)
    assert read_recording(tmp_path, "mine") == record
    stored = open_recording(tmp_path, record.digest)
    assert stored.record == record
    assert [part.name for part in stored.parts] == ["e0", "e1", "e2"]
    assert [part.held_out for part in stored.parts] == [False, True, False]
    for number, (part, episode) in enumerate(zip(stored.parts, given.episodes, strict=True)):
        frames = frames_of(given, number)
        np.testing.assert_array_equal(part.frames(), frames)
        np.testing.assert_array_equal(part.frames(3, 7), frames[3:7])
        assert part.frames(4, 4).shape == (0, *frames.shape[1:])
        np.testing.assert_array_equal(part.actions, episode.actions)
        assert part.rewards is not None and part.ends is not None
        np.testing.assert_array_equal(part.rewards, episode.rewards)
        np.testing.assert_array_equal(part.ends, episode.ends)
    with pytest.raises(ValueError, match="frames 0 to 99 of 20"):
        stored.parts[0].frames(0, 99)


def test_numbers_as_actions_are_kept_without_rewards_and_ends(tmp_path: Path) -> None:
    episodes = tuple(
        replace(one, actions=one.actions[:, None] * np.array([1.0, 0.3]), rewards=None)
        for one in source().episodes
    )
    record = keep(Source("npz", episodes, ("steer", "gas")), tmp_path)
    assert record.actions.kind == "continuous" and not record.rewards and record.ends
    part = open_recording(tmp_path, record.digest).parts[2]
    np.testing.assert_array_equal(part.actions, episodes[2].actions)
    assert part.rewards is None and part.ends is not None


def test_equal_recordings_give_equal_files(tmp_path: Path) -> None:
    for home in ("one", "other"):
        keep(source(), tmp_path / home)
    files = [recording_folder(tmp_path / home, "mine") for home in ("one", "other")]
    names = sorted(path.name for path in files[0].iterdir())
    assert "frames.zip" in names
    for name in names:
        assert (files[0] / name).read_bytes() == (files[1] / name).read_bytes()


def test_the_same_frames_of_arrays_and_of_lossless_video_are_one_recording(tmp_path: Path) -> None:
    one = played(0, num_frames=60)
    digests = {}
    for kind in ("npz", "video"):
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "npz":
            np.savez(folder / "first.npz", frames=one.frames, actions=one.actions)
        else:
            write_video(folder / "other.mkv", one.frames)
            rows = "".join(f"{action}\n" for action in one.actions)
            (folder / "other.csv").write_text(f"action\n{rows}")
        given = read_source(folder)
        assert given.kind == kind
        digests[kind] = digest(given)
    assert digests["npz"] == digests["video"]


def _pixel(given: Source) -> Source:
    frames = frames_of(given, 1)
    frames[5, 0, 0, 0] ^= 1
    return _with(given, frames=lambda: iter(frames))


def _action(given: Source) -> Source:
    actions = given.episodes[1].actions.copy()
    actions[4] = (actions[4] + 1) % 5
    return _with(given, actions=actions)


def _reward(given: Source) -> Source:
    return _with(given, rewards=np.zeros(23, dtype=np.float32))


def _end(given: Source) -> Source:
    return _with(given, ends=np.zeros(23, dtype=np.bool_))


def _action_names(given: Source) -> Source:
    return replace(given, action_names=("a", "b", "c", "d", "e"))


def _with(given: Source, **changes: object) -> Source:
    first, second, *others = given.episodes
    return replace(given, episodes=(first, replace(second, **changes), *others))  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [_pixel, _action, _reward, _end, _action_names])
def test_one_number_makes_another_digest(change: Callable[[Source], Source]) -> None:
    assert digest(change(source())) != digest(source())


def test_the_split_is_part_of_the_digest_and_names_of_files_are_not() -> None:
    named = replace(
        source(kind="png"),
        episodes=tuple(
            replace(one, name=f"other {one.name}", frame_rate=30.0) for one in source().episodes
        ),
    )
    assert digest(named) == digest(source())
    assert digest(source(), "e0") != digest(source(), "e1")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RequestError])
def test_what_stops_in_the_middle_leaves_nothing(
    fault: type[BaseException], tmp_path: Path
) -> None:
    found = examine(source(), Wanted("mine", "files", "0.5"))

    def breaks() -> Iterator[ByteArray]:
        yield from frames_of(source(), 1)[:9]
        raise fault("stopped")

    broken = replace(found.prepared, source=_with(found.prepared.source, frames=breaks))
    with pytest.raises(fault):
        write_recording(broken, found.recording, tmp_path)
    assert [path.name for path in (tmp_path / "recordings").iterdir()] == [".lock"]


def test_what_a_killed_import_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "recordings" / ".mine.abcd"
    left.mkdir(parents=True)
    (left / "frames.zip").write_bytes(b"half")
    assert list_recordings(tmp_path) == ()
    keep(source(), tmp_path)
    assert not left.exists()
    assert [one.name for one in list_recordings(tmp_path)] == ["mine"]


def test_files_that_change_after_the_check_are_refused(tmp_path: Path) -> None:
    found = examine(source(), Wanted("mine", "files", "0.5"))
    changed = replace(found.prepared, source=_pixel(found.prepared.source))
    with pytest.raises(RequestError, match="the files changed"):
        write_recording(changed, found.recording, tmp_path)
    assert not recording_folder(tmp_path, "mine").exists()


def test_the_same_recording_is_there_already_and_another_one_is_refused(tmp_path: Path) -> None:
    keep(source(), tmp_path)
    folder = recording_folder(tmp_path, "mine")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = examine(source(), Wanted("mine", "elsewhere", "0.5"))
    assert not write_recording(found.prepared, found.recording, tmp_path)
    with pytest.raises(RequestError, match=r"another recording called 'mine'.*\n.*rm -r .*mine"):
        keep(_pixel(source()), tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_no_study_needs_to_name_a_recording_that_stays(tmp_path: Path) -> None:
    keep(source(), tmp_path)
    assert find_garbage(Store(tmp_path), ()).items == ()


def test_a_name_that_is_not_there_is_told_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no recording yet"):
        read_recording(tmp_path, "mine")
    keep(source(), tmp_path, "drives")
    with pytest.raises(RequestError) as refused:
        read_recording(tmp_path, "drive")
    text = str(refused.value)
    assert "Did you mean 'drives'?" in text and "diamond import-frames PATH --name drive" in text


def test_a_recording_that_is_gone_is_to_be_imported_again(tmp_path: Path) -> None:
    record = keep(source(), tmp_path)
    shutil.rmtree(recording_folder(tmp_path, "mine"))
    with pytest.raises(StoreError, match="import it again"):
        open_recording(tmp_path, record.digest)


@pytest.mark.parametrize("name", ["actions.npy", "rewards.npy", "ends.npy", "frames.zip"])
def test_damage_is_noticed(name: str, tmp_path: Path) -> None:
    record = keep(source(), tmp_path)
    path = recording_folder(tmp_path, "mine") / name
    data = bytearray(path.read_bytes())
    place = len(data) - 1 if name.endswith("npy") else 200
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=name):
        open_recording(tmp_path, record.digest).parts[0].frames()
    path.unlink()
    with pytest.raises(StoreError, match="missing or damaged"):
        open_recording(tmp_path, record.digest).parts[0].frames()


def test_a_damaged_record_is_no_recording(tmp_path: Path) -> None:
    record = keep(source(), tmp_path)
    path = recording_folder(tmp_path, "mine") / "recording.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "height": "tall"}))
    with pytest.raises(StoreError, match=r"recording\.json"):
        read_recording(tmp_path, "mine")
    with pytest.raises(StoreError, match="import it again"):
        open_recording(tmp_path, record.digest)


@pytest.mark.parametrize(
    ("hold_out", "held"),
    [("0.1", [9]), ("0.3", [3, 6, 9]), ("0.05", [9]), ("0", []), ("e2, e7", [2, 7])],
)
def test_held_out_episodes_are_spread_evenly_or_named(hold_out: str, held: list[int]) -> None:
    parts = prepare(source([20] * 10), hold_out).parts
    assert [number for number, part in enumerate(parts) if part.held_out] == held


def test_a_single_episode_is_cut_in_time_and_loses_the_action_across_the_cut(
    tmp_path: Path,
) -> None:
    given = source([200])
    record = keep(given, tmp_path, hold_out="0.25")
    assert [(part.num_frames, part.held_out) for part in record.parts] == [
        (150, False),
        (50, True),
    ]
    assert "last 50 of 200 frames" in record.split
    first, last = open_recording(tmp_path, record.digest).parts
    np.testing.assert_array_equal(last.frames(), frames_of(given, 0)[150:])
    np.testing.assert_array_equal(first.actions, given.episodes[0].actions[:149])
    np.testing.assert_array_equal(last.actions, given.episodes[0].actions[150:])
    assert record.parts[1].ended and not record.parts[0].ended


@pytest.mark.parametrize("shift", [-2, 1])
def test_a_shift_moves_actions_rewards_and_ends_against_frames(shift: int) -> None:
    given = source()
    for number, part in enumerate(prepare(given, "0.5", shift).parts):
        before, episode = given.episodes[number], prepare(given, "0.5", shift).source
        frames = np.stack(list(episode.episodes[number].frames()))
        first = max(0, -shift)
        assert part.num_frames == len(frames) == before.num_frames - abs(shift)
        np.testing.assert_array_equal(frames, frames_of(given, number)[first:][: len(frames)])
        rows = slice(first + shift, first + shift + len(frames) - 1)
        np.testing.assert_array_equal(part.actions, before.actions[rows])
        assert part.rewards is not None and before.rewards is not None
        np.testing.assert_array_equal(part.rewards, before.rewards[rows])


@pytest.mark.parametrize(
    ("hold_out", "shift", "text"),
    [
        ("1.5", 0, "a fraction from 0 to 1"),
        ("nan", 0, "a fraction from 0 to 1"),
        ("e9", 0, "Did you mean 'e2'"),
        (DEFAULT_HOLD_OUT, 19, "--shift 19: episode 'e0' has 20 frames, so that 1 are left"),
    ],
)
def test_a_split_or_shift_that_cannot_be_is_refused(hold_out: str, shift: int, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        prepare(source(), hold_out, shift)


def test_a_single_episode_too_short_for_a_split_is_refused() -> None:
    with pytest.raises(RequestError, match="leaves 1 of the 19 frames"):
        prepare(source([19]))


@pytest.mark.parametrize("name", ["my drive", "a/b", ".hidden", "", "x" * 101])
def test_a_name_that_is_no_folder_everywhere_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="letters, digits"):
        check_name(name)


def test_a_name_with_a_space_is_given_a_better_one() -> None:
    with pytest.raises(RequestError, match="--name my-drive"):
        check_name("my drive")


def test_a_whole_file_of_episodes_round_trips_through_the_reader(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for seed in range(2):
        write_npz(folder / f"{seed}.npz", played(seed, num_frames=30))
    record = keep(read_source(folder), tmp_path / "home")
    part = open_recording(tmp_path / "home", record.digest).parts[0]
    np.testing.assert_array_equal(part.frames(), played(0, num_frames=30).frames)
