"""What stages read of a recording: training sets, held-out references, whether it fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond.config.presets import smoke
from diamond.config.recorded import plan_facts
from diamond.config.recording import ReferencesConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.data.action_space import ActionSpace
from diamond.data.reference_files import load_references, save_references, view_references
from diamond.envs.view import apply_view_all
from diamond.errors import RequestError
from diamond.plan.recordings.recorded_runs import on_recording
from diamond.recordings.episodes import Source
from diamond.recordings.fit import check_fits, check_same_actions
from diamond.recordings.recording_files import StoredRecording, open_recording
from diamond.recordings.sets import action_space, frame_set, recorded_references
from tests.recordings.made_sources import SIZE, keep, source

NATIVE = ViewConfig(height=SIZE, width=SIZE, crop=None)
REFERENCES = smoke("Breakout").references


def kept(given: Source, home: Path, hold_out: str = "0.5") -> StoredRecording:
    return open_recording(home, keep(given, home, hold_out=hold_out).digest)


def numbers(given: Source) -> Source:
    """The same with continuous actions: two numbers, the second one between 0 and 8."""
    return replace(
        given,
        action_names=("x", "y"),
        episodes=tuple(
            replace(one, actions=np.stack([one.actions - 2.0, 2.0 * one.actions], axis=1))
            for one in given.episodes
        ),
    )


def test_a_training_set_is_what_was_recorded(tmp_path: Path) -> None:
    given = source((20, 24, 30))
    recording = kept(given, tmp_path)  # e1 is held out
    frames = frame_set(recording, NATIVE, 1000)
    first, third = given.episodes[0], given.episodes[2]
    assert frames.bounds.tolist() == [0, 20, 50] and frames.pads_starts
    np.testing.assert_array_equal(frames.frames[:20], np.stack(list(first.frames())))
    np.testing.assert_array_equal(frames.frames[20:], np.stack(list(third.frames())))
    np.testing.assert_array_equal(frames.actions[:19], first.actions)
    np.testing.assert_array_equal(frames.actions[20:49], third.actions)
    np.testing.assert_array_equal(frames.rewards[20:49], third.rewards)
    np.testing.assert_array_equal(frames.ends[20:49], third.ends)
    # Final frames have no action.
    for array in (frames.actions, frames.rewards, frames.ends):
        assert not array[[19, 49]].any()
    held_out = frame_set(recording, NATIVE, 1000, held_out=True)
    np.testing.assert_array_equal(held_out.frames, np.stack(list(given.episodes[1].frames())))


def test_a_set_that_is_full_ends_with_a_frame_without_an_action(tmp_path: Path) -> None:
    frames = frame_set(kept(source((20, 24, 30)), tmp_path), NATIVE, 27)
    assert frames.bounds.tolist() == [0, 20, 27]
    assert frames.actions[26] == 0 and frames.ends[26] == 0


def test_a_view_crops_and_resizes_native_frames_alone(tmp_path: Path) -> None:
    given = source((20, 24, 30))
    recording = kept(given, tmp_path)
    native = np.stack(list(given.episodes[0].frames()))
    cropped = ViewConfig(height=8, width=8, crop=(0, 16, 0, 16))
    seen = frame_set(recording, cropped, 20).frames
    np.testing.assert_array_equal(seen, apply_view_all(native, cropped))
    # Frames of the size of the view were cropped before they were recorded.
    own_size = ViewConfig(height=SIZE, width=SIZE, crop=(0, 16, 0, 16))
    np.testing.assert_array_equal(frame_set(recording, own_size, 20).frames, native)


def test_without_rewards_a_set_has_none(tmp_path: Path) -> None:
    given = source((20, 24, 30))
    bare = replace(
        given, episodes=tuple(replace(one, rewards=None, ends=None) for one in given.episodes)
    )
    recording = kept(bare, tmp_path)
    assert not frame_set(recording, NATIVE, 50).rewards.any()
    (reference,) = recorded_references(recording, REFERENCES, None)
    assert reference.rewards is None and len(reference.final) == 0


def test_continuous_actions_are_scaled_by_the_ranges_of_the_recording(tmp_path: Path) -> None:
    given = numbers(source((20, 24, 30)))
    recording = kept(given, tmp_path)
    actions = frame_set(recording, NATIVE, 50).actions
    assert actions.dtype == np.float32 and actions.shape == (50, 2)
    raw = given.episodes[0].actions
    everything = np.concatenate([one.actions for one in given.episodes])
    low, high = everything.min(axis=0), everything.max(axis=0)
    expected = 2 * (raw - low) / (high - low) - 1
    np.testing.assert_allclose(actions[:19], expected, atol=1e-6)


def _windows(recording: StoredRecording, num_starts: int, horizon: int) -> ReferencesConfig:
    return REFERENCES.model_copy(update={"num_starts": num_starts, "horizon_steps": horizon})


@pytest.mark.parametrize("continuous", [False, True])
def test_references_are_windows_of_the_held_out_part(continuous: bool, tmp_path: Path) -> None:
    given = source((20, 80, 23))
    given = numbers(given) if continuous else given
    recording = kept(given, tmp_path, "e1,e2")
    # e1 has 79 frames before its end: windows of 16 + 20 at 0 and 36; e2 has 22: half is context.
    config = _windows(recording, 3, 20)
    save_references(recorded_references(recording, config, None), tmp_path)
    references = load_references(tmp_path)
    space = action_space(recording)
    view = view_references(references, NATIVE, space, 20)
    episodes = [given.episodes[1], given.episodes[2], given.episodes[1]]
    for row, (one, first, real) in enumerate(zip(episodes, (0, 0, 36), (16, 11, 16), strict=True)):
        frames = np.stack(list(one.frames()))[first:]
        padded = CONTEXT_FRAMES - real
        assert view.padded[row] == padded
        np.testing.assert_array_equal(view.context[row, padded:], frames[:real])
        assert (view.context[row, :padded] == frames[0]).all()
        steps = int(view.valid[row].sum())
        np.testing.assert_array_equal(view.targets[row, :steps], frames[real : real + steps])
        # Action i leads from frame i to frame i + 1, in the context and after it.
        used = space.encode(one.actions[first : first + real + steps - 1].tolist())
        np.testing.assert_array_equal(view.actions[row, padded : padded + len(used)], used)
        rewards = one.rewards
        assert rewards is not None
        np.testing.assert_array_equal(
            view.rewards[row, :steps], rewards[first:][real - 1 : real - 1 + steps]
        )
    # The end of e2 is the step after its last frame but one: that frame is the final one.
    assert view.ends[1].sum() == 1 and int(np.flatnonzero(view.ends[1])[0]) == 11
    last = np.stack(list(given.episodes[2].frames()))[-1]
    np.testing.assert_array_equal(view.targets[1, 11], last)
    assert not view.ends[[0, 2]].any()


def test_references_of_a_game_have_its_codes_and_later_starts_are_others(tmp_path: Path) -> None:
    recording = kept(source((20, 120, 30)), tmp_path, "e1")
    config = _windows(recording, 2, 20)
    codes = (0, 1, 3, 4, 11)
    found = list(recorded_references(recording, config, codes))
    taken = recording.parts[1].actions[:35]
    assert found[0].action_codes == tuple(codes[action] for action in taken)
    later = config.model_copy(update={"first_start": 1, "num_starts": 1})
    (second,) = recorded_references(recording, later, codes)
    np.testing.assert_array_equal(np.asarray(second.native), np.asarray(found[1].native))


def _on(recording: StoredRecording, game: str) -> RunConfig:
    return on_recording(smoke(game), (plan_facts(recording.record),), 0)


def test_what_does_not_fit_a_game_is_refused(tmp_path: Path) -> None:
    recording = kept(source((80, 80, 80)), tmp_path)
    breakout = _on(recording, "Breakout")  # 4 actions; the view of smoke is 32 x 32
    with pytest.raises(RequestError, match=r"(?s)5 actions.*has 4.*NOOP"):
        check_fits(recording.record, breakout)
    larger = breakout.model_copy(
        update={"view": breakout.view.model_copy(update={"height": 64, "width": 64})}
    )
    with pytest.raises(RequestError, match=r"(?s)32 x 32.*allowed: 210 x 160 or 64 x 64"):
        check_fits(recording.record, larger)
    check_fits(recording.record, _on(recording, "Boxing"))
    other = kept(numbers(source((80, 80, 81))), tmp_path / "numbers")
    with pytest.raises(RequestError, match="leave --game out"):
        check_fits(other.record, breakout)
    with pytest.raises(RequestError, match="x, y"):
        check_same_actions(other.record, recording.record)
    check_same_actions(other.record, other.record)


def test_a_crop_outside_the_recording_is_refused(tmp_path: Path) -> None:
    recording = kept(source((80, 80, 80)), tmp_path)
    config = _on(recording, "frames:mine")
    check_fits(recording.record, config)
    crop = ViewConfig(height=16, width=16, crop=(0, 40, 0, 32))
    with pytest.raises(RequestError, match=r"view\.crop"):
        check_fits(recording.record, config.model_copy(update={"view": crop}))


def test_an_action_space_is_that_of_the_recording(tmp_path: Path) -> None:
    recording = kept(source((20, 24, 30)), tmp_path)
    assert action_space(recording) == ActionSpace((0, 1, 2, 3, 4))
