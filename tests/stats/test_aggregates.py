"""Aggregates of scores against scipy, rliable, closed forms and what papers print."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rliable import metrics as rliable

from diamond.arrays import FloatArray
from diamond.config.game_names import GAMES
from diamond.config.published_scores import published
from diamond.stats.aggregates import (
    BLOCK_VALUES,
    aggregates,
    human_normalised,
    iqm,
    mean_score,
    median_score,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
    superhuman,
)

# Sums of at most 48 values of magnitude up to 10, in another order: some 1e-15 of 480.
ROUNDING = 1e-11
# Integers, so that ties occur and no value is within rounding of another.
MATRICES = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 8)),
    elements=st.integers(-10, 10).map(float),
)


def means_over_runs(scores: FloatArray) -> FloatArray:
    return np.asarray(scores.mean(axis=-2))


@given(MATRICES)
def test_aggregates_agree_with_rliable(scores: FloatArray) -> None:
    assert mean_score(scores) == pytest.approx(rliable.aggregate_mean(scores), abs=ROUNDING)
    assert median_score(scores) == pytest.approx(rliable.aggregate_median(scores), abs=ROUNDING)
    assert iqm(scores) == pytest.approx(rliable.aggregate_iqm(scores), abs=ROUNDING)
    gap = rliable.aggregate_optimality_gap(scores)
    assert optimality_gap(scores) == pytest.approx(gap, abs=ROUNDING)


@given(MATRICES)
def test_iqm_is_the_trimmed_mean_of_the_pooled_runs(scores: FloatArray) -> None:
    assert iqm(scores) == pytest.approx(scipy.stats.trim_mean(scores.ravel(), 0.25), abs=ROUNDING)


def test_iqm_pools_runs_and_games() -> None:
    """Pooled 0, 0, 0, 0, 4, 4, 8, 8: the middle four have mean 2; of game means 0, 6: 3."""
    scores = np.array([[0.0, 4.0], [0.0, 4.0], [0.0, 8.0], [0.0, 8.0]])
    assert iqm(scores) == 2.0
    assert iqm(scores.mean(axis=0, keepdims=True)) == 3.0


@given(MATRICES, st.integers(0, 100))
def test_no_order_of_runs_or_games_matters(scores: FloatArray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(scores, axis=0)[:, rng.permutation(scores.shape[1])]
    np.testing.assert_allclose(aggregates(shuffled), aggregates(scores), atol=ROUNDING)


@given(arrays(np.float64, (5, 3, 4), elements=st.integers(-10, 10).map(float)))
def test_leading_dimensions_are_computed_one_by_one(batch: FloatArray) -> None:
    np.testing.assert_allclose(aggregates(batch), [aggregates(one) for one in batch], atol=ROUNDING)


def test_human_normalised_is_0_for_random_and_1_for_human() -> None:
    random, human = np.array([0.1, -20.7]), np.array([12.1, 14.6])
    scores = np.stack([random, human, 2 * human - random])
    # One division: 2 - 1 is exact only up to the rounding of the subtraction before it.
    np.testing.assert_allclose(
        human_normalised(scores, random, human), [[0, 0], [1, 1], [2, 2]], atol=1e-15
    )


def test_optimality_gap_ignores_what_is_beyond_human() -> None:
    assert optimality_gap(np.array([[0.5, 7.0]])) == 0.25
    assert optimality_gap(np.array([[0.5, 700.0]])) == 0.25


def test_profile_hand_value() -> None:
    """Of 0, 1, 1, 2: above -1 all, above 0 three, above 1 one because equal is not above."""
    profile = performance_profile(np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([-1.0, 0, 1, 2]))
    assert profile.tolist() == [1.0, 0.75, 0.25, 0.0]


@given(arrays(np.float64, (4, 5), elements=st.floats(0, 7.9)))
def test_the_area_under_the_profile_is_the_mean(scores: FloatArray) -> None:
    """Integral of P(X > tau) over tau is E X; a step of 0.01 errs by at most that step."""
    taus = np.arange(0.0, 8.0, 0.01)
    profile = performance_profile(scores, taus)
    assert np.all(np.diff(profile) <= 0)
    assert profile.sum() * 0.01 == pytest.approx(scores.mean(), abs=0.0101)


@given(MATRICES, st.data())
def test_improvement_agrees_with_rliable_and_mann_whitney(
    x: FloatArray, data: st.DataObject
) -> None:
    shape = st.tuples(st.integers(1, 6), st.just(x.shape[1]))
    y = data.draw(arrays(np.float64, shape, elements=st.integers(-10, 10).map(float)))
    found = probability_of_improvement(x, y, seed=0, num_resamples=2).probability
    assert found == pytest.approx(rliable.probability_of_improvement(x, y), abs=ROUNDING)
    pairs = x.shape[0] * y.shape[0]
    u = [
        scipy.stats.mannwhitneyu(x[:, g], y[:, g], method="asymptotic").statistic
        for g in range(x.shape[1])
        if len(set(x[:, g]) | set(y[:, g])) > 1
    ]
    tied = x.shape[1] - len(u)
    expected = (sum(u) / pairs + tied / 2) / x.shape[1]
    assert found == pytest.approx(expected, abs=ROUNDING)
    turned = probability_of_improvement(y, x, seed=0, num_resamples=2).probability
    assert found + turned == pytest.approx(1, abs=ROUNDING)


def test_improvement_averages_games_and_halves_ties() -> None:
    x, y = np.array([[1.0, 5.0], [1.0, 5.0]]), np.array([[1.0, 4.0], [1.0, 4.0]])
    found = probability_of_improvement(x, y, seed=0)
    assert (found.probability, found.lo, found.hi) == (0.75, 0.75, 0.75)


def test_improvement_interval_is_that_of_the_enumerated_resamples() -> None:
    """One game, X = (0, 2), Y = (1, 3): U/4 of the 16 equally likely pairs of resamples."""
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    # P = 1 when X draws 2, 2 and Y draws 1, 1: probability 1/16, beyond the 2.5 % tail.
    # P = 0 has 7/16.
    found = probability_of_improvement(x, y, seed=1, num_resamples=4000)
    assert (found.probability, found.lo, found.hi) == (0.25, 0.0, 1.0)
    # With k of three X that win against j of three Y, P = kj/9 of two binomials of 1/3: kj > 4 has
    # 13/729, less than the tail, kj >= 4 has 49/729.
    x, y = np.array([[0.0], [0.0], [2.0]]), np.array([[1.0], [3.0], [3.0]])
    inner = probability_of_improvement(x, y, seed=1, num_resamples=4000)
    assert (inner.lo, inner.hi) == pytest.approx((0.0, 4 / 9))


def test_the_bootstrap_resamples_runs_within_their_game() -> None:
    """Games 0 and 100 apart: mixing games or drawing games would spread the mean by tens."""
    scores = np.array([[0.0, 100.0, 1000.0], [1.0, 101.0, 1001.0]])
    found = stratified_bootstrap(scores, means_over_runs, seed=3)
    assert np.all(found.lo >= [0, 100, 1000])
    assert np.all(found.hi <= [1, 101, 1001])
    constant = np.array([[0.0, 100.0, 1000.0]] * 4)
    fixed = stratified_bootstrap(constant, aggregates, seed=3)
    np.testing.assert_array_equal(fixed.lo, fixed.values)
    np.testing.assert_array_equal(fixed.hi, fixed.values)


def test_games_are_resampled_independently() -> None:
    """Mean over g games of bootstrap means: standard error s / sqrt(r g), not s / sqrt(r).

    Runs 0 and 1 in each of 100 games: standard error .5 / sqrt(200) = .0354, the 95 % interval
    1.96 of it: .0693 wide on each side. 4000 resamples place a bound within some 3 %.
    """
    scores = np.repeat([[0.0], [1.0]], 100, axis=1)
    found = stratified_bootstrap(
        scores, lambda block: mean_score(block)[..., None], seed=5, num_resamples=4000
    )
    assert found.values[0] - found.lo[0] == pytest.approx(0.0693, rel=0.1)
    assert found.hi[0] - found.values[0] == pytest.approx(0.0693, rel=0.1)


def test_the_interval_of_a_mean_agrees_with_scipy() -> None:
    """Two independent sets of 10,000 resamples: a bound has a standard error of some 1 %."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(12, 1))
    found = stratified_bootstrap(scores, means_over_runs, seed=7, num_resamples=10_000)
    oracle = scipy.stats.bootstrap(
        (scores[:, 0],), np.mean, n_resamples=10_000, method="percentile", rng=rng
    ).confidence_interval
    width = oracle.high - oracle.low
    assert found.lo[0] == pytest.approx(oracle.low, abs=0.04 * width)
    assert found.hi[0] == pytest.approx(oracle.high, abs=0.04 * width)


def test_a_seed_decides_the_interval_and_blocks_do_not_lose_resamples() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 26))
    seen: list[int] = []

    def counting(block: FloatArray) -> FloatArray:
        seen.append(len(block) if block.ndim == 3 else 0)
        return aggregates(block)

    many = BLOCK_VALUES // scores.size + 10
    one, same = (stratified_bootstrap(scores, counting, 1, num_resamples=many) for _ in range(2))
    other = stratified_bootstrap(scores, aggregates, 2, num_resamples=many)
    np.testing.assert_array_equal(one.lo, same.lo)
    np.testing.assert_array_equal(one.hi, same.hi)
    assert np.all(one.lo != other.lo)
    assert seen == 2 * [0, many - 10, 10]


def test_one_run_has_no_interval() -> None:
    one, two = np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.isnan(stratified_bootstrap(one, aggregates, 0).lo).all()
    assert np.isfinite(stratified_bootstrap(one, aggregates, 0).values).all()
    for pair in ((one, two), (two, one), (one, one)):
        assert np.isnan(probability_of_improvement(*pair, seed=0).hi)


def test_wrong_shapes_are_refused() -> None:
    good = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(runs, games\)"):
        stratified_bootstrap(np.ones(3), aggregates, 0)
    with pytest.raises(ValueError, match="not empty"):
        stratified_bootstrap(np.ones((2, 0)), aggregates, 0)
    with pytest.raises(ValueError, match="X has 3 games, Y has 2"):
        probability_of_improvement(good, np.ones((2, 2)), 0)


def _published_hns(agent: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scores, human scores and HNS of a published agent, games last."""
    facts = published()
    scores = np.array([[facts.agents[agent].scores[game] for game in GAMES]])
    random, human = (np.array([by[game] for game in GAMES]) for by in (facts.random, facts.human))
    return scores, human, human_normalised(scores, random, human)


def test_the_facts_are_about_the_26_games() -> None:
    facts = published()
    assert facts.games == GAMES
    for by_game in (facts.random, facts.human, *(a.scores for a in facts.agents.values())):
        assert set(by_game) == set(GAMES)


# What the facts say of these columns: DreamerV3's printed mean does not follow from them, and the
# Delta-IRIS of another paper is from runs that are rounded to integers.
MEAN_DIFFERS = {"DreamerV3", "Delta-IRIS"}


@pytest.mark.parametrize("agent", sorted(published().agents))
def test_the_printed_aggregates_follow_from_the_printed_scores(agent: str) -> None:
    """A tolerance of half of the last printed digit, and a little for rounded scores."""
    scores, human, hns = _published_hns(agent)
    printed = published().agents[agent].published_aggregates
    if agent not in MEAN_DIFFERS:
        assert mean_score(hns) == pytest.approx(printed.mean, abs=0.0006)
    if printed.median is not None:
        assert median_score(hns) == pytest.approx(printed.median, abs=0.0006)
    if printed.superhuman is not None:
        assert superhuman(scores, human) == printed.superhuman


def test_diamond_reaches_what_its_paper_prints() -> None:
    scores, human, hns = _published_hns("DIAMOND")
    assert round(float(mean_score(hns)), 3) == 1.459
    assert superhuman(scores, human) == 11
    # The printed IQM is over runs; over the means of runs it is another number.
    assert abs(float(iqm(hns)) - 0.641) > 0.05
