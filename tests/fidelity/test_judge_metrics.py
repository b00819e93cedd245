"""What judges say, as metrics: Frechet distance, actions, rewards and ends, policies."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import entropy, spearmanr
from sklearn.metrics import r2_score

from diamond.fidelity.control import action_scores
from diamond.fidelity.frechet import frechet_distance, frechet_scores, gaussian_distance
from diamond.fidelity.policy_reaction import Seen, entropy_ratio, kl_divergence, policy_scores
from diamond.fidelity.reward_end import (
    PredictedRewardEnds,
    return_rank_correlation,
    reward_end_scores,
    reward_rates,
    reward_sum_error,
    timing_error,
)

FLOAT = 1e-9
"""Sums of some hundred float64 numbers of size one, in another order."""
FloatArray = NDArray[np.float64]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covariance(dimension: int, rank: int, seed: int) -> FloatArray:
    factor = rng(seed).normal(size=(dimension, rank))
    return factor @ factor.T


# --- Frechet distance -------------------------------------------------------------------------


def test_the_distance_of_gaussians_with_diagonal_covariances_has_a_closed_form() -> None:
    mean_a, mean_b = rng(1).normal(size=(2, 6))
    sigma_a, sigma_b = rng(2).uniform(0.1, 3, size=(2, 6))
    expected = np.square(mean_a - mean_b).sum() + np.square(sigma_a - sigma_b).sum()
    found = gaussian_distance(mean_a, np.diag(sigma_a**2), mean_b, np.diag(sigma_b**2))
    assert found == pytest.approx(expected, rel=FLOAT)
    # A rotation of the space moves nothing.
    turn, _ = np.linalg.qr(rng(3).normal(size=(6, 6)))
    turned = gaussian_distance(
        turn @ mean_a,
        turn @ np.diag(sigma_a**2) @ turn.T,
        turn @ mean_b,
        turn @ np.diag(sigma_b**2) @ turn.T,
    )
    assert turned == pytest.approx(expected, rel=FLOAT)


def test_the_distance_agrees_with_the_root_of_the_product() -> None:
    """The form of Heusel et al., with scipy's matrix square root."""
    a, b = covariance(8, 20, 1), covariance(8, 20, 2)
    mean = np.zeros(8)
    expected = np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert gaussian_distance(mean, a, mean, b) == pytest.approx(expected, rel=FLOAT)


def test_covariances_without_full_rank_do_no_harm() -> None:
    """Two lines at a right angle: no overlap, so the distance is the sum of both variances."""
    line, other = np.diag([4.0, 0.0, 0.0]), np.diag([0.0, 9.0, 0.0])
    assert gaussian_distance(np.zeros(3), line, np.zeros(3), other) == pytest.approx(13, rel=FLOAT)
    flat = covariance(32, 3, 5)
    # The root of an eigenvalue that is rounding (1e-16) is 1e-8 large.
    assert gaussian_distance(np.zeros(32), flat, np.zeros(32), flat) == pytest.approx(0, abs=1e-6)


def test_samples_of_gaussians_come_near_their_distance() -> None:
    """With n rows the bias is of order d^2 / n, here about .02 of a distance of 13."""
    mean, sigma = np.array([3.0, 0.0, 0.0, 0.0]), np.array([1.0, 3.0, 1.0, 1.0])
    a, b = rng(1).normal(size=(20_000, 4)), mean + sigma * rng(2).normal(size=(20_000, 4))
    assert frechet_distance(a, b) == pytest.approx(9 + 4, rel=0.03)


def test_few_frames_bias_it_upwards() -> None:
    few, many = (
        np.mean([frechet_distance(*rng(s).normal(size=(2, n, 8))) for s in range(20)])
        for n in (20, 200)
    )
    assert few > 5 * many > 0


def test_the_value_of_the_real_frames_is_between_halves_of_other_episodes() -> None:
    real, imagined = rng(1).normal(size=(2, 4, 50, 3))
    used = np.ones((4, 50), np.bool_)
    used[1, 20:] = False
    found = frechet_scores(real, imagined, used)
    one, two = np.concatenate((real[0], real[2])), np.concatenate((real[1, :20], real[3]))
    assert found["fd_inverse_dynamics_real"].item() == pytest.approx(frechet_distance(one, two))
    assert found["fd_inverse_dynamics"].item() == pytest.approx(
        frechet_distance(imagined[used], real[used])
    )
    alone = frechet_scores(real[:1], imagined[:1], used[:1])
    assert np.isnan(alone["fd_inverse_dynamics_real"]).all()
    assert np.isfinite(alone["fd_inverse_dynamics"]).all()


def test_bad_features_and_covariances_are_refused() -> None:
    good = rng().normal(size=(5, 2))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(good, np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match=r"\(5, 2\) and \(5, 3\)"):
        frechet_distance(good, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="negative eigenvalue"):
        gaussian_distance(np.zeros(2), np.diag([1.0, -1.0]), np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="not symmetric"):
        gaussian_distance(np.zeros(2), np.array([[1.0, 1.0], [0.0, 1.0]]), np.zeros(2), np.eye(2))


# --- actions ----------------------------------------------------------------------------------


def test_actions_are_judged_on_used_frames_alone() -> None:
    taken = np.array([[0, 0, 0, 1]])
    used = np.array([[True, True, True, False]])
    named_real, named_imagined = np.array([[0, 0, 2, 1]]), np.array([[0, 1, 1, 1]])
    found = action_scores(taken, named_real, named_imagined, used, 3)
    assert found["action_accuracy_real"][0, :3].tolist() == [1, 1, 0]
    assert found["action_accuracy"][0, :3].tolist() == [1, 0, 0]
    assert np.isnan(found["action_accuracy"][0, 3])
    # Action 1 is never taken where frames are used: it is no class of the balanced value.
    assert found["action_balanced_accuracy"].item() == pytest.approx(1 / 3)
    assert found["action_balanced_accuracy"].shape == (1, 1)


def test_numbers_are_judged_by_the_variance_that_is_explained() -> None:
    """Its mean over all used frames is R2, by scikit-learn; the mean of the actions gets 0."""
    taken, noise = rng(1).normal(size=(2, 3, 9, 2)) * np.array([1.0, 0.2])
    used = np.arange(9) < np.array([[9], [4], [7]])
    middle = np.broadcast_to(taken[used].mean(axis=0), taken.shape)
    found = action_scores(taken, middle, taken + 0.3 * noise, used, num_actions=0)
    assert set(found) == {"action_r2", "action_r2_real"}
    assert found["action_r2"].shape == (3, 9)
    assert np.array_equal(np.isnan(found["action_r2"]), ~used)
    expected = r2_score(taken[used], (taken + 0.3 * noise)[used], multioutput="variance_weighted")
    assert np.nanmean(found["action_r2"]) == pytest.approx(expected)
    assert np.nanmean(found["action_r2_real"]) == pytest.approx(0, abs=1e-12)
    still = np.zeros_like(taken)
    assert np.isnan(action_scores(still, still, taken, used, num_actions=0)["action_r2"]).all()


# --- rewards and ends -------------------------------------------------------------------------


def certain(signs: NDArray[np.int64], ends: NDArray[np.bool_]) -> PredictedRewardEnds:
    """A model that is sure of these rewards and ends."""
    return PredictedRewardEnds(np.eye(3)[signs + 1], ends.astype(np.float64))


def test_a_model_that_is_right_has_perfect_scores_and_one_that_sees_nothing_has_not() -> None:
    signs = rng(1).integers(-1, 2, size=(4, 30))
    ends = np.zeros((4, 30), np.bool_)
    ends[0, 9] = True
    used = np.arange(30) < np.array([[10], [30], [30], [30]])
    blind = certain(np.zeros_like(signs), np.zeros_like(ends))
    found = reward_end_scores(signs, ends, used, certain(signs, ends), blind)
    best = {name: value for name, value in found.items() if name.endswith("_real")}
    for name, value in best.items():
        ideal = 0.0 if "error" in name or "brier" in name else 1.0
        assert np.nanmin(value) == np.nanmax(value) == pytest.approx(ideal), name
    assert found["reward_recall_zero"].item() == 1
    assert found["reward_recall_positive"].item() == found["reward_recall_negative"].item() == 0
    assert found["end_auroc"].item() == 0.5
    assert found["end_brier"].item() == pytest.approx(1 / 100)
    # Who sees no event has no time between events, and the same return everywhere.
    assert np.isnan(found["reward_timing_error"]).all()
    assert np.isnan(found["return_rank_correlation"]).all()


def test_a_game_without_rewards_and_ends_leaves_their_scores_undefined() -> None:
    signs, ends = np.zeros((3, 5), np.int64), np.zeros((3, 5), np.bool_)
    used = np.ones((3, 5), np.bool_)
    found = reward_end_scores(signs, ends, used, certain(signs, ends), certain(signs, ends))
    undefined = {name for name, value in found.items() if np.isnan(value).all()}
    names = ("reward_recall_negative", "reward_recall_positive", "reward_precision_negative",
             "reward_precision_positive", "reward_timing_error", "return_rank_correlation",
             "end_auroc")  # fmt: skip
    assert undefined == {f"{name}{suffix}" for name in names for suffix in ("", "_real")}
    assert found["reward_f1"].item() == 1


def test_recall_and_precision_of_rewards_by_hand() -> None:
    truth = np.array([[1, 1, 1, 0, 0, 0, 0, -1]])
    said = np.array([[1, 1, 0, 1, 0, 0, 0, 0]])
    ends = np.zeros(truth.shape, np.bool_)
    used = np.array([[True] * 8])
    guess = certain(said, ends)
    found = reward_end_scores(truth, ends, used, certain(truth, ends), guess)
    assert found["reward_recall_positive"].item() == pytest.approx(2 / 3)
    assert found["reward_precision_positive"].item() == pytest.approx(2 / 3)
    assert found["reward_precision_zero"].item() == pytest.approx(3 / 5)
    assert found["reward_recall_negative"].item() == 0
    assert np.isnan(found["reward_precision_negative"]).all()


def test_the_imagined_rate_of_rewards_stands_beside_the_real_one() -> None:
    signs = np.array([[1, 0, -1, 1], [0, 0, 0, 1]])
    used = np.array([[True, True, True, False], [True, True, True, True]])
    rewards = np.tile(np.array([0.1, 0.5, 0.4]), (2, 4, 1))
    said = PredictedRewardEnds(rewards, np.zeros((2, 4)))
    uniforms = np.array([[0.0, 0.49, 0.51, 0.9], [0.5, 0.0, 0.0, 0.99]])
    found = reward_rates(signs, used, said, uniforms)
    assert found["reward_rate"][used] == pytest.approx(0.5)
    assert found["reward_rate_real"][0, :3].tolist() == [1, 0, 1]
    assert found["reward_rate_drawn"][0, :3].tolist() == [0, 0, 1]
    assert found["reward_rate_drawn"][1].tolist() == [1, 0, 0, 1]
    assert all(np.isnan(found[name][0, 3]) for name in ("reward_rate", "reward_rate_real"))
    # 7 env steps at one half, 3 rewards in the game; the fourth is not used.
    assert found["reward_rate_ratio"].item() == pytest.approx(3.5 / 3)
    assert found["reward_rate_ratio_real"].item() == 1
    nothing = reward_rates(0 * signs, used, said, uniforms)
    assert np.isnan(nothing["reward_rate_ratio"]).all()


def test_timing_by_hand() -> None:
    truth = np.zeros((2, 20), np.int64)
    guess = np.zeros((2, 20), np.int64)
    used = np.ones((2, 20), np.bool_)
    truth[0, [3, 10]], guess[0, [4, 7]] = 1, 1  # 3 with 4 and 10 with 7: 1 + 3
    truth[0, 15], guess[0, 16] = -1, 1  # another sign is no partner
    truth[1, 2], guess[1, 2] = -1, -1  # 0
    assert timing_error(truth, guess, used) == pytest.approx((1 + 3 + 0) / 3)
    guess[0, 11] = 1  # a nearer one takes the place of the one at 7: 1 + 1
    assert timing_error(truth, guess, used) == pytest.approx((1 + 1 + 0) / 3)
    used[0, 11:] = False
    assert timing_error(truth, guess, used) == pytest.approx((1 + 3 + 0) / 3)
    assert np.isnan(timing_error(truth, np.zeros_like(guess), used))


def test_pairs_of_events_have_the_least_total_distance() -> None:
    """Against all assignments of the fewer events to the more."""
    for seed in range(20):
        here, there = (
            np.sort(rng(seed + 100 * part).choice(30, size=size, replace=False))
            for part, size in ((0, 3), (1, 5))
        )
        truth, guess = np.zeros((2, 1, 30), np.int64)
        truth[0, here], guess[0, there] = 1, 1
        least = min(np.abs(here - np.array(p)).sum() for p in permutations(there, 3))
        found = timing_error(truth, guess, np.ones((1, 30), np.bool_))
        assert found == pytest.approx(least / 3)


def test_the_sum_of_rewards_is_followed_from_the_start_on() -> None:
    signs = np.array([[1, 0, -1, 1]])
    expected = np.array([[0.5, 0.5, 0.0, 1.0]])
    used = np.array([[True, True, True, False]])
    found = reward_sum_error(signs, expected, used)
    assert found[0, :3] == pytest.approx([0.5, 0.0, 1.0])
    assert np.isnan(found[0, 3])


def test_ranks_of_returns_agree_with_scipy() -> None:
    signs = rng(1).integers(-1, 2, size=(12, 40))
    expected = signs + rng(2).normal(size=signs.shape)
    used = np.arange(40) < rng(3).integers(5, 41, size=(12, 1))
    sums = [np.where(used, part, 0).sum(axis=1) for part in (signs, expected)]
    found = return_rank_correlation(signs, expected, used)
    assert found == pytest.approx(spearmanr(*sums).statistic, abs=FLOAT)
    assert np.isnan(return_rank_correlation(signs[:2], expected[:2], used[:2]))
    assert np.isnan(return_rank_correlation(0 * signs, expected, used))


# --- policies ---------------------------------------------------------------------------------


def test_divergences_agree_with_scipy() -> None:
    p, q = rng(1).normal(scale=3, size=(2, 5, 7, 6))

    def softmax(logits: FloatArray) -> FloatArray:
        odds = np.exp(logits)
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True))

    expected = entropy(softmax(p), softmax(q), axis=-1)
    assert kl_divergence(p, q) == pytest.approx(expected, rel=1e-7, abs=FLOAT)
    assert (kl_divergence(p, p + 5.0) < FLOAT).all()
    # Certain policies: no logarithm of 0, whatever the logits.
    assert np.isfinite(kl_divergence(np.array([1e4, 0.0]), np.array([0.0, 1e4])))


def test_the_entropy_of_a_policy_is_a_share_of_that_of_chance() -> None:
    logits = rng(1).normal(scale=3, size=(5, 6))
    odds = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert entropy_ratio(logits) == pytest.approx(entropy(odds, axis=-1) / np.log(6), rel=1e-7)
    assert entropy_ratio(np.full((2, 4), 7.0)) == pytest.approx(1)
    assert entropy_ratio(np.array([1e4, 0.0, 0.0])) == pytest.approx(0)
    assert np.isnan(entropy_ratio(np.zeros((3, 1)))).all()
    # Of imagined frames, on which this policy is sure, nothing goes in.
    real, imagined = (Seen(np.array([[row]]), np.zeros((1, 1))) for row in ([0.0, 0.0], [9.0, 0.0]))
    found = policy_scores(real, imagined, np.ones((1, 1), np.bool_))
    assert found["policy_entropy"].item() == pytest.approx(1)


def test_policies_are_compared_where_frames_are_used() -> None:
    logits = rng(1).normal(size=(2, 3, 4))
    real = Seen(logits, np.array([[1.0, 2.0, 3.0]] * 2))
    imagined = Seen(np.where(np.arange(3)[:, None] == 1, -logits, logits), real.values - 0.5)
    used = np.array([[True, True, False], [True, True, True]])
    found = policy_scores(real, imagined, used)
    assert all(np.isnan(values[0, 2]) for values in found.values())
    assert found["value_error"][used] == pytest.approx(0.5)
    assert found["greedy_agreement"][1].tolist() == [1, 0, 1]
    assert (found["kl_policy"][1] > 0).tolist() == [False, True, False]
