"""Recorded frames, segments and held-out references."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from diamond.config.presets import make_preset
from diamond.config.recording import CounterfactualsConfig, PlayConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.data import segments as segments_module
from diamond.data.action_space import ActionSpace
from diamond.data.collect import STILL_STRIDE, _record, collect_frames, collect_references
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import (
    Reference,
    backgrounds_of,
    load_references,
    save_references,
    view_references,
)
from diamond.data.segments import SegmentSampler
from diamond.envs.open_game import open_game
from diamond.envs.real_game import EpisodeKey, draw_episode_key
from diamond.envs.view import apply_view, apply_view_all
from diamond.errors import StageFailedError
from diamond.part import Extent
from diamond.records import to_unit
from diamond.rng import numpy_generator, torch_generator
from diamond.seeds import Purpose

RANDOM_PLAY = PlayConfig(collector="random_held", max_hold_steps=8, random_fraction=1.0)


def numbered(lengths: list[int]) -> FrameSet:
    """Episodes of 1x1 frames that show their own row; the last action of an episode ends it."""
    bounds = np.cumsum([0, *lengths]).astype(np.int64)
    n = int(bounds[-1])
    rows = np.arange(n)
    ends = np.isin(rows, bounds[1:] - 2).astype(np.uint8)
    frames = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (n, 1, 1, 3)).copy()
    return FrameSet(frames, rows % 7, rows.astype(np.float32), ends, bounds)


def rows_of(dataset: FrameSet, num_steps: int, batch_size: int, seed: int = 0) -> NDArray[np.int64]:
    generator = torch_generator(seed, Purpose.DENOISER_SEGMENTS)
    segments = SegmentSampler(dataset, Extent(num_steps)).sample(batch_size, generator)
    shown = segments.frames[:, :, 0, 0, 0].add(1).mul(127.5).round().long().numpy()
    assert segments.actions.tolist() == (shown[:, :-1] % 7).tolist()
    assert segments.rewards.tolist() == shown[:, :-1].tolist()
    assert segments.ends.tolist() == dataset.ends[shown[:, :-1]].tolist()
    return np.asarray(shown)


def test_segments_become_floats_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames reach a device as bytes; `meta` stands for one that is not the processor."""
    devices: list[tuple[torch.device, torch.dtype]] = []

    def note(frames: Tensor) -> Tensor:
        devices.append((frames.device, frames.dtype))
        return to_unit(frames)

    monkeypatch.setattr(segments_module, "to_unit", note)
    meta = torch.device("meta")
    for padded in (False, True):
        sampler = SegmentSampler(numbered([9]), Extent(2, padded))
        generator = torch_generator(0, Purpose.DENOISER_SEGMENTS)
        drawn = vars(sampler.sample(4, generator, meta)).values()
        assert {value.device for value in drawn if isinstance(value, Tensor)} == {meta}
    assert devices == [(meta, torch.uint8)] * 2


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 11), st.integers(0, 9))
def test_segments_stay_inside_one_episode(lengths: list[int], num_steps: int, seed: int) -> None:
    dataset = numbered(lengths)
    if max(lengths) <= num_steps:
        with pytest.raises(StageFailedError, match=f"no episode has {num_steps} env steps"):
            rows_of(dataset, num_steps, 16)
        return
    rows = rows_of(dataset, num_steps, 16, seed)
    assert rows.shape == (16, num_steps + 1)
    assert (np.diff(rows, axis=1) == 1).all()
    episodes = np.searchsorted(dataset.bounds, rows, side="right")
    assert (episodes == episodes[:, :1]).all()


def test_every_segment_is_equally_likely() -> None:
    """Episodes of 3, 6 and 2 frames have 1, 4 and 0 segments of two env steps."""
    first_rows = rows_of(numbered([3, 6, 2]), 2, 4000)[:, 0]
    starts, counts = np.unique(first_rows, return_counts=True)
    assert starts.tolist() == [0, 3, 4, 5, 6]
    # Four standard deviations of a binomial share of 1/5.
    assert np.abs(counts / 4000 - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 4000)


def test_the_true_final_frame_is_reached_with_its_end() -> None:
    dataset = numbered([5, 4])
    generator = torch_generator(0, Purpose.REWARD_END_SEGMENTS)
    segments = SegmentSampler(dataset, Extent(2)).sample(64, generator)
    last_frames = segments.frames[:, -1, 0, 0, 0].add(1).mul(127.5).round().long()
    for row in (4, 8):
        found = last_frames == row
        assert found.any()
        assert segments.ends[found, -1].bool().all()
    assert not segments.ends[:, 0].any()
    assert not segments.ends[(last_frames != 4) & (last_frames != 8)].any()


def padded_rows(
    dataset: FrameSet, num_steps: int, batch_size: int, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Rows of each padded segment without its padding, the last of them without an action."""
    generator = torch_generator(seed, Purpose.REWARD_END_SEGMENTS)
    extent = Extent(num_steps, padded=True)
    segments = SegmentSampler(dataset, extent).sample(batch_size, generator)
    assert segments.frames.shape[:2] == (batch_size, num_steps + 1)
    assert segments.valid.shape == (batch_size, num_steps)
    shown = segments.frames[:, :, 0, 0, 0].add(1).mul(127.5).round().long().numpy()
    found = []
    for item, valid in enumerate(segments.valid):
        n = int(valid.sum())
        assert valid.tolist() == [True] * n + [False] * (num_steps - n)
        rows = shown[item, : n + 1]
        assert segments.actions[item, :n].tolist() == dataset.actions[rows[:-1]].tolist()
        assert segments.rewards[item, :n].tolist() == rows[:-1].tolist()
        assert segments.ends[item, :n].tolist() == dataset.ends[rows[:-1]].tolist()
        found.append(np.asarray(rows))
    return found


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 15), st.integers(0, 9))
def test_padded_segments_are_cut_at_the_edges_of_their_episode(
    lengths: list[int], num_steps: int, seed: int
) -> None:
    """Also where every episode is shorter than a segment; one step at least is always there."""
    dataset = numbered(lengths)
    if max(lengths) == 1:
        with pytest.raises(StageFailedError, match="no episode has 1 env steps"):
            padded_rows(dataset, num_steps, 16)
        return
    for rows in padded_rows(dataset, num_steps, 16, seed):
        assert len(rows) >= 2
        assert (np.diff(rows) == 1).all()
        first, last = np.searchsorted(dataset.bounds, rows[[0, -1]], side="right")
        assert first == last
        # A segment is short only where its episode begins or has its final frame.
        assert len(rows) == num_steps + 1 or rows[0] == dataset.bounds[first - 1] or (
            rows[-1] == dataset.bounds[first] - 1
        )  # fmt: skip


def expected_labels(lengths: list[int], num_steps: int) -> NDArray[np.float64]:
    """Mean number of times that a segment holds each row: all draws of the rule, counted."""
    bounds = np.cumsum([0, *lengths])
    counts, num_draws = np.zeros(bounds[-1]), 0
    for low, high in pairwise(bounds):
        for step in range(low, high - 1):
            for place in range(num_steps):
                begin = step - place
                counts[max(begin, low) : min(begin + num_steps, high - 1)] += 1
                num_draws += 1
    return counts / num_draws


@pytest.mark.parametrize(("lengths", "num_steps"), [([13, 6, 2, 1, 9], 4), ([5, 3], 7), ([9], 1)])
def test_an_env_step_is_seen_as_often_as_the_rule_says(lengths: list[int], num_steps: int) -> None:
    num_draws = 20_000
    found = np.zeros(sum(lengths))
    for rows in padded_rows(numbered(lengths), num_steps, num_draws):
        found[rows[:-1]] += 1
    expected = expected_labels(lengths, num_steps)
    # A segment holds a row or not: four standard deviations of a binomial share.
    tolerance = 4 * np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(found / num_draws - expected) <= tolerance).all()


@pytest.mark.parametrize("num_steps", [1, 4, 19])
def test_the_first_and_last_env_step_are_seen_half_as_often_as_the_others(num_steps: int) -> None:
    """The closed form that the documentation states: (t + 1) / 2 of t."""
    expected = expected_labels([101], num_steps) * 100
    assert expected[-1] == 0  # the final frame has no action
    assert expected[50] == pytest.approx(num_steps)
    assert expected[[0, 99]] == pytest.approx((num_steps + 1) / 2)


def test_sampling_is_a_function_of_the_generator() -> None:
    dataset = numbered([20, 30])
    assert rows_of(dataset, 3, 8, 1).tolist() == rows_of(dataset, 3, 8, 1).tolist()
    assert rows_of(dataset, 3, 8, 1).tolist() != rows_of(dataset, 3, 8, 2).tolist()
    padded = [np.concatenate(padded_rows(dataset, 3, 8, seed)).tolist() for seed in (1, 1, 2)]
    assert padded[0] == padded[1] != padded[2]


def test_a_frame_set_survives_the_disk(tmp_path: Path) -> None:
    dataset = numbered([4, 1, 7])
    dataset.save(tmp_path)
    loaded = FrameSet.load(tmp_path)
    for name in ("frames", "actions", "rewards", "ends", "bounds"):
        mine, theirs = getattr(dataset, name), getattr(loaded, name)
        assert np.array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    assert rows_of(loaded, 3, 8).tolist() == rows_of(dataset, 3, 8).tolist()


def config_of(game: str, **frames: object) -> RunConfig:
    base = make_preset("smoke", game)
    play = base.frames.model_copy(update={"play": RANDOM_PLAY, **frames})
    return base.model_copy(update={"frames": play})


def record(config: RunConfig, seed: int = 0) -> FrameSet:
    return collect_frames(
        config.game, config.environment, config.view, config.frames, seed, lambda done, total: None
    )


@pytest.fixture(scope="module")
def breakout() -> FrameSet:
    """Random play: some lives lost, one game over at least."""
    return record(config_of("Breakout", num_frames=600))


def test_frames_are_exactly_as_many_as_wanted(breakout: FrameSet) -> None:
    assert breakout.frames.shape == (600, 32, 32, 3)
    assert breakout.bounds[0] == 0
    assert breakout.bounds[-1] == 600
    assert (np.diff(breakout.bounds) > 0).all()


def test_the_last_row_of_an_episode_has_no_action(breakout: FrameSet) -> None:
    final = breakout.bounds[1:] - 1
    assert not breakout.actions[final].any()
    assert not breakout.rewards[final].any()
    assert not breakout.ends[final].any()
    assert breakout.actions.max() == 3


def test_an_episode_of_the_set_ends_where_a_life_is_lost(breakout: FrameSet) -> None:
    """All but the last, cut episode end with an end, and there is no end anywhere else."""
    before_final = breakout.bounds[1:-1] - 2
    assert len(before_final) >= 5
    assert np.flatnonzero(breakout.ends).tolist() == before_final.tolist()


def test_frames_are_what_the_emulator_shows(breakout: FrameSet) -> None:
    """Replay of the first two games from their derived keys and the recorded action indices."""
    config = config_of("Breakout")
    env = open_game("Breakout", config.environment)
    row = 0
    for game_index in range(2):
        rng = numpy_generator(0, Purpose.FRAMES_EMULATOR, game_index)
        frame, terminated = env.begin(draw_episode_key(rng, config.environment)), False
        while not terminated and row < 600:
            assert np.array_equal(breakout.frames[row], apply_view(frame, config.view))
            if row == 599:
                return
            frame, reward, terminated, _, info = env.step(int(breakout.actions[row]))
            assert breakout.rewards[row] == reward
            assert breakout.ends[row] == (terminated or info["life_lost"])
            row += 1
            if breakout.ends[row - 1]:
                # The final frame of the segment; the next episode begins with the same frame.
                assert np.array_equal(breakout.frames[row], apply_view(frame, config.view))
                row += 1
    assert row > 300


@pytest.mark.parametrize("num_frames", [64, 65, 90])
def test_a_set_may_be_cut_anywhere(num_frames: int, breakout: FrameSet) -> None:
    """A shorter set is the beginning of a longer one, up to the cut."""
    short = record(config_of("Breakout", num_frames=num_frames))
    assert len(short.frames) == num_frames
    assert np.array_equal(short.frames, breakout.frames[:num_frames])
    assert np.array_equal(short.actions[:-1], breakout.actions[: num_frames - 1])
    assert short.bounds[-1] == num_frames


def test_the_set_can_be_cut_at_an_end_and_beside_it(breakout: FrameSet) -> None:
    """The cut falls on a final frame, on the row before it and on the row after it."""
    boundary = int(next(b for b in breakout.bounds[1:] if b >= 66))
    for total in (boundary - 1, boundary, boundary + 1):
        short = record(config_of("Breakout", num_frames=total))
        assert short.bounds[-1] == len(short.frames) == total
        assert (np.diff(short.bounds) > 0).all()
        final = short.bounds[1:] - 1
        assert not short.actions[final].any()
        assert not short.ends[final].any()
        assert short.ends.sum() == (short.bounds[-1] >= boundary) + (
            breakout.ends[: boundary - 2].sum()
        )


def test_smoke_frames_are_a_function_of_the_data_seed() -> None:
    config = config_of("Boxing", num_frames=100)
    first, again, other = record(config), record(config), record(config, seed=1)
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.actions, again.actions)
    assert not np.array_equal(first.frames, other.frames)


def references_of(game: str, seed: int = 0, **changes: object) -> list[Reference]:
    config = make_preset("smoke", game)
    wanted = config.references.model_copy(update={"play": RANDOM_PLAY, **changes})
    return list(
        collect_references(game, config.environment, wanted, seed, lambda done, total: None)
    )


@pytest.fixture(scope="module")
def held_out() -> list[Reference]:
    """Breakout under random play: lives are lost inside the horizon."""
    return references_of("Breakout", num_starts=5, horizon_steps=60, max_offset_steps=40)


def test_references_are_other_episodes_than_the_frames(
    held_out: list[Reference], breakout: FrameSet
) -> None:
    """Neither a key nor a sequence of actions is shared, among themselves or with the set."""
    emulator = make_preset("smoke", "Breakout").environment
    training = {
        draw_episode_key(numpy_generator(0, Purpose.FRAMES_EMULATOR, index), emulator).emulator_seed
        for index in range(1000)
    }
    seeds = [reference.key.emulator_seed for reference in held_out]
    assert len(set(seeds)) == len(seeds) == 5
    assert not training & set(seeds)
    # 16 actions in stretches of 4.5 on average: the chance of one accidental match is below 1e-3.
    codes = open_game("Breakout", emulator).action_codes
    firsts = [reference.action_codes[:16] for reference in held_out]
    firsts += [tuple(codes[a] for a in breakout.actions[:16])]
    assert len(set(firsts)) == 6


def test_a_reference_is_made_again_by_replay(held_out: list[Reference]) -> None:
    """Key and action codes give the stored native frames, bit for bit, by the bare environment."""
    config = make_preset("smoke", "Breakout").environment
    env = open_game("Breakout", config.model_copy(update={"actions": tuple(range(18))}))
    for reference in held_out:
        frames = [env.begin(reference.key)]
        lost_at = []
        for step, code in enumerate(reference.action_codes):
            frame, _, terminated, _, info = env.step(code)
            frames.append(frame)
            if terminated or info["life_lost"]:
                lost_at.append(step + 1)
        num_kept = CONTEXT_FRAMES + reference.num_valid_steps
        kept = frames[reference.offset : reference.offset + num_kept]
        assert len(reference.native) == num_kept
        assert np.array_equal(np.stack(kept), reference.native)
        stills = frames[: reference.offset + num_kept : STILL_STRIDE]
        assert np.array_equal(np.stack(stills), reference.stills)
        # Valid frames reach up to the first one that shows a lost life after the context.
        begin = reference.offset + CONTEXT_FRAMES
        after = [row for row in lost_at if row >= begin]
        assert reference.num_valid_steps == (after[0] - begin if after else 60)


@pytest.mark.parametrize(("context_ends", "num_valid"), [(-2, 2), (-1, 1), (0, 0), (1, 8)])
def test_a_lost_life_cuts_after_the_context_only(context_ends: int, num_valid: int) -> None:
    """The first frame after the context is `context_ends` env steps after the lost life.

    Frames that show the loss or what follows do not count; a loss inside the context does not cut.
    """
    emulator = make_preset("smoke", "Breakout").environment
    env = open_game("Breakout", emulator)
    key = EpisodeKey(0, 7)

    def fire_and_stay() -> Iterator[int]:
        yield 1
        while True:
            yield 0

    env.begin(key)
    lost_at = next(i + 1 for i, a in enumerate(fire_and_stay()) if env.step(a)[4]["life_lost"])
    actions = fire_and_stay()
    offset = lost_at + context_ends - CONTEXT_FRAMES
    reference = _record(env, key, lambda screen, ram: next(actions), offset, horizon_steps=8)
    assert reference.num_valid_steps == num_valid
    assert len(reference.native) == CONTEXT_FRAMES + num_valid


def test_some_references_are_cut_by_a_lost_life_and_masked(held_out: list[Reference]) -> None:
    view = make_preset("smoke", "Breakout").view
    seen = view_references(
        held_out,
        view,
        ActionSpace(
            open_game("Breakout", make_preset("smoke", "Breakout").environment).action_codes
        ),
        60,
    )
    lengths = [reference.num_valid_steps for reference in held_out]
    assert min(lengths) < 60
    assert seen.valid.sum(axis=1).tolist() == lengths
    for row, length in enumerate(lengths):
        assert seen.valid[row, :length].all()
        assert not seen.targets[row, length + 1 :].any()
        assert seen.targets[row, :length].reshape(length, -1).any(axis=1).all()


def test_a_view_holds_the_context_the_targets_and_the_actions_between() -> None:
    references = references_of("Boxing", num_starts=2, horizon_steps=12, max_offset_steps=20)
    env = open_game("Boxing", make_preset("smoke", "Boxing").environment)
    for view in (
        ViewConfig(height=32, width=32, crop=None),
        ViewConfig(height=48, width=20, crop=(30, 182, 26, 134)),
    ):
        seen = view_references(references, view, ActionSpace(env.action_codes), 10)
        assert seen.context.shape == (2, 16, view.height, view.width, 3)
        assert seen.targets.shape == (2, 10, view.height, view.width, 3)
        assert seen.actions.shape == (2, 25)
        assert seen.valid.all()
        backgrounds = backgrounds_of(references, view)
        for row, reference in enumerate(references):
            # Action i leads from frame i to frame i + 1: play them and look.
            env.begin(reference.key)
            for code in reference.action_codes[: reference.offset]:
                env.step(env.action_codes.index(code))
            for index, action in enumerate(seen.actions[row]):
                frame = apply_view(env.step(int(action))[0], view)
                expected = np.concatenate((seen.context[row], seen.targets[row]))[index + 1]
                assert np.array_equal(frame, expected)
            shown = apply_view_all(reference.stills[:], view)
            assert np.abs(backgrounds[row] - np.median(shown, axis=0)).max() <= 0.5


def test_an_action_outside_the_set_is_named() -> None:
    references = references_of("Boxing", num_starts=1)
    view = make_preset("smoke", "Boxing").view
    missing = sorted(set(references[0].action_codes) - {0, 1})
    with pytest.raises(ValueError, match=rf"use the actions \[{missing[0]}.*not in the action set"):
        view_references(references, view, ActionSpace((0, 1)), 10)


def test_action_indices_follow_the_action_set() -> None:
    references = references_of("Boxing", num_starts=1)
    view = make_preset("smoke", "Boxing").view
    forwards = view_references(references, view, ActionSpace(tuple(range(18))), 10).actions
    backwards = view_references(references, view, ActionSpace(tuple(range(17, -1, -1))), 10).actions
    offset = references[0].offset
    assert forwards[0].tolist() == list(references[0].action_codes[offset : offset + 25])
    assert (forwards + backwards == 17).all()


def test_references_survive_the_disk(held_out: list[Reference], tmp_path: Path) -> None:
    save_references(held_out, tmp_path)
    for mine, theirs in zip(held_out, load_references(tmp_path), strict=True):
        assert isinstance(theirs.key, EpisodeKey)
        assert (mine.key, mine.action_codes, mine.offset, mine.num_valid_steps) == (
            theirs.key,
            theirs.action_codes,
            theirs.offset,
            theirs.num_valid_steps,
        )
        assert np.array_equal(mine.native, theirs.native)
        assert np.array_equal(mine.stills, theirs.stills)
        assert mine.rewards == theirs.rewards
        assert np.array_equal(mine.final, theirs.final)


@pytest.mark.parametrize("game", ["Breakout", "Boxing"])
def test_a_view_holds_rewards_and_the_end_of_the_game_itself(
    game: str, held_out: list[Reference]
) -> None:
    """Played again from the key: what the emulator says of every env step after the context."""
    config = make_preset("smoke", game)
    env = open_game(game, config.environment)
    breakout = game == "Breakout"
    references = held_out if breakout else references_of(game, num_starts=3, horizon_steps=60)
    seen = view_references(references, config.view, ActionSpace(env.action_codes), 60)
    # Random play loses lives here and lands punches there, in so many env steps.
    assert seen.ends.any() == breakout
    assert seen.rewards.any() == (not breakout)
    for row, reference in enumerate(references):
        env.begin(reference.key)
        codes = list(reference.action_codes)
        before = reference.offset + CONTEXT_FRAMES - 1
        for code in codes[:before]:
            env.step(env.action_codes.index(code))
        lived = []
        for index, action in enumerate(seen.actions[row, CONTEXT_FRAMES - 1 :]):
            if not (seen.valid[row, index] or seen.ends[row, index]):
                assert seen.rewards[row, index] == 0
                continue
            frame, reward, terminated, _, info = env.step(int(action))
            lived.append(reward)
            assert seen.rewards[row, index] == reward
            assert seen.ends[row, index] == (terminated or info["life_lost"])
            assert np.array_equal(apply_view(frame, config.view), seen.targets[row, index])
        assert reference.rewards is not None
        assert reference.rewards[before : before + len(lived)] == tuple(lived)


def test_later_starts_are_those_of_more_starts() -> None:
    others = CounterfactualsConfig(horizon_steps=3)
    many = references_of("Breakout", num_starts=3, counterfactuals=others)
    later = references_of("Breakout", num_starts=2, first_start=1, counterfactuals=others)
    for mine, theirs in zip(later, many[1:], strict=True):
        assert (mine.key, mine.offset, mine.action_codes) == (
            theirs.key, theirs.offset, theirs.action_codes,
        )  # fmt: skip
        assert mine.rewards == theirs.rewards
        assert mine.branch is not None and theirs.branch is not None
        assert mine.branch.action_codes == theirs.branch.action_codes
        pairs = [(mine.branch.native, theirs.branch.native), (mine.final, theirs.final)]
        for ours, other in [*pairs, (mine.native, theirs.native), (mine.stills, theirs.stills)]:
            assert np.array_equal(ours, other)


def test_more_starts_keep_the_fewer() -> None:
    few = references_of("Boxing", num_starts=1)
    many = references_of("Boxing", num_starts=2)
    assert few[0].key == many[0].key
    assert np.array_equal(few[0].native, many[0].native)
    assert references_of("Boxing", seed=1, num_starts=1)[0].key != few[0].key
