"""What a check finds in a recording before anything is written."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from diamond.arrays import ByteArray
from diamond.config.recorded import ContinuousActions
from diamond.data.frame_pairs import WINDOW
from diamond.errors import RequestError
from diamond.recordings.check import CheckReport, check
from diamond.recordings.cuts import prepare
from diamond.recordings.episodes import RecordedEpisode, Source
from diamond.recordings.examined import Wanted, examine
from tests.recordings.made_sources import NAMES, Moved, episode, moved, source


def found(given: Source, hold_out: str = "0.5") -> CheckReport:
    report, _ = check(prepare(given, hold_out))
    return report


def of(*episodes: RecordedEpisode) -> Source:
    return Source("npz", episodes, NAMES)


def changed(given: Source, **changes: object) -> Source:
    first, *others = given.episodes
    return replace(given, episodes=(replace(first, **changes), *others))  # type: ignore[arg-type]


def frames_of(given: Source) -> ByteArray:
    return np.stack(list(given.episodes[0].frames()))


def test_numbers_of_a_recording_are_counted() -> None:
    given = source()
    report = found(given)
    assert (report.num_episodes, report.num_frames) == (3, 74)
    assert report.episodes.model_dump() == {"min": 20, "median": 24, "max": 30}
    assert (report.height, report.width) == (32, 32)
    every = np.concatenate([np.stack(list(one.frames())) for one in given.episodes])
    assert report.levels == (every.min(), every.max())
    assert report.actions.kind == "discrete"
    taken = np.concatenate([one.actions for one in given.episodes]).tolist()
    assert report.actions.counts == tuple(taken.count(action) for action in range(5))
    assert report.rewards is not None
    assert (report.rewards.negative, report.rewards.zero, report.rewards.positive) == (0, 3, 68)
    assert report.rewards.sum == sum(sum(range(n - 1)) for n in (20, 24, 30))
    assert report.num_ends == 3
    assert (report.held_out, report.held_out_frames) == (1, 24)
    assert report.problems == ()


def test_ranges_of_numbers_are_those_of_all_episodes() -> None:
    actions = [np.array([[0.5, 2.0]] * 19), np.array([[-0.25, 2.0]] * 23)]
    pairs = zip(source((20, 24)).episodes, actions, strict=True)
    episodes = tuple(replace(one, actions=own) for one, own in pairs)
    report = found(Source("npz", episodes, ("steer", "gas")))
    assert report.actions == ContinuousActions(
        names=("steer", "gas"), low=(-0.25, 2.0), high=(0.5, 2.0)
    )
    assert "always the same number: gas" in report.remarks


def _still(rows: Sequence[int]) -> ByteArray:
    frames = moved(0, 20, max_hold=1).frames
    frames += np.arange(20, dtype=np.uint8)[:, None, None, None]
    for row in rows:
        frames[row] = frames[row - 1]
    return frames


def test_repeated_frames_are_counted_with_their_longest_run() -> None:
    frames = _still([3, 8, 9, 10])
    given = changed(source(), frames=lambda: iter(frames))
    report = found(given, "e1")
    others = sum(
        int((np.diff(np.stack(list(one.frames())), axis=0) == 0).all(axis=(1, 2, 3)).sum())
        for one in given.episodes[1:]
    )
    assert report.repeats.num == 4 + others


def test_the_longest_run_says_where() -> None:
    one = Moved(_still([3, 8, 9, 10]), moved(0, 20).actions)
    other = Moved(_still([]), moved(1, 20).actions)
    report = found(of(episode("a", other), episode("b", one)))
    assert report.repeats.model_dump() == {"num": 4, "longest_run": 3, "where": "b, frame 8"}
    assert any("4 of 40 frames equal the one before" in remark for remark in report.remarks)


def test_dark_frames_and_those_of_one_colour_are_black() -> None:
    frames = frames_of(source())
    frames[4] = np.random.default_rng(0).integers(0, 17, frames[4].shape)
    frames[7] = 90
    report = found(changed(source(), frames=lambda: iter(frames)))
    assert report.num_black == 2
    assert any("first e0, frame 4" in remark for remark in report.remarks)


def test_an_episode_that_never_changes_is_named() -> None:
    still = np.repeat(frames_of(source())[:1], 20, axis=0)
    report = found(changed(source(), frames=lambda: iter(still)))
    assert report.constant == ("e0",) and report.problems == ()
    assert "all frames are equal in e0" in report.remarks


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rewards": None}, "2 of 3 episodes have rewards: they are left out"),
        ({"frame_rate": 30.0}, "episodes differ in their frame rate"),
        ({"remarks": ("alpha was left out",)}, "alpha was left out"),
    ],
)
def test_what_must_be_known_is_remarked(changes: dict[str, object], text: str) -> None:
    report = found(changed(source(), **changes))
    assert any(text in remark for remark in report.remarks)


def test_without_rewards_and_ends_a_study_ends_at_fidelity() -> None:
    report = found(of(*(episode(f"e{n}", moved(n, 20), rewarded=False) for n in range(3))))
    assert report.rewards is None and report.num_ends is None
    text = "no rewards and no ends: there is no reward/end model and no policy"
    assert any(remark.startswith(text) for remark in report.remarks)


@pytest.mark.parametrize(
    ("hold_out", "text"), [("0", "nothing is held out"), ("1", "all is held out")]
)
def test_a_split_with_one_side_is_remarked(hold_out: str, text: str) -> None:
    assert any(text in remark for remark in found(source(), hold_out).remarks)


def _all_equal() -> Source:
    still = np.repeat(frames_of(source())[:1], 20, axis=0)
    return of(*(episode(f"e{n}", Moved(still, moved(n, 20).actions)) for n in range(3)))


def _one_action() -> Source:
    nothing = np.ones(19, dtype=np.int64)
    return of(*(episode(f"e{n}", Moved(moved(n, 20).frames, nothing)) for n in range(3)))


PROBLEMS = {
    "frames that never change": (_all_equal(), "no frame differs from the one before"),
    "one action": (_one_action(), "the action is always the same"),
    "short held-out parts": (source((40, 2, 40)), "the longest held-out part has 2 frames"),
}


@pytest.mark.parametrize(("given", "text"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_recording_of_which_nothing_can_be_learnt_is_refused(given: Source, text: str) -> None:
    examined = examine(given, Wanted("mine", "files", "e1" if "longest" in text else "0.5"))
    (problem,) = examined.report.problems
    assert text in problem
    with pytest.raises(RequestError, match="'files' cannot be used"):
        examined.require_sound()


def test_frames_of_two_sizes_are_refused() -> None:
    first, second, third = source().episodes
    half = replace(second, frames=lambda: (one[:16] for one in second.frames()))
    with pytest.raises(RequestError, match=r"'e1', frame 0 has 16 x 32 pixels.* 32 x 32"):
        found(of(first, half, third))


@pytest.mark.parametrize(("num", "text"), [(12, "ends after 12 of 20"), (25, "has more than 20")])
def test_an_episode_of_another_length_than_was_said_is_refused(num: int, text: str) -> None:
    frames = moved(0, num).frames
    with pytest.raises(RequestError, match=text):
        found(changed(source(), frames=lambda: iter(frames)))


@pytest.mark.parametrize("lag", [-1, 1])
def test_a_lag_is_a_warning_and_the_shift_that_it_names_mends_it(lag: int) -> None:
    one = moved(0, 1400)
    late, early = max(0, lag), max(0, -lag)
    given = of(
        episode(
            "e0",
            Moved(
                one.frames[late : len(one.frames) - early],
                one.actions[early : len(one.actions) - late],
            ),
        )
    )
    examined = examine(given, Wanted("mine", "files"))
    assert examined.warning is not None
    assert f"1 step too {'late' if lag > 0 else 'early'}" in examined.warning
    assert f"shows action i{lag:+d}" in examined.warning
    assert f"--shift {lag} mends it" in examined.warning
    assert examined.warning in examined.recording.remarks
    mended = examine(given, Wanted("mine", "files", shift=lag))
    assert mended.warning is None and mended.recording.shift == lag
    assert mended.recording.alignment is not None
    assert (mended.recording.alignment.lag, mended.recording.alignment.told) == (0, True)


def test_frames_that_do_not_show_actions_are_remarked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 32, 32, 3), dtype=np.uint8)
    examined = examine(of(episode("e0", Moved(noise, moved(1, 700).actions))), Wanted("a", "b"))
    assert examined.warning is None
    assert examined.recording.remarks[-1].startswith("whether actions fit their frames cannot be")


def test_small_pairs_are_of_the_frames_that_passed() -> None:
    _, pairs = check(prepare(source((40, 60)), "0.5"))
    assert len(pairs.before) == len(pairs.after) == len(pairs.parts) > 40
    assert pairs.actions.shape == (len(pairs.before), len(WINDOW))


@pytest.mark.parametrize(
    ("num_frames", "told"), [(5, "an episode of 20 frames or more"), (30, "a smaller fraction")]
)
def test_what_helps_a_short_single_episode_is_told(num_frames: int, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        prepare(of(episode("one", moved(0, num_frames))), "0.99")
