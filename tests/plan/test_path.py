"""A path between two configs: factors, walks, what is left out, changes, sums, the figure."""

import copy
import dataclasses
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

import diamond.plan.path as path_module
from diamond.config.metric_table import METRICS
from diamond.config.overrides import get_field, override
from diamond.config.presets import make_preset
from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.formulations import FORMULATION_FIELDS
from diamond.plan.make_plan import make_plan
from diamond.plan.path import DIRECTIONS, Direction, LeftOut, Path, find_factors, invalid_reason
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.report.figures.figure_style import figure_bytes
from diamond.report.figures.waterfall import waterfall_figure
from diamond.report.page import write_report
from diamond.report.path_tables import path_sentences, path_table
from diamond.results.paths import factor_groups, path_result
from tests.result_documents import document, result

REQUEST = Request(
    (),
    "smoke",
    ("Boxing",),
    1,
    "fidelity",
    None,
    design="path",
    path_from=("formulation=ddpm",),
    path_to=("formulation=edm",),
)
SHORT = dataclasses.replace(
    REQUEST,
    path_from=("steps=1 denoiser.batch_size=2 policy.value_weight=0.5",),
    path_to=("steps=3 denoiser.batch_size=4", "policy.value_weight=1.0"),
)
STEPS, BATCH, WEIGHT = "steps", "denoiser.batch_size", "policy.value_weight"


def factor_names(path: Path) -> list[str]:
    return [factor.name for factor in path.factors]


def walked(plan: Plan) -> Path:
    return plan.paths["Boxing"]


def refuse(monkeypatch: pytest.MonkeyPatch, *combinations: str) -> None:
    """Let combinations of the factors of SHORT be no model, by the first letters of the flipped."""

    def reason(config: RunConfig) -> str | None:
        flipped = {
            "s": diamond_of(config).sampler.steps == 3,
            "b": diamond_of(config).denoiser.batch_size == 4,
            "v": config.policy.value_weight == 1.0,
        }
        found = "".join(letter for letter, is_flipped in flipped.items() if is_flipped)
        return "a combination without sense" if found in combinations else invalid_reason(config)

    monkeypatch.setattr(path_module, "invalid_reason", reason)


APART = ("s", "b", "sv", "bv")
"""Steps and batch size go together or not at all."""


def steps_of(path: Path, direction: Direction) -> list[tuple[str, ...]]:
    return [flip.factors for flip in path.walks[direction]]


# --- the plan ---------------------------------------------------------------------------------


def test_the_factors_are_all_that_differs_each_field_once() -> None:
    preset = make_preset("smoke", "Boxing")
    start = override(preset, dict(FORMULATION_FIELDS["ddpm"]))
    factors = find_factors(start, preset)
    fields = [field for factor in factors for field in factor.old]
    others = FORMULATION_FIELDS["ddpm"].items()
    assert sorted(fields) == sorted(f for f, value in others if get_field(preset, f) != value)
    for factor in factors:
        assert factor.old == {field: get_field(start, field) for field in factor.old}
        assert factor.new == {field: get_field(preset, field) for field in factor.new}


def test_a_field_of_a_named_axis_is_called_by_its_name() -> None:
    assert factor_names(walked(make_plan(SHORT))) == [STEPS, BATCH, WEIGHT]


def test_both_walks_begin_and_end_together_and_flip_each_factor_once() -> None:
    plan = make_plan(REQUEST)
    path = walked(plan)
    configs = {arm.name: arm.runs[0].config for arm in plan.arms}
    for direction in DIRECTIONS:
        walk = path.walks[direction]
        flipped = [name for flip in walk for name in flip.factors]
        in_order = factor_names(path) if direction == "forward" else factor_names(path)[::-1]
        assert flipped == in_order
        assert walk[-1].arm == path.end == "formulation=edm"
        before = configs[path.start]
        for flip in walk:
            after = configs[flip.arm]
            changed = [factor.name for factor in find_factors(before, after)]
            assert tuple(changed) == flip.factors
            before = after
    own = [arm.name for arm in plan.arms if arm.kind == "arm"]
    assert own == list(path.arms())
    assert len(own) == len(set(own)) == 2 * len(path.factors)
    assert plan.baseline("Boxing").name == path.start


def test_walks_share_the_arms_in_which_they_meet() -> None:
    two = dataclasses.replace(
        REQUEST, path_from=("steps=1",), path_to=("steps=3",)
    )  # one factor: both walks are one flip
    path = walked(make_plan(two))
    assert path.arms() == ("steps=1", "steps=3")
    assert path.walks["forward"] == path.walks["backward"]


def test_a_factor_that_leads_to_no_model_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "s")  # the first flip forward, and on no other way
    path = walked(make_plan(SHORT))
    assert steps_of(path, "forward") == [(BATCH,), (STEPS,), (WEIGHT,)]
    assert steps_of(path, "backward") == [(WEIGHT,), (BATCH,), (STEPS,)]
    assert path.left_out == (LeftOut("forward", (STEPS,), "a combination without sense"),)
    assert factor_groups(path) == [(STEPS,), (BATCH,), (WEIGHT,)]


def test_only_what_does_not_go_alone_is_flipped_jointly(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, *APART)
    path = walked(make_plan(SHORT))
    assert steps_of(path, "forward") == [(WEIGHT,), (STEPS, BATCH)]
    assert steps_of(path, "backward") == [(WEIGHT,), (BATCH, STEPS)]
    # Both walks meet the last two; each is named once.
    refused = [left.factors for left in path.left_out]
    assert refused == [(STEPS,), (BATCH,), (STEPS, WEIGHT), (BATCH, WEIGHT)]
    assert factor_groups(path) == [(STEPS, BATCH), (WEIGHT,)]


def test_a_flip_that_is_joint_on_one_walk_is_one_group_on_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse(monkeypatch, "sb", "sv")
    path = walked(make_plan(SHORT))
    assert steps_of(path, "forward") == [(STEPS,), (BATCH, WEIGHT)]
    assert steps_of(path, "backward") == [(WEIGHT,), (BATCH,), (STEPS,)]
    assert factor_groups(path) == [(STEPS,), (BATCH, WEIGHT)]
    found = path_result(path, scores_of(path, 2), 2).metrics["psnr"]
    for direction in DIRECTIONS:
        assert found.sums[direction] == pytest.approx(found.total.change, abs=1e-12)


def test_one_blocked_factor_takes_no_other_with_it() -> None:
    ends = {"path_from": ("formulation=ddpm steps=10",), "path_to": ("formulation=edm steps=10",)}
    request = dataclasses.replace(REQUEST, preset="tiny", **ends)  # type: ignore[arg-type]
    path = walked(make_plan(request))
    assert path.left_out
    alone = {flip.factors[0] for flip in path.walks["forward"] if len(flip.factors) == 1}
    assert alone >= {"offset_law", "solver", "autoregressive"}
    for direction in DIRECTIONS:
        flipped = [name for flip in path.walks[direction] for name in flip.factors]
        assert sorted(flipped) == sorted(factor_names(path))


def test_a_config_that_validation_refuses_has_a_reason() -> None:
    config = make_preset("smoke", "Boxing")
    assert invalid_reason(config) is None
    world = diamond_of(config)
    denoiser = world.denoiser.model_copy(update={"channels": (8, 8, 8)})
    broken = config.model_copy(update={"world": world.model_copy(update={"denoiser": denoiser})})
    assert "differ in length" in (invalid_reason(broken) or "")


def test_a_walk_goes_around_what_validation_refuses() -> None:
    request = dataclasses.replace(
        REQUEST,
        path_from=("denoiser.channels=[8,8] denoiser.depths=[1,1]",),
        path_to=("denoiser.channels=[8,8,8] denoiser.depths=[1,1,2]",),
    )
    path = walked(make_plan(request))
    joint = ("width", "depth")
    assert [flip.factors for flip in path.walks["forward"]] == [joint]
    assert [left.factors for left in path.left_out] == [("width",), ("depth",)]
    assert all("differ in length" in left.reason for left in path.left_out)


def test_games_may_differ_in_their_factors() -> None:
    plan = make_plan(dataclasses.replace(REQUEST, preset="tiny", games=("Boxing", "Breakout")))
    passes = "denoiser.autoregressive_passes"
    fields = {
        game: {field for factor in path.factors for field in factor.old}
        for game, path in plan.paths.items()
    }
    assert passes in fields["Boxing"]
    assert passes not in fields["Breakout"]


# --- what flips change ------------------------------------------------------------------------


def scores_of(path: Path, num_seeds: int) -> dict[str, list[Any]]:
    """Scores of (4 starts, 5 steps) that differ between arms, with undefined cells of some."""
    rng = np.random.default_rng(0)
    scores: dict[str, list[Any]] = {}
    for index, arm in enumerate(path.arms()):
        runs = []
        for _ in range(num_seeds):
            values = 0.1 * index + 0.05 * rng.standard_normal((4, 5))
            values[index % 4, : index % 3] = np.nan
            runs.append({spec.name: values for spec in METRICS})
        scores[arm] = runs
    return scores


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_the_changes_of_each_walk_sum_to_the_total(num_seeds: int) -> None:
    path = walked(make_plan(SHORT))
    found = path_result(path, scores_of(path, num_seeds), num_seeds).metrics["psnr"]
    total = found.total.change
    first, last = found.values[path.start], found.values[path.end]
    assert first is not None and last is not None
    assert total == pytest.approx(last - first, abs=1e-12)
    for direction in DIRECTIONS:
        assert found.sums[direction] == pytest.approx(total, abs=1e-12)
        changes = [getattr(row, direction).change for row in found.ranges]
        assert sum(changes) == pytest.approx(total, abs=1e-12)
    for row in found.ranges:
        both = [getattr(row, direction).change for direction in DIRECTIONS]
        assert (row.min, row.max) == (min(both), max(both))
    unit = "start" if num_seeds == 1 else "seed"
    assert {flip.change.unit for flip in found.walks["forward"]} == {unit}
    assert found.cells_share is not None and 0 < found.cells_share < 1


def test_the_change_of_a_flip_is_paired_over_common_cells() -> None:
    path = walked(make_plan(SHORT))
    scores = scores_of(path, 3)
    first = path.walks["backward"][0]
    found = path_result(path, scores, 3).metrics["psnr"]
    every = np.array([[run["psnr"] for run in runs] for runs in scores.values()])
    lost = list(np.isnan(every).any(axis=0))
    differences = [
        np.nanmean(np.nanmean(np.where(gone, np.nan, one["psnr"] - other["psnr"]), axis=1))
        for one, other, gone in zip(scores[first.arm], scores[path.start], lost, strict=True)
    ]
    assert found.walks["backward"][0].change.change == pytest.approx(float(np.mean(differences)))
    assert found.walks["backward"][0].change.n == 3


def test_an_arm_without_result_takes_away_its_flips_and_no_more() -> None:
    path = walked(make_plan(SHORT))
    scores = scores_of(path, 1)
    lost = path.walks["forward"][0].arm
    scores[lost] = []
    found = path_result(path, scores, 1).metrics["psnr"]
    forward = [flip.change.change for flip in found.walks["forward"]]
    assert [change is None for change in forward] == [True, True, False]
    assert None not in [flip.change.change for flip in found.walks["backward"]]
    assert found.sums["forward"] is None
    assert found.total.change is not None
    assert [row.min is None for row in found.ranges] == [True, True, False]
    nothing = path_result(path, {arm: [] for arm in scores}, 1).metrics["psnr"]
    assert (nothing.values, nothing.total.change) == ({}, None)


def test_a_joint_flip_has_one_change_on_both_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, *APART)
    path = walked(make_plan(SHORT))
    found = path_result(path, scores_of(path, 2), 2).metrics["psnr"]
    joint, alone = found.ranges
    assert (joint.factors, alone.factors) == ((STEPS, BATCH), (WEIGHT,))
    for direction in DIRECTIONS:
        last = found.walks[direction][-1]
        assert getattr(joint, direction).change == pytest.approx(last.change.change)


# --- what a reader sees -----------------------------------------------------------------------


def path_page(path: Path, scores: dict[str, list[Any]], num_seeds: int) -> dict[str, Any]:
    doc = document(dict.fromkeys(path.arms(), 0.6), [])
    return doc | {"path": {"Boxing": path_result(path, scores, num_seeds)}}


def test_the_report_shows_the_path(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, *APART)
    path = walked(make_plan(SHORT))
    doc = path_page(path, scores_of(path, 3), 3)
    doc["metrics"] = [row for row in doc["metrics"] if row["name"].startswith("core_ratio")]
    paths = write_report(result(doc), [], tmp_path)
    assert (tmp_path / "figures" / "boxing-path.png").stat().st_size > 1000
    for text in (paths.html.read_text(), paths.markdown.read_text().replace("\\", "")):
        assert "Path: Boxing" in text
        assert "steps + denoiser.batch_size" in text
        assert "a combination without sense" in text
        assert "sum of the changes" in text
    table = path_table(result(doc), "Boxing", "core_ratio")
    assert [row.name for row in table.rows][-2:] == ["sum of the changes", "end minus start"]
    sums, total = table.rows[-2].cells, table.rows[-1].cells
    assert sums[1].text == sums[2].text == total[1].text
    assert "range is part of the answer" in path_sentences(result(doc), "Boxing")[0]


def test_the_waterfall_draws_every_flip_and_names_the_factors() -> None:
    path = walked(make_plan(SHORT))
    doc = path_page(path, scores_of(path, 3), 3)
    figure = waterfall_figure(result(doc), "Boxing", "core_ratio")
    forward, backward, ranges = figure.axes
    found = doc["path"]["Boxing"].metrics["core_ratio"]
    for axes, direction in ((forward, "forward"), (backward, "backward")):
        widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
        assert widths == pytest.approx([f.change.change for f in found.walks[direction]])
    # The forward walk begins above the first row of factors, the backward walk below the last.
    for axes, begins_above in ((forward, True), (backward, False)):
        rows = {text.get_text(): text.xy[1] for text in axes.texts}  # type: ignore[attr-defined]
        assert (rows[path.start] < rows[path.end]) == begins_above
    assert [label.get_text() for label in forward.get_yticklabels()] == [STEPS, BATCH, WEIGHT]
    assert len([text for text in ranges.texts if "/" in text.get_text()]) == 3
    assert figure_bytes(figure, "png") == figure_bytes(
        waterfall_figure(result(copy.deepcopy(doc)), "Boxing", "core_ratio"), "png"
    )


def test_a_waterfall_says_where_a_value_is_missing() -> None:
    path = walked(make_plan(SHORT))
    scores = scores_of(path, 1)
    scores[path.walks["forward"][0].arm] = []
    figure = waterfall_figure(result(path_page(path, scores, 1)), "Boxing", "core_ratio")
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert [found.count("no value") for found in texts] == [2, 0, 2]
