"""Metrics with one value a run: estimates, comparisons, noise floor, paths, claims, tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diamond.config.metric_table import METRIC_OF, METRICS, is_set
from diamond.errors import RequestError
from diamond.plan.claims.claim_parser import parse_claim
from diamond.plan.path import Path as FlipPath
from diamond.report.answer.answers import answered
from diamond.report.console import result_table
from diamond.report.tables import metric_groups, noise_table
from diamond.results.comparisons import Scored, comparison_rows, corrected, noise_rows
from diamond.results.metric_model import Estimate
from diamond.results.paths import path_result
from diamond.results.rollout_estimates import Scores, arm_estimates, run_means
from diamond.sweep.objectives import QUANTITY_OF
from tests.result_documents import result, three_arms

FD = "fd_inverse_dynamics"
HORIZON = 10


def run_scores(distance: float, level: float = 0.5) -> Scores:
    return {
        FD: np.array([[distance]]),
        f"{FD}_real": np.array([[0.1]]),
        "end_auroc": np.array([[np.nan]]),
        "psnr": np.full((4, HORIZON), level),
    }


def arm(name: str, *distances: float, role: Any = "arm") -> Scored:
    runs = {seed: run_scores(d, d) for seed, d in enumerate(distances)}
    return Scored(name, role, runs, len(distances))


def test_every_metric_of_judges_is_in_the_table() -> None:
    assert is_set(FD) and is_set(f"{FD}_real") and not is_set("kl_policy")
    assert METRIC_OF["kl_policy"].stage == "policy_fidelity"
    assert {spec.stage for spec in METRICS} == {"fidelity", "policy_fidelity"}


def test_what_is_better_neither_way_is_no_objective() -> None:
    assert METRIC_OF["policy_entropy"].direction == "none"
    assert "policy_entropy" not in QUANTITY_OF
    assert QUANTITY_OF["imagination_gap"].origin == "distance"


def test_a_start_of_its_own_is_the_unit_of_an_interval() -> None:
    """Returns from the held-out starts have one value a start."""
    gaps = {"imagination_gap": np.arange(12.0)[:, None], **run_scores(1.0)}
    value = arm_estimates([gaps], HORIZON).metrics["imagination_gap"]["mean"]
    assert value is not None and value.lo is not None and value.hi is not None
    assert (value.mean, value.n) == (5.5, 12) and value.lo < 5.5 < value.hi


def test_a_run_has_its_value_under_mean_alone() -> None:
    found = run_means(run_scores(3.0), HORIZON).metrics
    assert found[FD] == {"mean": 3.0}
    assert found["end_auroc"] == {"mean": None}
    assert set(found["psnr"]) == {"1", "5", "10", "mean"}


def test_seeds_are_the_unit_and_one_seed_has_no_interval() -> None:
    many = arm_estimates([run_scores(d) for d in (1.0, 2.0, 3.0)], HORIZON)
    value = many.metrics[FD]["mean"]
    assert value is not None and value.hi is not None
    # Standard error 1 / sqrt(3); t with two degrees of freedom is 4.302653.
    assert value.mean == pytest.approx(2)
    assert value.hi == pytest.approx(2 + 4.302653 / np.sqrt(3), rel=1e-5)
    assert set(many.metrics[FD]) == {"mean"} and FD not in many.curves and "psnr" in many.curves
    one = arm_estimates([run_scores(1.0)], HORIZON)
    assert one.metrics[FD]["mean"] == Estimate(mean=1.0, n=1)
    assert one.num_starts == 4
    assert many.metrics["end_auroc"]["mean"] is None


def test_arms_are_compared_by_seed() -> None:
    rows = comparison_rows(arm("a", 2.0, 4.0, 6.0), arm("b", 1.0, 2.0, 3.0), "Boxing", FD)
    done = {row.metric: row for row in corrected(rows)}
    assert done[FD].difference == pytest.approx(2)
    assert (done[FD].n, done[FD].unit, done[FD].family) == (3, "seed", "primary")
    assert done["end_auroc"].decision == "undefined"
    (single,) = (
        row
        for row in corrected(comparison_rows(arm("a", 2.0), arm("b", 1.0), "Boxing", FD))
        if row.metric == FD
    )
    assert (single.difference, single.decision) == (1.0, "undefined")


def test_what_only_one_side_was_scored_in_is_not_compared() -> None:
    """A baseline without training has no reward/end model and no policy."""
    world = arm("a", 2.0, 4.0)
    still = Scored("copy", "reference", {0: {"psnr": np.ones((4, HORIZON))}}, 1)
    found = comparison_rows(still, world, "Boxing", FD)
    assert [row.metric for row in found] == ["psnr"]


def test_the_noise_floor_has_no_curve() -> None:
    rows = {row.metric: row for row in noise_rows(arm("b", 1.0, 3.0), "Boxing", HORIZON)}
    # Two seeds: sqrt(2) times a standard deviation of sqrt(2) is their difference.
    assert rows[FD].at == {"mean": pytest.approx(2.0)}
    assert rows[FD].curve == () and len(rows["psnr"].curve) == HORIZON


def test_a_path_sums_it_up() -> None:
    walks: Any = {"forward": (), "backward": ()}
    path = FlipPath("a", "b", (), walks, ())
    scores = {"a": [run_scores(1.0), run_scores(2.0)], "b": [run_scores(4.0), run_scores(7.0)]}
    found = path_result(path, scores, 2).metrics[FD]
    assert found.values == {"a": 1.5, "b": 5.5}
    assert found.total.change == pytest.approx(4.0)
    assert found.total.unit == "seed"


def test_a_claim_names_no_time_step_of_it() -> None:
    assert parse_claim(f"{FD}[steps=1] > {FD}_real[steps=1]")
    assert parse_claim("kl_policy[steps=1 @5] < 0.1")
    with pytest.raises(RequestError, match=f"{FD} has no time steps: write {FD}"):
        parse_claim(f"{FD}[steps=1 @5] > 1")


def document() -> dict[str, Any]:
    """The document of a study whose primary metric is of a set."""
    doc = three_arms()
    spec = METRIC_OF[FD]
    doc["metrics"].append(
        {"name": FD, "label": spec.label, "unit": "", "direction": "lower", "group": spec.group,
         "kind": "set"}
    )  # fmt: skip
    for place, one in enumerate(doc["arms"]):
        value = {"mean": 1.0 + place, "lo": None, "hi": None, "n": 1}
        one["metrics"][FD] = {"mean": value}
    doc["comparisons"] = []
    doc["noise_floor"] = [
        {"game": "Boxing", "metric": FD, "arm": "steps=1", "n": 3, "at": {"mean": 0.25},
         "curve": [], "reason": None}
    ]  # fmt: skip
    return doc | {"primary_metric": FD}


def test_tables_show_one_value_and_figures_none() -> None:
    doc = document()
    [first] = metric_groups(result(doc), "Boxing")[0]["tables"].values()
    assert first.title == "FD-inverse-dynamics: lower is better, primary metric"
    assert [row.cells[-1].text for row in first.rows][:2] == ["1.00", "2.00"]
    assert first.columns == ("arm", "all frames")
    assert not result(doc).has_curve("Boxing", FD)
    floor = noise_table(result(doc))
    assert floor.rows[0].cells[-1].text == "0.250"
    assert {cell.text for cell in floor.rows[0].cells[:-1]} == {"–"}


def test_terminal_and_sentence_say_that_it_is_of_all_frames() -> None:
    doc = document()
    heads = result_table(result(doc), "Boxing").columns
    assert "FD-inverse-dynamics\nall frames" in heads
    assert "all frames of 100 time steps" in answered(result(doc)).answers[0].found.text


def test_scores_of_several_stages_are_read_as_one(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from diamond.results.rollout_estimates import load_scores

    frames, policies = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(dict(run_scores(1.0)), frames)
    save_file({"kl_policy": np.zeros((4, HORIZON))}, policies)
    found = load_scores((frames, policies))
    assert set(found) == {*run_scores(1.0), "kl_policy"}
    assert found[FD].shape == (1, 1)
