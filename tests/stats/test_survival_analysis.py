"""Survival with censoring: against a plain loop, closed forms and simulated coverage."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from diamond.findings.survival_rows import survival_of, threshold_of
from diamond.stats.survival_analysis import Times, first_above, kaplan_meier, survival_over_seeds

NAN = float("nan")
STARTS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=25)


def times(*pairs: tuple[int, bool]) -> Times:
    steps, observed = zip(*pairs, strict=True)
    return Times(np.array(steps, np.int64), np.array(observed, bool))


def test_a_start_is_lost_at_the_first_step_above_and_censored_by_its_end() -> None:
    found = first_above(
        np.array(
            [
                [0.1, 0.5, 0.2, 0.9],  # at the threshold is not above it: lost at 4
                [0.6, 0.1, NAN, NAN],  # lost at 1, whatever comes
                [0.1, 0.1, NAN, NAN],  # its episode ends after 2
                [0.1, 0.1, 0.1, 0.1],  # censored by the horizon
                [0.1, NAN, 0.9, 0.9],  # out of sight after 1
                [NAN, NAN, NAN, NAN],  # never seen
            ]
        ),
        0.5,
    )
    assert found.steps.tolist() == [4, 1, 2, 4, 1, 0]
    assert found.observed.tolist() == [True, True, False, False, False, False]


def by_hand(sample: Times, horizon: int) -> list[float]:
    """The product of 1 - lost / at risk, step by step."""
    survival, curve = 1.0, []
    for step in range(1, horizon + 1):
        at_risk = int((sample.steps >= step).sum())
        lost = int(((sample.steps == step) & sample.observed).sum())
        survival *= 1 - lost / at_risk if at_risk else (1 if survival == 0 else NAN)
        curve.append(survival)
    return curve


@given(STARTS)
def test_the_estimate_against_a_plain_loop(pairs: list[tuple[int, bool]]) -> None:
    # A loss happens at a step, from 1 on.
    sample = times(*((step, seen and step > 0) for step, seen in pairs))
    found = kaplan_meier(sample, 14)
    # Twenty-five products in another order.
    np.testing.assert_allclose(found.survival, by_hand(sample, 14), rtol=1e-12, atol=1e-12)
    assert found.at_risk.tolist() == [int((sample.steps >= t).sum()) for t in range(1, 15)]
    known = ~np.isnan(found.survival)
    assert np.all(found.lo[known] <= found.survival[known] + 1e-12)
    assert np.all(found.hi[known] >= found.survival[known] - 1e-12)
    assert np.all((found.lo[known] >= 0) & (found.hi[known] <= 1))
    np.testing.assert_array_equal(np.isnan(found.lo), ~known)


def test_without_censoring_it_is_the_share_that_is_left() -> None:
    lost = np.random.default_rng(0).integers(1, 20, 30)
    found = kaplan_meier(Times(lost, np.ones(30, bool)), 20)
    expected = [(lost > step).mean() for step in range(1, 21)]
    np.testing.assert_allclose(found.survival, expected, atol=1e-12)
    assert found.median == int(np.sort(lost)[14])


@pytest.mark.parametrize("num", range(2, 200, 2))
def test_the_median_is_met_where_exactly_half_are_left(num: int) -> None:
    """A product of fractions that is one half is a little above it in floating point."""
    steps = np.minimum(np.arange(1, num + 1), num // 2)
    lost = np.arange(num) < num // 2
    assert kaplan_meier(Times(steps, lost), num).median == num // 2


def test_greenwood_by_hand() -> None:
    """Five starts: lost at 1 and 3, censored at 2, 4, 4: S = .8, .8, .8 * 2/3.

    Greenwood sums 1 / (5 * 4) and 1 / (3 * 2); on the scale log(-log S) the standard error is
    sqrt(sum) / |log S|.
    """
    found = kaplan_meier(times((1, True), (2, False), (3, True), (4, False), (4, False)), 4)
    survival = 0.8 * 2 / 3
    assert found.survival.tolist() == pytest.approx([0.8, 0.8, survival, survival])
    error = np.sqrt(1 / 20 + 1 / 6) / abs(np.log(survival))
    exponent = np.exp(1.959963985 * error)
    assert found.lo[2] == pytest.approx(survival**exponent, rel=1e-8)
    assert found.hi[2] == pytest.approx(survival ** (1 / exponent), rel=1e-8)
    assert found.median is None


def test_where_none_or_all_are_lost_the_interval_is_the_exact_binomial_one() -> None:
    """`scipy.stats.binomtest` gives Clopper and Pearson's."""
    found = kaplan_meier(times(*[(2, True)] * 8), 3)
    none = scipy.stats.binomtest(8, 8).proportion_ci(0.95, method="exact")
    every = scipy.stats.binomtest(0, 8).proportion_ci(0.95, method="exact")
    assert (found.lo[0], found.hi[0]) == pytest.approx((none.low, none.high))
    assert (found.lo[1], found.hi[1]) == pytest.approx((every.low, every.high))
    assert found.median == 2


def test_what_nobody_is_left_to_tell_is_undefined() -> None:
    found = kaplan_meier(times((1, True), (2, False), (2, False)), 4)
    assert found.survival[:2].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan([found.survival[2:], found.lo[2:], found.hi[2:]]).all()
    empty = kaplan_meier(Times(np.zeros(0, np.int64), np.zeros(0, bool)), 2)
    assert np.isnan([empty.survival, empty.lo, empty.hi]).all()
    assert (empty.median, empty.at_risk.tolist()) == (None, [0, 0])


def test_over_seeds_it_is_the_mean_with_a_t_interval_cut_to_one() -> None:
    seeds = [
        times((1, True), (3, False), (3, False), (3, False)),
        times((2, True), (2, True), (3, False), (3, False)),
        times((2, True), (3, False), (3, False), (3, False)),
    ]
    found = survival_over_seeds(seeds, 3)
    assert found.survival.tolist() == pytest.approx([11 / 12, 2 / 3, 2 / 3])
    expected = scipy.stats.ttest_1samp([0.75, 0.5, 0.75], 0).confidence_interval(0.95)
    assert found.lo[1] == pytest.approx(expected.low)
    assert found.hi[1] == 1.0 < expected.high
    assert found.at_risk.tolist() == [12, 11, 8]
    assert found.median is None


def test_equal_seeds_show_no_spread_and_one_unknown_seed_leaves_the_mean_unknown() -> None:
    same = survival_over_seeds([times((1, True), (2, False), (2, False))] * 3, 2)
    assert same.survival.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan([same.lo, same.hi]).all()
    unknown = survival_over_seeds([times((1, True), (2, True)), times((1, False), (1, False))], 2)
    assert unknown.survival[0] == pytest.approx(0.75)
    assert np.isnan(unknown.survival[1])
    one = survival_over_seeds([times((1, True), (2, False))], 2)
    assert one.survival.tolist() == [0.5, 0.5]
    assert one.median == 1
    assert np.isnan([one.lo, one.hi]).all()


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        kaplan_meier(times((1, True)), 0)
    with pytest.raises(ValueError, match="one shape"):
        kaplan_meier(Times(np.ones(2, np.int64), np.ones(3, bool)), 2)
    with pytest.raises(ValueError, match="shape"):
        first_above(np.ones(3), 0.5)
    with pytest.raises(ValueError, match="threshold"):
        first_above(np.ones((1, 3)), NAN)


def covered(rng: np.random.Generator, n: int, trials: int) -> NDArray[np.float64]:
    """Share of the trials whose interval holds the truth at steps 5, 20 and 40.

    The hazard is .02 a step, and starts end uniformly between steps 1 and 100.
    """
    inside = np.zeros(3)
    for _ in range(trials):
        lost, ended = rng.geometric(0.02, n), rng.integers(1, 101, n)
        found = kaplan_meier(Times(np.minimum(lost, ended), lost <= ended), 40)
        for place, step in enumerate((5, 20, 40)):
            inside[place] += found.lo[step - 1] <= 0.98**step <= found.hi[step - 1]
    return inside / trials


@pytest.mark.parametrize("n", [16, 400])
def test_intervals_over_starts_cover(n: int) -> None:
    """200 trials at .95: a standard error of .0154, three of them below; above up to 1."""
    assert covered(np.random.default_rng(n), n, 200).min() >= 0.95 - 0.047


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 48, 400])
def test_measured_coverage_over_starts(n: int) -> None:
    """The numbers of docs/metrics.md, with 4000 trials: a standard error of .0034."""
    found = covered(np.random.default_rng(n), n, 4000)
    print(n, found)
    assert np.all((found >= 0.93) & (found <= 0.99))


# --- the rows of the document -----------------------------------------------------------------


def saved(folder: Path, name: str, drift: list[list[float]]) -> tuple[Path, ...]:
    save_file({"l1": np.array(drift)}, folder / name)
    return (folder / name,)


def test_the_threshold_is_the_mean_drift_of_a_still_picture(tmp_path: Path) -> None:
    still = saved(tmp_path, "still", [[0.0, 0.2], [0.4, NAN]])
    arm = saved(tmp_path, "arm", [[0.1, 0.26], [0.3, 0.1]])
    found = survival_of((arm,), still, 2)
    # Each start counts once: the mean of .1 and .4.
    assert found.threshold == pytest.approx(0.25)
    assert found.survival == pytest.approx([0.5, 0.0])
    assert (found.median, found.n, found.unit) == (1, 2, "start")
    assert (found.steps, found.at_risk) == ((1, 2), (2, 1))
    assert np.isnan(threshold_of(saved(tmp_path, "gone", [[NAN, NAN]])))
    both = survival_of((arm, saved(tmp_path, "other", [[0.1, 0.1], [0.1, 0.1]])), still, 2)
    assert both.survival == pytest.approx([0.75, 0.5])
    assert (both.n, both.unit, both.median) == (2, "seed", 2)
