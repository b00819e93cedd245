"""`diamond export-frames`: what a stage, a study or a recording holds, as files for others."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diamond.config.recorded import DiscreteActions, Recording
from diamond.data.dataset import FrameSet
from diamond.data.frame_files import StoredFrames
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.errors import RequestError, StoreError
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.recordings.content import FrameDigest, content_of, digest_of, part_content
from diamond.recordings.cuts import prepare, read_parts
from diamond.recordings.episodes import RecordedEpisode, Source
from diamond.recordings.export import write_export
from diamond.recordings.writing import write_recording
from diamond.studies.export_frames import find_frames
from tests.commands import STUDY, copy_home, diamond, smoke_plan
from tests.homes import made


def spec_of(stage: str) -> StageSpec:
    run = next(arm for arm in smoke_plan().arms if arm.name == "steps=3").runs[0]
    return next(spec for spec in run.stages if spec.stage == stage)


def key_of(stage: str) -> str:
    return spec_of(stage).key


def export(home: Path, source: str, output: Path, *more: str) -> dict[str, Any]:
    done = diamond(
        "export-frames", source, "--output", str(output), "--home", str(home), "--json", *more
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_training_frames_of_a_study_leave_as_they_were_recorded(
    smoke_home: Path, tmp_path: Path
) -> None:
    said = export(smoke_home, STUDY, tmp_path / "out")
    config = smoke_plan().arms[0].runs[0].config
    kept = FrameSet.load(Store(smoke_home).folder("frames", key_of("frames")))
    with np.load(tmp_path / "out" / "episode-0.npz") as file:
        np.testing.assert_array_equal(file["frames"], kept.frames)
        np.testing.assert_array_equal(file["actions"], kept.actions[:-1])
        np.testing.assert_array_equal(file["rewards"], kept.rewards[:-1])
        np.testing.assert_array_equal(file["terminated"], kept.ends[:-1] == 1)
    assert (said["key"], said["game"]) == (key_of("frames"), "Boxing")
    assert said["environment"]["frame_skip"] == 4
    assert said["view"]["height"] == config.view.height == said["height"]
    assert said["frame_rate"] == 15
    with open_game(config.game, config.environment) as env:
        assert said["action_names"] == list(env.action_names)


def test_the_beginning_of_a_key_names_the_held_out_frames_of_the_whole_screen(
    smoke_home: Path, tmp_path: Path
) -> None:
    said = export(smoke_home, key_of("references")[:9], tmp_path / "out", "--format", "video")
    names = [one["name"] for one in said["episodes"]]
    files = {f"{name}{suffix}" for name in names for suffix in (".mp4", ".csv")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {"about.json"}
    native = StoredFrames(
        Store(smoke_home).folder("references", key_of("references")) / "native.npz", 1
    )
    capture = cv2.VideoCapture(str(tmp_path / "out" / f"{names[1]}.mp4"))
    for frame in np.asarray(native):
        np.testing.assert_array_equal(capture.read()[1][..., ::-1], frame)


def test_people_are_told_what_was_written_and_what_reads_it(
    smoke_home: Path, tmp_path: Path
) -> None:
    folder = Store(smoke_home).folder("references", key_of("references"))
    output = tmp_path / "my frames"
    done = diamond("export-frames", str(folder), "--output", str(output), "--home", str(smoke_home))
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith(f"{output}: 2 episodes, 52 frames of 210 x 160, npz, ")
    assert second.startswith("held-out frames of Boxing by random_held")
    assert last == f"read it again: diamond import-frames '{output}' --name NAME"


WORDS = {
    "a form that is not there": ("--format", "mp4", "unknown --format 'mp4'"),
    "a file as the folder": ("--output", "{file}", "is a file"),
}


@pytest.mark.parametrize(("flag", "value", "text"), WORDS.values(), ids=WORDS)
def test_a_wrong_word_is_refused_with_code_2(
    flag: str, value: str, text: str, smoke_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    given = {"--output": str(tmp_path / "out"), "--home": str(smoke_home)}
    given[flag] = value.format(file=tmp_path / "file")
    done = diamond("export-frames", STUDY, *(word for pair in given.items() for word in pair))
    assert done.returncode == 2
    assert text in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _damaged(home: Path) -> str:
    path = Store(home).folder("frames", key_of("frames")) / "actions.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return key_of("frames")


def _unfinished(home: Path) -> str:
    shutil.rmtree(home / "stages" / "frames")
    Store(home).prepare(spec_of("frames"))
    return key_of("frames")


def _dropped(home: Path) -> str:
    store = Store(home)
    store.keep_only("frames", key_of("frames"), ["frames.npz"], lambda folder: None)
    return key_of("frames")


REFUSED: dict[str, tuple[Callable[[Path], str], str]] = {
    "a word": (lambda _: "boxing", "unknown frames 'boxing'"),
    "nearly a key": (lambda _: key_of("frames")[:-1] + "-", f"Did you mean '{key_of('frames')}'"),
    "another folder": (lambda home: str(home / "stages"), "unknown frames"),
    "imagined frames": (
        lambda _: key_of("rollouts"),
        rf"are imagined; .*\n.*its references are {key_of('references')}",
    ),
    "a network": (
        lambda _: key_of("denoiser"),
        rf"no frames in it\n.*its frames are {key_of('frames')}",
    ),
    "damaged frames": (_damaged, "is damaged: actions.npy"),
    "frames that are not finished": (_unfinished, "is not finished"),
    "frames that were dropped": (_dropped, "are not in this home"),
}


@pytest.mark.parametrize(("change", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_exported_is_refused(
    change: Callable[[Path], str], text: str, smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    with pytest.raises((RequestError, StoreError), match=text):
        find_frames(change(home), Store(home))


def keep_recording(home: Path, name: str, *episodes: RecordedEpisode) -> None:
    """Put a recording into a home, the last episode held out."""
    prepared = prepare(Source("npz", episodes, ("left", "right")), episodes[-1].name)
    parts = []
    for part, frames in read_parts(prepared):
        hashed = FrameDigest()
        for frame in frames:
            hashed.add(frame)
        parts.append(part_content(part, hashed))
    taken = np.concatenate([episode.actions for episode in episodes])
    actions = DiscreteActions(names=("left", "right"), counts=tuple(np.bincount(taken).tolist()))
    record = Recording(
        name=name,
        digest=digest_of(content_of(actions, parts)),
        source="files",
        kind="npz",
        height=9,
        width=7,
        frame_rate=30.0,
        parts=tuple(part.record for part in prepared.parts),
        split=prepared.split,
        actions=actions,
        rewards=False,
        ends=True,
        shift=0,
        alignment=None,
        remarks=("two frames are black",),
    )
    assert write_recording(prepared, record, home)


def test_a_recording_leaves_whole_with_what_is_known_of_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 256, (num, 9, 7, 3), dtype=np.uint8) for num in (5, 20)]
    episodes = [
        RecordedEpisode(
            f"a file {number}.npz",
            len(frames),
            partial(iter, frames),
            rng.integers(0, 2, len(frames) - 1),
            ends=np.arange(len(frames) - 1) == len(frames) - 2,
        )
        for number, frames in enumerate(shown)
    ]
    home = tmp_path / "home"
    keep_recording(home, "mine", *episodes)
    for source in ("mine", "frames:mine"):
        about = write_export(find_frames(source, Store(home)), "npz", tmp_path / source)
        for number, episode in enumerate(episodes):
            with np.load(tmp_path / source / f"episode-{number}.npz") as file:
                assert set(file) == {"frames", "actions", "terminated"}
                np.testing.assert_array_equal(file["frames"], shown[number])
                np.testing.assert_array_equal(file["actions"], episode.actions)
                np.testing.assert_array_equal(file["terminated"], episode.ends)
        assert [one["recorded_as"] for one in about["episodes"]] == [one.name for one in episodes]
        assert [one["part"] for one in about["episodes"]] == ["training", "held out"]
        assert about["action_names"] == ["left", "right"]
        assert "two frames are black" in about["remarks"]
    with pytest.raises(RequestError, match=r"Did you mean 'mine'"):
        find_frames("mines", Store(home))


def test_a_study_with_several_sets_lists_them(tmp_path: Path) -> None:
    plan = make_plan(Request(("steps=1",), "smoke", ("Boxing", "Pong"), 1, "frames", "two"))
    store = made(tmp_path, plan)
    with pytest.raises(RequestError, match="has 2 sets of training frames") as refused:
        find_frames("two", store)
    for spec in plan.stages():
        if spec.stage == "frames":
            assert f"{spec.key}: training frames of {spec.config['game']}" in str(refused.value)


def test_an_agent_keeps_no_frames_and_the_held_out_ones_of_its_study_are_named(
    tmp_path: Path,
) -> None:
    request = Request(("steps=1",), "smoke", ("Boxing",), 1, None, "online", protocol="online")
    store = made(tmp_path, make_plan(request))
    keys = {spec.stage: spec.key for spec in make_plan(request).stages()}
    with pytest.raises(RequestError, match=f"not kept(.|\n)*{keys['references']}: held-out"):
        find_frames("online", store)
    with pytest.raises(RequestError, match="an agent collects are not kept"):
        find_frames(keys["agent"], store)


def test_a_study_that_ends_before_all_frames_says_so(tmp_path: Path) -> None:
    request = Request(("steps=1",), "smoke", ("Boxing",), 1, "inverse_dynamics", "judge")
    store = made(tmp_path, make_plan(request))
    with pytest.raises(RequestError, match=r"ends before any stage .*\n.*diamond show judge"):
        find_frames("judge", store)
