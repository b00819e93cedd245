"""From scores to estimates: the numbers against hand-made ones, the unit, pairing, correction."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.fidelity.metrics import METRICS
from diamond.pipeline.scores import (
    METHOD_SEEDS,
    METHOD_STARTS,
    arm_estimates,
    compare,
    comparison_rows,
    number,
    report_steps,
    run_metrics,
)

NAN = math.nan
T_975_1 = 12.706204736
"""97.5% quantile of Student's t with one degree of freedom: tan(pi * 0.475)."""


def scores(*rows: list[float], metric: str = "psnr") -> dict[str, NDArray[np.float64]]:
    return {metric: np.array(rows)}


def all_metrics(values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {spec.name: values.copy() for spec in METRICS}


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
    assert report_steps(horizon) == steps


def test_metrics_of_a_run_are_means_of_what_is_defined() -> None:
    found = run_metrics(scores([1, 2, 3, 4, 5, 6], [3, NAN, NAN, NAN, NAN, NAN]), 6)["psnr"]
    # At t=1 both starts count, at t=5 and t=6 one; over the horizon each start counts once.
    assert found == {"1": 2.0, "5": 5.0, "6": 6.0, "mean": (3.5 + 3) / 2}


def test_what_is_never_defined_is_null_and_warns_of_nothing() -> None:
    found = run_metrics(scores([NAN, NAN], [NAN, NAN]), 2)["psnr"]
    assert found == {"1": None, "2": None, "mean": None}
    estimates = arm_estimates([scores([NAN, NAN], [NAN, NAN])], 2)
    assert estimates.metrics["psnr"]["mean"] == {"mean": None, "lo": None, "hi": None, "n": 0}
    assert estimates.curves["psnr"] == {"mean": [None] * 2, "lo": [None] * 2, "hi": [None] * 2}


def test_zero_is_a_number() -> None:
    assert number(0.0) == 0.0
    assert number(NAN) is None


def test_with_one_seed_the_start_is_the_unit() -> None:
    estimates = arm_estimates([scores([1, 3], [2, 4], [6, 8])], 2)
    assert estimates.interval == {"level": 0.95, "method": METHOD_STARTS, "unit": "start", "n": 3}
    mean = estimates.metrics["psnr"]["mean"]
    assert mean["mean"] == pytest.approx((2 + 3 + 7) / 3)
    assert mean["n"] == 3
    assert 2 <= mean["lo"] < mean["mean"] < mean["hi"] <= 7
    assert estimates.metrics["psnr"]["1"]["mean"] == pytest.approx(3)
    assert estimates.curves["psnr"]["mean"] == pytest.approx([3, 5])


def test_with_two_seeds_the_seed_is_the_unit() -> None:
    estimates = arm_estimates([scores([1, 3], [5, 7]), scores([2, 4], [6, 12])], 2)
    assert estimates.interval == {"level": 0.95, "method": METHOD_SEEDS, "unit": "seed", "n": 2}
    # The means of the seeds are 4 and 6: mean 5, standard error 1.
    mean = estimates.metrics["psnr"]["mean"]
    assert (mean["mean"], mean["n"]) == (pytest.approx(5), 2)
    assert mean["lo"] == pytest.approx(5 - T_975_1)
    assert mean["hi"] == pytest.approx(5 + T_975_1)
    # At t=1 they are 3 and 4, at t=2 5 and 8.
    assert estimates.curves["psnr"]["mean"] == pytest.approx([3.5, 6.5])
    assert estimates.curves["psnr"]["lo"] == pytest.approx([3.5 - T_975_1 / 2, 6.5 - T_975_1 * 1.5])


def test_the_number_of_starts_does_not_narrow_an_interval_over_seeds() -> None:
    few = [scores([1, 1]), scores([3, 3])]
    many = [scores(*[[1.0, 1.0]] * 50), scores(*[[3.0, 3.0]] * 50)]
    assert arm_estimates(few, 2).metrics == arm_estimates(many, 2).metrics


def test_estimates_are_the_same_every_time() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 10))
    assert arm_estimates([{"l1": rows}], 10) == arm_estimates([{"l1": rows}], 10)


def test_a_comparison_uses_the_cells_that_both_have() -> None:
    a = scores([10, 1], [10, 20], [NAN, NAN])
    b = scores([7, NAN], [6, 18], [1, 1])
    paired = compare([a], [b], "psnr")
    # Start 1: 10 - 7. Start 2: 15 - 12. Start 3 is not defined for a.
    assert paired.difference == pytest.approx(3)
    assert (paired.n, paired.unit, paired.p) == (2, "start", None)


def test_a_comparison_over_seeds_pairs_seed_with_seed() -> None:
    a = [scores([1, 1]), scores([10, 10]), scores([100, 100])]
    b = [scores([0, 0]), scores([8, 8]), scores([97, 97])]
    paired = compare(a, b, "psnr")
    assert paired.difference == pytest.approx(2)
    assert (paired.n, paired.unit) == (3, "seed")
    # Differences 1, 2, 3: standard error 1 / sqrt(3); t with two degrees of freedom is 4.302653.
    assert paired.lo == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-5)
    # All eight patterns of signs; the two with equal signs are as extreme as what was seen.
    assert paired.p == pytest.approx(2 / 8)


def test_no_common_cell_gives_no_difference() -> None:
    paired = compare([scores([1, NAN])], [scores([NAN, 1])], "psnr")
    assert math.isnan(paired.difference)
    assert paired.n == 0


def test_all_pairs_of_arms_are_compared_on_all_metrics() -> None:
    rng = np.random.default_rng(1)
    arms = [(name, [all_metrics(rng.normal(size=(3, 4)))]) for name in ("n=1", "n=3", "n=10")]
    rows = comparison_rows(arms, "Boxing", "core_ratio")
    assert [(r["a"], r["b"]) for r in rows if r["metric"] == "psnr"] == [
        ("n=1", "n=3"),
        ("n=1", "n=10"),
        ("n=3", "n=10"),
    ]
    assert len(rows) == 3 * len(METRICS)
    assert {row["p_corrected"] for row in rows} == {None}


def test_holm_corrects_the_secondary_metrics_together_and_never_the_primary_one() -> None:
    rng = np.random.default_rng(2)

    def seeds(shift: float) -> list[dict[str, NDArray[np.float64]]]:
        return [
            {spec.name: rng.normal(size=(3, 4)) + shift * k for k, spec in enumerate(METRICS)}
            for _ in range(6)
        ]

    rows = comparison_rows([("a", seeds(0.0)), ("b", seeds(1.0))], "Boxing", "core_ratio")
    primary = [row for row in rows if row["metric"] == "core_ratio"]
    secondary = [row for row in rows if row["metric"] != "core_ratio"]
    assert len(primary) == 1
    assert primary[0]["p_corrected"] == primary[0]["p"]
    # Holm by its definition: the k-th smallest of m is multiplied by m - k, and may not decrease.
    ordered = sorted(secondary, key=lambda row: row["p"])
    largest = 0.0
    for k, row in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - k) * row["p"]))
        assert row["p_corrected"] == pytest.approx(largest)
    assert any(row["p_corrected"] > row["p"] for row in secondary)
