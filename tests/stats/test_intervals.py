"""Intervals and paired tests against scipy, brute force and closed forms."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from diamond.stats.intervals import bootstrap_curve, bootstrap_interval, t_curve, t_interval
from diamond.stats.multiple import holm
from diamond.stats.paired import paired_seeds, paired_starts

NAN = float("nan")
P_VALUES = st.lists(st.none() | st.floats(0, 1), max_size=12)


def test_t_interval_hand_value() -> None:
    """1..5: mean 3, s = sqrt(2.5), t_4(.975) = 2.776445 in printed tables: 3 -/+ 1.963243."""
    interval = t_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert interval.n == 5
    assert interval.mean == 3.0
    assert interval.hi - 3.0 == pytest.approx(1.963243, abs=2e-6)
    assert 3.0 - interval.lo == pytest.approx(1.963243, abs=2e-6)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_t_interval_against_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(2.0, 3.0, n)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    interval = t_interval(values)
    # Both are closed forms in float64; 1e-9 leaves room for the quantile function.
    assert (interval.lo, interval.hi) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_t_interval_few_or_undefined_units() -> None:
    one = t_interval(np.array([7.0, NAN]))
    assert (one.mean, one.n) == (7.0, 1)
    assert np.isnan([one.lo, one.hi]).all()
    none = t_interval(np.array([NAN]))
    assert none.n == 0
    assert np.isnan([none.mean, none.lo, none.hi]).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        t_interval(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="shape"):
        bootstrap_curve(np.zeros(3), 0)
    with pytest.raises(ValueError, match="equal shape"):
        paired_seeds(np.zeros(3), np.zeros(2))


def test_bootstrap_interval_against_scipy() -> None:
    values = np.random.default_rng(0).exponential(1.0, 40)
    resampled = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).bootstrap_distribution
    # Hesterberg's expanded percentile, from the distributions of scipy.
    tail = scipy.stats.norm.cdf(np.sqrt(40 / 39) * scipy.stats.t.ppf(0.025, 39))
    lo, hi = np.quantile(resampled, [tail, 1 - tail])
    interval = bootstrap_interval(values, 2, num_resamples=20_000)
    # The standard error of a 2.1% quantile of a normal law from m resamples is
    # sd sqrt(.021 * .979 / m) / .0503 = .020 sd at m = 20,000; two such, four sigma: .12 sd.
    tolerance = 0.12 * values.std() / np.sqrt(values.size)
    assert interval.lo == pytest.approx(lo, abs=tolerance)
    assert interval.hi == pytest.approx(hi, abs=tolerance)
    assert interval.mean == pytest.approx(values.mean(), rel=1e-12)


def test_bootstrap_depends_on_the_seed_and_on_nothing_else() -> None:
    values = np.random.default_rng(0).normal(size=12)
    assert bootstrap_interval(values, 5) == bootstrap_interval(values, 5)
    assert bootstrap_interval(values, 5) != bootstrap_interval(values, 6)
    with_nan = np.insert(values, [0, 4, 12], NAN)
    assert bootstrap_interval(with_nan, 5) == bootstrap_interval(values, 5)


def test_bootstrap_few_units() -> None:
    one = bootstrap_interval(np.array([7.0]), 0)
    assert (one.mean, one.n) == (7.0, 1)
    assert np.isnan([one.lo, one.hi]).all()
    none = bootstrap_interval(np.array([NAN, NAN]), 0)
    assert none.n == 0
    assert np.isnan([none.mean, none.lo, none.hi]).all()
    assert np.isnan(bootstrap_curve(np.empty((0, 3)), 0)).all()


def test_bootstrap_curve_columns() -> None:
    curves = np.random.default_rng(3).normal(size=(12, 4))
    curves[:, 1] = NAN
    curves[1:, 2] = NAN
    curves[:2, 3] = NAN
    curves[:, 3] += 100
    mean, lo, hi = bootstrap_curve(curves, 9)
    full = bootstrap_interval(curves[:, 0], 9)
    # Same resamples; matrix products of other shapes may add in another order.
    assert (mean[0], lo[0], hi[0]) == pytest.approx((full.mean, full.lo, full.hi), rel=1e-12)
    assert np.isnan([mean[1], lo[1], hi[1]]).all()
    assert mean[2] == curves[0, 2]
    assert np.isnan([lo[2], hi[2]]).all()
    assert mean[3] == pytest.approx(curves[2:, 3].mean(), rel=1e-12)
    # A bound counts the defined curves only: it stays within their range, near 100.
    assert np.nanmin(curves[:, 3]) <= lo[3] < mean[3] < hi[3] <= np.nanmax(curves[:, 3])


def test_bootstrap_curve_resamples_rows_jointly() -> None:
    """Columns that differ by a constant keep that distance in every bound."""
    column = np.random.default_rng(4).normal(size=12)
    _, lo, hi = bootstrap_curve(np.stack([column, column + 10], axis=1), 0)
    assert lo[1] - lo[0] == pytest.approx(10, abs=1e-9)
    assert hi[1] - hi[0] == pytest.approx(10, abs=1e-9)


def test_t_curve_is_the_t_interval_of_each_column() -> None:
    curves = np.random.default_rng(0).normal(size=(6, 5))
    curves[2:, 1] = NAN
    curves[1:, 2] = NAN
    curves[:, 3] = NAN
    found = t_curve(curves)
    for column, values in enumerate(curves.T):
        expected = t_interval(values)
        one = (found.mean[column], found.lo[column], found.hi[column], found.n[column])
        assert one == pytest.approx(
            (expected.mean, expected.lo, expected.hi, expected.n), nan_ok=True
        )
    with pytest.raises(ValueError, match="shape"):
        t_curve(np.ones(3))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_default_interval_covers(n: int) -> None:
    """Within .93 to .97 of normal seeds; 20,000 samples: a standard error of .0015, four of them.

    Over log-normal seeds it covers what docs/metrics.md says.
    """
    rng = np.random.default_rng(n)
    normal, skewed = rng.normal(size=(n, 20_000)), rng.lognormal(size=(n, 20_000))
    found = t_curve(normal)
    share = np.mean((found.lo <= 0) & (found.hi >= 0))
    assert share == pytest.approx(0.95, abs=0.006)
    found = t_curve(skewed)
    share = np.mean((found.lo <= np.exp(0.5)) & (found.hi >= np.exp(0.5)))
    # The standard error is .0026: four of them.
    assert share == pytest.approx({3: 0.836, 5: 0.823, 10: 0.842}[n], abs=0.011)


@pytest.mark.parametrize(
    ("n", "trials", "normal", "skewed"),
    [(16, 1000, 0.947, 0.862), (400, 200, 0.957, 0.940)],
)
def test_coverage_of_the_bootstrap_over_starts(
    n: int, trials: int, normal: float, skewed: float
) -> None:
    """As measured with 4000, 8000 and 1000 samples; the margin is four standard errors."""
    rng = np.random.default_rng(n)
    for expected, true, samples in (
        (normal, 0.0, rng.normal(size=(n, trials))),
        (skewed, np.exp(0.5), rng.lognormal(size=(n, trials))),
    ):
        _, lo, hi = bootstrap_curve(samples, 0, num_resamples=500)
        margin = 4 * float(np.sqrt(expected * (1 - expected) / trials))
        assert np.mean((lo <= true) & (hi >= true)) == pytest.approx(expected, abs=margin)


def sign_flip_by_brute_force(differences: Sequence[int]) -> float:
    """Count in integers, so that ties are exact."""
    observed = abs(sum(differences))
    flips = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(total >= observed for total in sums) / len(sums)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_sign_flip_against_brute_force(differences: list[int]) -> None:
    """Tenths are not exact in binary, so that ties test the tolerance."""
    values = np.array(differences) * 0.1
    result = paired_seeds(values, np.zeros_like(values))
    assert result.p == sign_flip_by_brute_force(differences)
    assert result.p_min == 2 / 2 ** len(differences)


@pytest.mark.parametrize(
    ("n", "p_min"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (10, 2**-9), (15, 2**-14)]
)
def test_smallest_sign_flip_p(n: int, p_min: float) -> None:
    """Differences of one sign reach the smallest value: only the two one-signed patterns do."""
    result = paired_seeds(np.arange(1.0, n + 1), np.zeros(n))
    assert (result.p, result.p_min, result.n) == (p_min, p_min, n)


def test_paired_seeds_is_t_interval_of_a_minus_b() -> None:
    a, b = np.array([1.0, 2.0, 4.0, NAN]), np.array([3.0, 2.5, 4.5, 1.0])
    result = paired_seeds(a, b)
    expected = scipy.stats.ttest_rel(a[:3], b[:3]).confidence_interval(0.95)
    assert result.difference == pytest.approx(-1.0)
    assert (result.lo, result.hi) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (result.n, result.unit) == (3, "seed")
    assert "t interval" in result.method


def test_paired_seeds_too_few_or_too_many_for_p() -> None:
    none = paired_seeds(np.array([NAN]), np.array([1.0]))
    assert (none.n, none.p, none.p_min) == (0, None, None)
    assert np.isnan(none.difference)
    many = paired_seeds(np.arange(16.0), np.zeros(16))
    assert (many.p, many.p_min) == (None, None)
    assert "no sign-flip p above 15" in many.method
    assert many.lo < many.difference < many.hi


def test_paired_starts_says_what_it_is() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    a[0] = NAN
    result = paired_starts(a, b, 3)
    expected = bootstrap_interval(a - b, 3)
    assert (result.difference, result.lo, result.hi) == (expected.mean, expected.lo, expected.hi)
    assert (result.n, result.p, result.p_min, result.unit) == (11, None, None, "start")
    assert "within one trained model" in result.method


def test_pairing_removes_what_starts_share() -> None:
    """A common offset per start is much larger than the difference between the arms."""
    rng = np.random.default_rng(0)
    shared, noise = rng.normal(0, 10, 12), rng.normal(0, 0.1, 12)
    result = paired_starts(shared + 1 + noise, shared, 0)
    assert 0.8 < result.lo < result.hi < 1.2


def test_holm_hand_value() -> None:
    """Sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04; the maximum lifts the last."""
    corrected = holm([0.01, None, 0.04, 0.03, 0.005])
    assert corrected[1] is None
    assert [p for p in corrected if p is not None] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_edges() -> None:
    assert holm([]) == []
    assert holm([None, 0.2]) == [None, 0.2]
    for bad in (1.5, -0.1, NAN):
        with pytest.raises(ValueError, match="p values must be in"):
            holm([0.1, bad])


@given(P_VALUES)
def test_holm_is_monotone_and_at_least_raw(p_values: list[float | None]) -> None:
    corrected = holm(p_values)
    assert [p is None for p in corrected] == [p is None for p in p_values]
    pairs = sorted(
        (raw, new)
        for raw, new in zip(p_values, corrected, strict=True)
        if raw is not None and new is not None
    )
    assert all(raw <= new <= 1 for raw, new in pairs)
    assert all(first[1] <= second[1] for first, second in itertools.pairwise(pairs))


@given(P_VALUES, st.floats(0.01, 0.99))
def test_holm_rejects_as_the_step_down_procedure(
    p_values: list[float | None], alpha: float
) -> None:
    """Walk up the sorted values and stop at the first that exceeds alpha / (values left)."""
    present = sorted(p for p in p_values if p is not None)
    num_rejected = 0
    # The same product as in the corrected value, so that rounding cannot split a tie.
    while (
        num_rejected < len(present)
        and (len(present) - num_rejected) * present[num_rejected] <= alpha
    ):
        num_rejected += 1
    assert sum(p is not None and p <= alpha for p in holm(p_values)) == num_rejected
