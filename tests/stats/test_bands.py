"""Simultaneous bands: hand values, properties, and the coverage of whole curves by simulation."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from diamond.stats.bands import (
    bootstrap_band,
    critical_value,
    t_band,
)
from diamond.stats.intervals import bootstrap_curve, t_curve, t_interval
from diamond.stats.least_units import MIN_BOOTSTRAP_UNITS

Array = NDArray[np.float64]
Band = Callable[[Array, int], tuple[Array, Array, Array]]

NAN = float("nan")
HORIZON = 100
TIME = np.arange(HORIZON)
JUMP = np.exp(np.log(100) / (1 + np.exp(-(TIME - 15) / 1.5)))
"""Spread that grows a hundredfold within a few time steps, as of a model that falls apart."""


def rough(rng: np.random.Generator, trials: int, n: int) -> Array:
    """Autoregression with lag-1 correlation .9, by its definition: (trials, n, time)."""
    curves = rng.normal(size=(trials, n, HORIZON))
    for t in range(1, HORIZON):
        curves[..., t] = 0.9 * curves[..., t - 1] + np.sqrt(1 - 0.81) * curves[..., t]
    return curves


def level(rng: np.random.Generator, trials: int, n: int) -> Array:
    """Half of the variance is a shift of the whole curve."""
    return np.asarray((rough(rng, trials, n) + rng.normal(size=(trials, n, 1))) / np.sqrt(2))


def smooth(rng: np.random.Generator, trials: int, n: int) -> Array:
    """Slow cosine waves with random phases and normal weights; correlation length 30 steps."""
    waves = rng.normal(size=(8, 1, 1, 1)) / 30 * TIME
    weights = rng.normal(size=(2, 8, trials, n, 1)) / np.sqrt(8)
    return np.asarray((weights[0] * np.cos(waves) + weights[1] * np.sin(waves)).sum(axis=0))


TRIALS = {16: 1000, 48: 500, 400: 150}
LAWS = {"rough": rough, "level": level, "smooth": smooth}


def coverage(band: Band, trials: Array) -> float:
    """Share of the trials whose band holds zero at every time step."""
    inside = []
    for index, curves in enumerate(trials):
        _, lo, hi = band(curves, index)
        inside.append(bool(np.all((lo <= 0) & (hi >= 0))))
    return float(np.mean(inside))


def fixed(curves: Array, _: int) -> tuple[Array, Array, Array]:
    """The band over seeds, its critical value simulated once."""
    return t_band(curves, 0)


def pointwise(curves: Array, _: int) -> tuple[Array, Array, Array]:
    found = t_curve(curves)
    return found.mean, found.lo, found.hi


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", ["even", "jump"])
def test_a_band_over_few_seeds_holds_the_whole_curve(n: int, law: str, shape: str) -> None:
    """At least .95, whatever the law and however the spread grows; pointwise ones hold less.

    500 trials at .95: a standard error of .0097, three of them.
    """
    profile = JUMP if shape == "jump" else np.ones(HORIZON)
    trials = LAWS[law](np.random.default_rng(n), 500, n) * profile
    assert coverage(fixed, trials) >= 0.95 - 0.029
    assert coverage(pointwise, trials) < 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
def test_measured_coverage_of_bands_over_seeds(n: int) -> None:
    """The numbers of docs/metrics.md, with 4000 trials: a standard error of .0034."""
    rng = np.random.default_rng(n)
    found = {name: coverage(fixed, law(rng, 4000, n)) for name, law in LAWS.items()}
    found["jump"] = coverage(fixed, level(rng, 4000, n) * JUMP)
    skewed = np.exp(level(rng, 4000, n)) - np.exp(0.5)
    print(n, found, "log-normal", coverage(fixed, skewed))
    assert min(found.values()) >= 0.95 - 0.011


@pytest.mark.parametrize(("n", "trials"), [(16, 200), (400, 25)])
@pytest.mark.parametrize("law", ["rough", "level"])
def test_a_band_over_starts_holds_the_whole_curve(n: int, trials: int, law: str) -> None:
    """At least .95 of normal and of log-normal curves: four standard errors."""
    curves = LAWS[law](np.random.default_rng(n), trials, n)
    tolerance = 4 * float(np.sqrt(0.95 * 0.05 / trials))
    assert coverage(few_resamples, curves) >= 0.95 - tolerance
    assert coverage(few_resamples, np.exp(curves) - np.exp(0.5)) >= 0.95 - tolerance


def few_resamples(curves: Array, seed: int) -> tuple[Array, Array, Array]:
    return bootstrap_band(curves, seed, num_resamples=200)


@pytest.mark.slow
@pytest.mark.parametrize("n", [16, 48, 400])
def test_measured_coverage_of_bands_over_starts(n: int) -> None:
    """The numbers of docs/metrics.md, a standard error of at most .018."""
    rng = np.random.default_rng(n)
    for name, law in LAWS.items():
        curves = law(rng, TRIALS[n], n)
        normal, skewed = coverage(bootstrap_band, curves), np.exp(curves) - np.exp(0.5)
        print(n, name, "normal", normal, "log-normal", coverage(bootstrap_band, skewed))
        assert normal >= 0.95 - 0.054


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_band_over_seeds_holds_the_t_intervals(n: int) -> None:
    curves = np.random.default_rng(n).normal(size=(n, 20)) * np.linspace(0.1, 3, 20)
    mean, lo, hi = t_band(curves, 0)
    found = t_curve(curves)
    assert mean == pytest.approx(found.mean)
    assert np.all(lo <= found.lo) and np.all(hi >= found.hi)


def test_one_time_step_has_the_t_interval_for_its_band() -> None:
    values = np.array([[1.0], [2.0], [4.0]])
    expected = scipy.stats.ttest_1samp(values[:, 0], 0.0).confidence_interval(0.95)
    _, lo, hi = t_band(values, 0)
    assert (lo[0], hi[0]) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_critical_value_of_noise_without_pooling_error() -> None:
    """With many seeds the spread is nearly known: max of 20 normals, Sidak's quantile.

    P(max |Z| <= c) = (2 Phi(c) - 1)^20 = .95 at c = 3.02. Spread of 40 seeds pooled over 5 steps
    adds at most 2% (t_195), taking the larger one takes some away; the simulation has a standard
    error of .005 of coverage, .03 of c at a slope of .17: four of them.
    """
    sidak = scipy.stats.norm.ppf((1 + 0.95 ** (1 / 20)) / 2)
    assert critical_value(40, 20, 0) == pytest.approx(sidak, abs=0.02 * sidak + 0.12)


def test_the_spread_is_never_below_its_own_nor_that_of_its_neighbours() -> None:
    """Two seeds that cross at step 10 of 20: the t interval has no width there, the band has."""
    ramp = np.linspace(-1, 1, 21)
    curves = np.stack([ramp, -ramp])
    _, lo, hi = t_band(curves, 0)
    assert t_interval(curves[:, 10]).hi == 0
    # Window of 2 steps each side: deviations 0, .1, .2 twice: variance (2 * .01 + 2 * .04) * 2 / 5.
    critical = critical_value(2, 21, 0)
    expected = critical * np.sqrt(2 * (2 * 0.01 + 2 * 0.04) / 5) / np.sqrt(2)
    assert (hi[10] - lo[10]) / 2 == pytest.approx(expected)
    # At the ends its own spread is the largest: variance 2.
    assert (hi[0] - lo[0]) / 2 == pytest.approx(critical)


@pytest.mark.parametrize("band", [t_band, bootstrap_band])
def test_a_band_depends_on_its_seed_and_on_nothing_else(band: Band) -> None:
    curves = np.random.default_rng(0).normal(size=(12, 30))
    first, again, other = band(curves, 1), band(curves, 1), band(curves, 2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[1], other[1])
    np.testing.assert_array_equal(first[0], other[0])


@pytest.mark.parametrize("band", [t_band, bootstrap_band])
def test_undefined_steps_stay_undefined_and_change_no_other(band: Band) -> None:
    curves = np.random.default_rng(0).normal(size=(14, 30))
    curves[:, 20] = NAN
    curves[1:, 21] = NAN
    mean, lo, hi = band(curves, 0)
    assert np.isnan([mean[20], lo[20], hi[20], lo[21], hi[21]]).all()
    assert mean[21] == curves[0, 21]
    assert np.isfinite(np.delete([lo, hi], [20, 21], axis=1)).all()


def test_a_step_with_fewer_seeds_is_as_wide_as_their_number_asks() -> None:
    curves = np.tile(np.array([[0.0], [1.0], [2.0], [3.0]]), (1, 10))
    curves[3, 9] = NAN
    _, lo, hi = t_band(curves, 0)
    assert (hi[0] - lo[0]) / 2 == pytest.approx(
        critical_value(4, 10, 0) * np.std([0, 1, 2, 3], ddof=1) / 2
    )
    # Steps 9 and 10 pool variance 5/3 with weight 3 and 1 with weight 2.
    pooled = np.sqrt((3 * 5 / 3 + 2 * 1) / 5)
    assert (hi[9] - lo[9]) / 2 == pytest.approx(critical_value(3, 10, 0) * pooled / np.sqrt(3))


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("band", [t_band, bootstrap_band])
def test_one_unit_shows_no_spread(band: Band, n: int) -> None:
    mean, lo, hi = band(np.ones((n, 4)), 0)
    assert np.isnan([lo, hi]).all()
    assert np.isnan(mean).all() if n == 0 else np.all(mean == 1)


def test_a_bootstrap_band_needs_ten_units() -> None:
    curves = np.random.default_rng(0).normal(size=(MIN_BOOTSTRAP_UNITS, 5))
    curves[0, 3] = NAN
    _, lo, _ = bootstrap_band(curves, 0)
    np.testing.assert_array_equal(np.isnan(lo), [False, False, False, True, False])


@pytest.mark.parametrize("odd", [1, 2, 3])
@pytest.mark.parametrize("num", [12, 48, 400])
def test_a_nearly_constant_step_has_no_band_and_widens_no_other(num: int, odd: int) -> None:
    curves = np.random.default_rng(num).normal(size=(num, 8))
    _, lo_alone, hi_alone = bootstrap_band(np.delete(curves, 3, axis=1), 0)
    curves[:, 3] = 0.1
    curves[:odd, 3] = 1.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, lo, hi = bootstrap_band(curves, 0)
    assert np.isnan([lo[3], hi[3]]).all()
    np.testing.assert_array_equal(np.delete([lo, hi], 3, axis=1), [lo_alone, hi_alone])


def test_spread_by_rounding_alone_is_none() -> None:
    curves = np.random.default_rng(1).normal(size=(16, 5))
    curves[:, 2] = 58.9 + 1e-14 * curves[:, 2]
    mean, lo, hi = bootstrap_band(curves, 0)
    assert (lo[2], hi[2]) == pytest.approx((mean[2], mean[2]), abs=1e-9)
    assert ((hi - lo)[[0, 1, 3, 4]] < 4).all()


@pytest.mark.parametrize("band", [t_band, bootstrap_band])
def test_equal_curves_have_a_band_without_width(band: Band) -> None:
    mean, lo, hi = band(np.full((12, 5), 0.25), 0)
    np.testing.assert_array_equal([mean, lo, hi], 0.25)


@pytest.mark.parametrize("band", [t_band, bootstrap_band])
def test_bad_requests_are_refused(band: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="shape"):
        band(np.ones(4), 0)


def test_starts_that_differ_by_rounding_alone_blow_up_no_band() -> None:
    """At a time step one start of forty differs, the others by what float32 leaves of 0."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 8)).astype(np.float32).astype(np.float64)
    values[:, 3] = 0.3 + 1e-8 * rng.normal(size=40)
    values[0, 3] = 1.3
    _, lo, hi = bootstrap_band(values, 1)
    _, inner_lo, inner_hi = bootstrap_curve(values, 1)
    assert np.isnan(lo[3])
    others = [step for step in range(8) if step != 3]
    assert ((hi - lo)[others] < 10 * (inner_hi - inner_lo)[others]).all()
    assert ((hi - lo)[others] > (inner_hi - inner_lo)[others]).all()
