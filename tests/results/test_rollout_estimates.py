"""From scores to estimates: the numbers against hand-made ones, and the unit of replication."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.results.metric_model import Estimate, Interval
from diamond.results.rollout_estimates import (
    BAND_SEEDS,
    BAND_STARTS,
    METHOD_SEEDS,
    METHOD_STARTS,
    arm_estimates,
    arm_interval,
    report_steps,
    run_means,
)
from diamond.results.values import defined
from diamond.seeds import Purpose, derive
from diamond.stats.bands import bootstrap_band, t_band
from diamond.stats.intervals import t_interval

NAN = math.nan
T_975_1 = 12.706204736
"""97.5% quantile of Student's t with one degree of freedom: tan(pi * 0.475)."""


def scores(*rows: list[float], metric: str = "psnr") -> dict[str, NDArray[np.float64]]:
    return {metric: np.array(rows)}


@pytest.mark.parametrize(
    ("horizon", "steps"),
    [
        (10, [1, 5, 10]),
        (7, [1, 5, 7]),
        (1, [1]),
        (100, [1, 5, 10, 20, 50, 100]),
        (1000, [1, 5, 10, 20, 50, 100, 1000]),
    ],
)
def test_report_steps_end_at_the_horizon(horizon: int, steps: list[int]) -> None:
    assert list(report_steps(horizon)) == steps


def test_metrics_of_a_run_are_means_of_what_is_defined() -> None:
    found = run_means(scores([1, 2, 3, 4, 5, 6], [3, NAN, NAN, NAN, NAN, NAN]), 6).metrics["psnr"]
    # At t=1 both starts count, at t=5 and t=6 one; over the horizon each start counts once.
    assert found == {"1": 2.0, "5": 5.0, "6": 6.0, "mean": (3.5 + 3) / 2}


def test_what_is_never_defined_is_null_and_warns_of_nothing() -> None:
    found = run_means(scores([NAN, NAN], [NAN, NAN]), 2).metrics["psnr"]
    assert found == {"1": None, "2": None, "mean": None}
    estimates = arm_estimates([scores([NAN, NAN], [NAN, NAN])], 2)
    assert estimates.metrics["psnr"]["mean"] is None
    parts = ("mean", "lo", "hi", "band_lo", "band_hi")
    assert estimates.curves["psnr"].model_dump() == dict.fromkeys(parts, (None, None))


def test_zero_is_a_number_and_infinity_is_none() -> None:
    assert defined([0.0, NAN, math.inf, None]) == (0.0, None, None, None)
    assert Estimate(mean=0.0, lo=NAN, hi=-math.inf) == Estimate(mean=0.0)


def test_with_one_seed_the_start_is_the_unit() -> None:
    estimates = arm_estimates([scores(*[[1.0, 3.0], [2.0, 4.0], [6.0, 8.0]] * 4)], 2)
    assert arm_interval(1, estimates.num_starts) == Interval(
        level=0.95, method=METHOD_STARTS, band_method=BAND_STARTS, unit="start", n=12
    )
    mean = estimates.metrics["psnr"]["mean"]
    assert mean is not None and mean.lo is not None and mean.hi is not None
    assert mean.mean == pytest.approx((2 + 3 + 7) / 3)
    assert mean.n == 12
    assert 2 <= mean.lo < mean.mean < mean.hi <= 7
    first = estimates.metrics["psnr"]["1"]
    assert first is not None and first.mean == pytest.approx(3)
    assert estimates.curves["psnr"].mean == pytest.approx([3, 5])


def test_with_two_seeds_the_seed_is_the_unit() -> None:
    estimates = arm_estimates([scores([1, 3], [5, 7]), scores([2, 4], [6, 12])], 2)
    assert arm_interval(2, estimates.num_starts) == Interval(
        level=0.95, method=METHOD_SEEDS, band_method=BAND_SEEDS, unit="seed", n=2
    )
    # The means of the seeds are 4 and 6: mean 5, standard error 1.
    mean = estimates.metrics["psnr"]["mean"]
    assert mean is not None and mean.lo is not None and mean.hi is not None
    assert mean.mean == pytest.approx(5)
    assert mean.n == 2
    assert mean.lo == pytest.approx(5 - T_975_1)
    assert mean.hi == pytest.approx(5 + T_975_1)
    # At t=1 they are 3 and 4, at t=2 5 and 8.
    assert estimates.curves["psnr"].mean == pytest.approx([3.5, 6.5])
    assert estimates.curves["psnr"].lo == pytest.approx([3.5 - T_975_1 / 2, 6.5 - T_975_1 * 1.5])


def test_the_number_of_starts_does_not_narrow_an_interval_over_seeds() -> None:
    few = [scores([1, 1]), scores([3, 3])]
    many = [scores(*[[1.0, 1.0]] * 50), scores(*[[3.0, 3.0]] * 50)]
    assert arm_estimates(few, 2).metrics == arm_estimates(many, 2).metrics


def test_estimates_are_the_same_every_time() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 10))
    assert arm_estimates([{"l1": rows}], 10) == arm_estimates([{"l1": rows}], 10)


def test_curves_over_seeds_have_a_band_of_the_means_of_the_seeds() -> None:
    rng = np.random.default_rng(0)
    runs = [{"l1": rng.normal(size=(4, 20))} for _ in range(3)]
    runs[0]["l1"][1, 7:] = NAN
    means = np.array([np.nanmean(run["l1"], axis=0) for run in runs])
    _, lo, hi = t_band(means, derive(0, Purpose.BANDS))
    curve = arm_estimates(runs, 20).curves["l1"]
    assert curve.band_lo == pytest.approx(lo.tolist())
    assert curve.band_hi == pytest.approx(hi.tolist())
    for step in range(20):
        expected = t_interval(means[:, step])
        assert (curve.lo[step], curve.hi[step]) == pytest.approx((expected.lo, expected.hi))


def test_curves_over_starts_have_a_band_where_ten_starts_are_left() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 6))
    rows[:3, 4:] = NAN
    curve = arm_estimates([{"l1": rows}], 6).curves["l1"]
    _, lo, _ = bootstrap_band(rows, derive(0, Purpose.BANDS, "l1"))
    assert curve.band_lo[:4] == pytest.approx(lo[:4].tolist())
    assert curve.band_lo[4:] == (None, None)
    assert curve.lo[4] is None
