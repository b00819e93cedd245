"""Scores of whole trajectories: baselines, frozen frames, the nearest real frame, survival."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.config.metric_table import METRICS
from diamond.fidelity.baseline_errors import beats, skill
from diamond.fidelity.nearest import FrameBank, make_bank, nearest_l1
from diamond.fidelity.pixel_oracle import score_frame
from diamond.fidelity.trajectory_metrics import (
    RealTrajectory,
    is_frozen,
    score_trajectories,
)

CPU = torch.device("cpu")
NAN = np.nan


SIZE = (16, 20)


def frames(seed: int, *leading: int, size: tuple[int, int] = SIZE) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (*leading, *size, 3), dtype=np.uint8)


def trajectory(
    seed: int, valid: list[bool], episode: int = 0, size: tuple[int, int] = SIZE
) -> RealTrajectory:
    context, background = frames(seed + 100, 2, size=size)
    real = frames(seed, len(valid), size=size)
    return RealTrajectory(real, np.array(valid), context, background, episode)


def bank_of(*trajectories: RealTrajectory) -> FrameBank:
    parts = [(real.episode, real.frames[real.valid]) for real in trajectories]
    return make_bank(parts, sum(len(part) for _, part in parts))


@pytest.mark.parametrize("size", [SIZE, (10, 10), (8, 8)])
def test_every_metric_of_the_stage_and_frame_by_frame(size: tuple[int, int]) -> None:
    """Frames as small as a view can be have all but MS-SSIM, whose windows do not fit."""
    first = trajectory(1, [True] * 4, size=size)
    second = trajectory(2, [True, True, False, False], 1, size)
    imagined = frames(3, 2, 4, size=size)
    pairs = [(first, imagined[0]), (second, imagined[1])]
    scores = score_trajectories(pairs, bank_of(first, second), CPU)
    assert list(scores) == [
        column
        for spec in METRICS
        if (spec.group in ("pixels", "baselines", "objects", "frozen") and not spec.extra)
        or spec.name in ("core_ratio", "hf_ratio", "nearest_l1")
        for column in spec.columns
    ]
    for values in scores.values():
        assert values.shape == (2, 4)
        assert values.dtype == np.float64
        assert np.isnan(values[1, 2:]).all()
    undefined = {name for name, values in scores.items() if np.isnan(values).all()}
    assert undefined == {"ms_ssim", "ms_ssim_fg", "psnr_frozen", "l1_frozen"}
    for row, (real, dream) in enumerate(pairs):
        for step in np.flatnonzero(real.valid):
            expected = score_frame(real.frames[step], dream[step], real.background)
            found = {name: scores[name][row, step] for name in expected}
            # The ratio of each window of SSIM is taken in float32.
            assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_showing_the_last_frame_has_no_skill_over_copy_last() -> None:
    """And showing the background none over the background; a perfect dream has skill 1."""
    reals = [trajectory(seed, [True] * 5, seed) for seed in (1, 2)]
    bank = bank_of(*reals)

    def scored(dreams: list[ByteArray]) -> dict[str, NDArray[np.float64]]:
        return score_trajectories(zip(reals, dreams, strict=True), bank, CPU)

    last = scored([np.repeat(real.last[None], 5, axis=0) for real in reals])
    empty = scored([np.repeat(real.background[None], 5, axis=0) for real in reals])
    perfect = scored([real.frames for real in reals])
    for error in ("l1", "mse"):
        for scores, baseline in ((last, "copy"), (empty, "background")):
            assert np.all(scores[f"beats_{baseline}"] == 0.5)
            mean = scores[f"skill_{baseline}_{error}"].mean(axis=0)
            np.testing.assert_allclose(mean, 0, atol=1e-12)
            assert np.all(perfect[f"skill_{baseline}_{error}"] == 1)
    assert np.all(last["frozen"] == 1) and np.all(last["frozen_real"] == 0)
    assert np.all(perfect["nearest_l1"] == 0) and np.all(perfect["nearest_l1_real"] > 0)


def test_skill_is_pooled_over_trajectories() -> None:
    """Errors 1 and 3 against 2 and 6: 1 - 4/8; the third trajectory has ended."""
    errors = np.array([[1.0, 0.0], [3.0, 5.0], [NAN, NAN]])
    baseline = np.array([[2.0, 0.0], [6.0, 0.0], [NAN, NAN]])
    skills = skill(errors, baseline)
    assert np.nanmean(skills[:, 0]) == 0.5
    assert np.isnan(skills[:, 1]).all(), "a baseline without error leaves nothing to be better than"
    assert np.isnan(skills[2]).all()
    assert skill(errors[:1, :1], baseline[:1, :1]).item() == 0.5
    with pytest.raises(ValueError, match="one shape"):
        skill(errors, baseline[:2])


def test_beats() -> None:
    found = beats(np.array([1.0, 2.0, 3.0, 0.0, NAN]), np.array([2.0, 2.0, 2.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found, [1, 0.5, 0, 0.5, NAN])


def test_frozen_frames_are_reported_apart() -> None:
    """Real frames 1 and 3 repeat the one before; the dream repeats its frame 2 once."""
    real = trajectory(1, [True] * 4 + [False])
    real.frames[0] = real.last
    real.frames[2] = real.frames[1]
    dream = frames(5, 5)
    dream[2] = dream[1]
    scores = score_trajectories([(real, dream)], bank_of(real), CPU)
    np.testing.assert_array_equal(scores["frozen_real"], [[1, 0, 1, 0, NAN]])
    np.testing.assert_array_equal(scores["frozen"], [[0, 0, 1, 0, NAN]])
    for name in ("psnr", "l1"):
        whole = scores[name][0]
        frozen, moving = scores[f"{name}_frozen"][0], scores[f"{name}_moving"][0]
        np.testing.assert_array_equal(frozen, [whole[0], NAN, whole[2], NAN, NAN])
        np.testing.assert_array_equal(moving, [NAN, whole[1], NAN, whole[3], NAN])
    assert is_frozen(real.frames[:0], real.last).shape == (0,)


def test_nearest_against_all_distances() -> None:
    dream, parts = frames(1, 6), [(0, frames(2, 4)), (1, frames(3, 5))]
    bank = make_bank(parts, 9)
    assert bank.episodes.tolist() == [0] * 4 + [1] * 5
    every = np.abs(dream[:, None].astype(int) - bank.frames[None]).mean(axis=(2, 3, 4)) / 255
    np.testing.assert_allclose(nearest_l1(dream, bank), every.min(axis=1), rtol=1e-12)
    alone = nearest_l1(dream, bank.without(1))
    np.testing.assert_allclose(alone, every[:, :4].min(axis=1), rtol=1e-12)


def test_nearest_in_one_episode_alone_is_undefined_for_real_frames() -> None:
    real = trajectory(1, [True] * 3)
    scores = score_trajectories([(real, frames(2, 3))], bank_of(real), CPU)
    assert np.isnan(scores["nearest_l1_real"]).all()
    assert np.isfinite(scores["nearest_l1"]).all()


def test_a_large_bank_is_thinned_evenly() -> None:
    whole = frames(0, 10)
    bank = make_bank([(7, whole[:3]), (8, whole[3:])], 10, most=4)
    np.testing.assert_array_equal(bank.frames, whole[[0, 2, 5, 7]])
    assert bank.episodes.tolist() == [7, 7, 8, 8]
    with pytest.raises(ValueError, match="needs its 4 frames, at least one, got 3"):
        make_bank([(0, whole[:3])], 4)


def test_wrong_input_is_refused() -> None:
    real = trajectory(1, [True] * 4)
    with pytest.raises(ValueError, match="one length"):
        score_trajectories([(real, frames(2, 3))], bank_of(real), CPU)
    with pytest.raises(ValueError, match="no trajectory"):
        score_trajectories([], bank_of(real), CPU)
    with pytest.raises(ValueError, match="the bank's size"):
        nearest_l1(frames(1, 2)[:, :8], bank_of(real))
