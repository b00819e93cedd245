"""Arms against the baseline arm: pairing, roles, families, decisions, the noise floor."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from diamond.config.metric_table import METRICS
from diamond.findings.arm_inputs import trained_model
from diamond.findings.arm_scores import role_of
from diamond.findings.reader_notes import study_notes
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.results.comparison_model import ONE_SEED, Comparison
from diamond.results.comparisons import (
    NO_FLOOR,
    Role,
    Scored,
    compare,
    comparison_rows,
    corrected,
    noise_rows,
)
from diamond.stats.multiple import holm
from diamond.studies.study_runs import noise_curves

NAN = math.nan
PRIMARY = "core_ratio"
Array = NDArray[np.float64]


def scored(*seeds: list[list[float]], role: Role = "arm", first: int = 0) -> Scored:
    """An arm whose metrics all have the given scores, one array (starts, horizon) a seed."""
    runs = {
        first + k: {m.name: np.array(rows, float) for m in METRICS} for k, rows in enumerate(seeds)
    }
    return Scored("arm", role, runs, len(seeds))


def random_arm(rng: np.random.Generator, num_seeds: int, shift: float, name: str) -> Scored:
    """An arm whose metrics differ by growing shifts from a standard normal law."""
    runs = {
        seed: {m.name: rng.normal(size=(3, 4)) + shift * k for k, m in enumerate(METRICS)}
        for seed in range(num_seeds)
    }
    return Scored(name, "arm", runs, num_seeds)


def test_a_comparison_uses_the_cells_that_both_have() -> None:
    a = scored([[10, 1], [10, 20], [NAN, NAN]])
    b = scored([[7, NAN], [6, 18], [1, 1]])
    found = compare(a, b, "psnr")
    # Start 1: 10 - 7. Start 2: 15 - 12. Start 3 is not defined for a.
    assert found.difference == pytest.approx(3)
    assert (found.n, found.unit, found.p, found.p_t) == (2, "start", None, None)


def test_a_comparison_over_seeds_pairs_seed_with_seed() -> None:
    a = scored([[1, 1]], [[10, 10]], [[100, 100]])
    b = scored([[0, 0]], [[8, 8]], [[97, 97]])
    found = compare(a, b, "psnr")
    assert found.difference == pytest.approx(2)
    assert (found.n, found.unit) == (3, "seed")
    # Differences 1, 2, 3: standard error 1 / sqrt(3); t with two degrees of freedom is 4.302653.
    assert found.lo == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-5)
    # All eight patterns of signs; the two with equal signs are as extreme as what was seen.
    assert found.p == pytest.approx(2 / 8)


def test_a_seed_that_one_side_lacks_is_left_out_and_never_paired_with_another() -> None:
    a = scored([[1.0]], [[10.0]], [[100.0]])
    b = scored([[0.0]], [[8.0]], [[97.0]])
    missing = Scored("arm", "arm", {k: a.scores[k] for k in (2, 0)}, 3)
    found = compare(missing, b, "psnr")
    assert found.difference == pytest.approx((1 + 3) / 2)
    assert found.n == 2
    one = compare(Scored("arm", "arm", {1: a.scores[1]}, 3), b, "psnr")
    assert (one.difference, one.n, one.unit) == (2, 1, "seed")
    assert np.isnan([one.lo, one.hi]).all()
    none = compare(Scored("arm", "arm", {}, 3), b, "psnr")
    assert none.n == 0 and math.isnan(none.difference)


def test_no_common_cell_gives_no_difference() -> None:
    found = compare(scored([[1, NAN]]), scored([[NAN, 1]]), "psnr")
    assert math.isnan(found.difference)
    assert found.n == 0


def test_a_reference_stands_against_every_seed_of_the_baseline_arm() -> None:
    reference = scored([[5.0]], role="reference")
    found = compare(reference, scored([[1.0]], [[2.0]], [[3.0]]), "psnr")
    assert found.difference == pytest.approx(3)
    assert (found.n, found.unit) == (3, "seed")
    assert compare(reference, scored([[1.0], [2.0]]), "psnr").unit == "start"


def test_a_control_is_compared_without_pairs() -> None:
    control = scored([[1.0]], [[2.0]], [[9.0]], role="control", first=3)
    baseline = scored([[2.0]], [[3.0]], [[2.5]])
    found = compare(control, baseline, "psnr")
    expected = scipy.stats.ttest_ind([1, 2, 9], [2, 3, 2.5], equal_var=False)
    assert found.p_t == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.p, found.n) == (None, 3)
    assert "unpaired" in found.method


def study(num_seeds: int, num_arms: int = 3) -> tuple[Comparison, ...]:
    """Comparisons of a study with a baseline arm, others, a control and a reference."""
    rng = np.random.default_rng(2)
    baseline = random_arm(rng, num_seeds, 0.0, "base")
    others = [random_arm(rng, num_seeds, 0.4 * k, f"arm {k}") for k in range(1, num_arms + 1)]
    control = random_arm(rng, num_seeds, 0.0, "again")
    shifted = {seed + num_seeds: scores for seed, scores in control.scores.items()}
    reference = random_arm(rng, 1, 1.0, "copy")
    roles = [
        *others,
        Scored("again", "control", shifted, num_seeds),
        Scored("copy", "reference", reference.scores, 1),
    ]
    return corrected(
        [row for arm in roles for row in comparison_rows(arm, baseline, "Boxing", PRIMARY)]
    )


def test_every_arm_is_compared_with_the_baseline_arm_alone() -> None:
    rows = study(1)
    assert len(rows) == 5 * len(METRICS)
    assert {row.b for row in rows} == {"base"}
    assert [row.a for row in rows if row.metric == PRIMARY] == [
        "arm 1", "arm 2", "arm 3", "again", "copy",
    ]  # fmt: skip
    assert {row.p_t_corrected for row in rows} == {None}
    assert {row.decision for row in rows if row.family == "control"} == {"undefined"}


@pytest.mark.parametrize("name", ["p_t", "p"])
def test_each_family_is_corrected_for_its_own_number(name: str) -> None:
    rows = study(6)
    sizes = {"primary": 3, "secondary": 3 * (len(METRICS) - 1)}
    for family, size in sizes.items():
        members = [row for row in rows if row.family == family]
        assert {row.family_size for row in members} == {size} == {len(members)}
        raw = [getattr(row, name) for row in members]
        assert [getattr(row, f"{name}_corrected") for row in members] == holm(raw)
        assert {row.metric == PRIMARY for row in members} == {family == "primary"}
    for row in rows:
        if row.family in ("control", "reference"):
            assert row.family_size is None
            assert getattr(row, f"{name}_corrected") == getattr(row, name)


def test_the_primary_family_is_over_the_games() -> None:
    games = ("Boxing", "Pong")
    rows = [row.model_copy(update={"game": game}) for game in games for row in study(3)]
    members = [row for row in corrected(rows) if row.family == "primary"]
    assert {row.family_size for row in members} == {6}


def row_of(**changes: Any) -> Comparison:
    row = {
        "game": "Boxing", "metric": PRIMARY, "a": "a", "b": "b", "family": "primary",
        "difference": 0.15, "lo": 0.1, "hi": 0.2, "n": 3, "unit": "seed", "method": "",
        "p_t": 0.04, "p": 0.25,
    }  # fmt: skip
    return Comparison.model_validate(row | changes)


@pytest.mark.parametrize(
    ("rows", "decisions"),
    [
        ([row_of()], ["shown"]),
        ([row_of(), row_of()], ["shown alone"] * 2),
        ([row_of(), row_of(p_t=0.001)], ["shown", "shown"]),  # Holm goes on after the first
        ([row_of(), row_of(p_t=0.6, lo=-1.0)], ["shown alone", "not shown"]),
        ([row_of(), row_of(family="control")], ["shown", "shown"]),
        ([row_of(p_t=None, p=None, unit="start")] * 3, ["shown"] * 3),
        ([row_of(lo=None, hi=None, p_t=None, reason="no interval")], ["undefined"]),
        ([row_of(lo=-0.2, hi=-0.1)], ["shown"]),
    ],
)
def test_decisions(rows: list[Comparison], decisions: list[str]) -> None:
    assert [row.decision for row in corrected(rows)] == decisions


def test_a_difference_within_the_noise_floor_is_marked() -> None:
    baseline = scored([[0.0]], [[2.0]])  # two seeds differ by 2
    small = comparison_rows(scored([[1.9]], [[3.9]]), baseline, "Boxing", PRIMARY)[0]
    large = comparison_rows(scored([[2.1]], [[4.1]]), baseline, "Boxing", PRIMARY)[0]
    assert (small.within_noise, large.within_noise) == (True, False)
    one = comparison_rows(scored([[1.9]]), scored([[0.0]]), "Boxing", PRIMARY)[0]
    assert (one.within_noise, one.detectable) == (None, None)


def test_the_noise_floor_is_what_two_seeds_differ_by() -> None:
    # Starts count alike: the means of the seeds are 1 and 4 at t=1, 2 and 3 at t=2.
    baseline = scored([[0, 2], [2, 2]], [[4, 3], [4, 3]])
    row = noise_rows(baseline, "Boxing", 2)[0]
    assert row.curve == pytest.approx([3, 1])
    assert row.at == {"1": pytest.approx(3), "2": pytest.approx(1), "mean": pytest.approx(2)}
    assert (row.n, row.reason, row.arm) == (2, None, "arm")


def test_one_seed_has_no_noise_floor_and_says_why() -> None:
    row = noise_rows(scored([[0, 2], [2, 2]]), "Boxing", 2)[0]
    assert (row.n, row.reason) == (1, NO_FLOOR)
    assert row.at == {"1": None, "2": None, "mean": None}
    assert row.curve == (None, None)
    assert noise_rows(Scored("arm", "arm", {}, 1), "Boxing", 2) == ()


def test_roles_follow_from_the_plan() -> None:
    plan = make_plan(Request(("steps=1,3",), "smoke", ("Boxing",), 2, "fidelity", None, aa=True))
    assert plan.baseline("Boxing") is plan.arms[0]
    assert [role_of(arm, plan) for arm in plan.arms] == [
        "arm",
        "arm",
        "control",
        "reference",
        "reference",
    ]


def test_the_noise_floor_is_tracked_with_the_baseline_arm_alone() -> None:
    rows = noise_rows(scored([[0, 2]], [[4, 3]]), "Boxing", 2)
    assert noise_curves(rows, "arm", "Boxing")["noise_floor/psnr"] == pytest.approx([4, 1])
    assert noise_curves(rows, "other", "Boxing") == {}
    one = noise_rows(scored([[0, 2]]), "Boxing", 2)
    assert noise_curves(one, "arm", "Boxing") == {}


def test_one_seed_of_arms_trained_apart_decides_nothing() -> None:
    starts = np.linspace(0, 0.3, 10)[:, None]
    baseline = replace(scored(starts.tolist()), model="one")
    for model, reason in (("one", None), ("two", ONE_SEED)):
        arm = replace(scored((5 + starts**2).tolist()), model=model)
        row = corrected(comparison_rows(arm, baseline, "Boxing", PRIMARY))[0]
        assert row.lo is not None and row.lo > 0
        assert row.reason == reason
        assert row.decision == ("shown" if reason is None else "undefined")
        assert ("of one trained model per arm" in row.method) == (reason is not None)
    reference = replace(scored((5 + starts**2).tolist(), role="reference"), model=None)
    assert corrected(comparison_rows(reference, baseline, "Boxing", PRIMARY))[0].reason is None


@pytest.mark.parametrize(
    ("words", "shared"), [("steps=1,3", True), ("denoiser.optimizer.lr=0.0001,0.0003", False)]
)
def test_arms_with_equal_training_share_a_model_and_the_note_says_so(
    words: str, shared: bool
) -> None:
    plan = make_plan(Request((words,), "smoke", ("Boxing",), 1, "fidelity", None))
    first, second = (trained_model(arm) for arm in plan.arms[:2])
    assert (first == second) == shared
    assert ("within one trained model" in study_notes(plan)[-1]) == shared
    assert ("of one trained model per arm" in study_notes(plan)[-1]) != shared


def test_only_the_end_of_a_path_is_primary() -> None:
    ends = {"path_from": ("formulation=ddpm",), "path_to": ("formulation=edm",)}
    request = Request((), "smoke", ("Boxing",), 3, "fidelity", None)
    plan = make_plan(replace(request, design="path", **ends))  # type: ignore[arg-type]
    others = [arm for arm in plan.arms if arm.kind == "arm" and not arm.is_baseline]
    roles = {arm.name: role_of(arm, plan) for arm in others}
    assert [name for name, role in roles.items() if role == "arm"] == [plan.paths["Boxing"].end]
    assert set(roles.values()) == {"arm", "path"}
    rng = np.random.default_rng(0)
    baseline, arm = random_arm(rng, 3, 0.0, "base"), random_arm(rng, 3, 5.0, "way")
    rows = corrected(comparison_rows(replace(arm, role="path"), baseline, "Boxing", PRIMARY))
    assert {(row.family, row.family_size, row.decision) for row in rows} == {
        ("path", None, "undefined")
    }
