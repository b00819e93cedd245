"""Arms with a known defect: how they are made, what they share, and which metrics tell them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from diamond.config.metric_table import METRICS
from diamond.config.presets import make_preset
from diamond.config.scoring import DEFECTS, Defect, RolloutsConfig
from diamond.data.defects import BLUR_PIXELS, blurred, spoilt
from diamond.data.frame_files import read_stack
from diamond.engine.needed_stages import plan_needs
from diamond.engine.output_names import COUNTERFACTUAL_FILE, FRAMES_FILE, SAMPLES_FILE
from diamond.errors import RequestError
from diamond.makers.rollout_passes import Starts, passes_of, roll
from diamond.plan.declarations import Declared, Given, read_declaration
from diamond.plan.joined_requests import command_words, join_requests
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.report.controls import blind_metrics, control_sentences, control_table
from diamond.results.comparison_model import Comparison, Seen, Sensitivity
from diamond.results.rollout_estimates import described
from diamond.results.sensitivity import Control, sensitivity_rows
from diamond.studies.arm_selection import selected_stages
from tests.makers.test_rollout_passes import SAMPLES, NoiseWorld, context_of, make_others, make_view
from tests.result_documents import document, result

ROUNDING = 1.0
"""Levels: one of 255 either way, where two sums differ in their order."""


def imagined(folder: Path, defect: Defect, checkpoint_seconds: float = 1e9) -> dict[str, Any]:
    view = make_view()
    passes = passes_of(view, SAMPLES, make_others(), defect)
    context = context_of(folder, checkpoint_seconds)
    roll(context, [Starts(NoiseWorld(), view, passes)], defect)
    names = (FRAMES_FILE, SAMPLES_FILE, COUNTERFACTUAL_FILE)
    return {name: np.asarray(read_stack(context.folder / name)) for name in names}


def test_lagged_frames_are_those_of_the_step_before(tmp_path: Path) -> None:
    sound, late = imagined(tmp_path / "a", "none"), imagined(tmp_path / "b", "lagged")
    last = make_view().context[:, -1]
    for name, frames in sound.items():
        np.testing.assert_array_equal(late[name][..., 1:, :, :, :], frames[..., :-1, :, :, :])
        first = late[name][..., 0, :, :, :]
        expected = last[:, None] if name == SAMPLES_FILE else last
        np.testing.assert_array_equal(first, np.broadcast_to(expected, first.shape))


def test_blurred_frames_are_those_drawn_and_imagination_goes_on_undisturbed(tmp_path: Path) -> None:
    sound, soft = imagined(tmp_path / "a", "none"), imagined(tmp_path / "b", "blurred")
    for name, frames in sound.items():
        np.testing.assert_array_equal(soft[name], blurred(frames))
        assert not np.array_equal(soft[name], frames)


def test_the_blur_is_that_of_scipy() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 9, 3), dtype=np.uint8)
    sigma = (0, BLUR_PIXELS, BLUR_PIXELS, 0)
    theirs = gaussian_filter(frames.astype(float), sigma, mode="nearest", truncate=3)
    assert np.abs(blurred(frames).astype(float) - theirs).max() <= ROUNDING


def test_shuffled_actions_are_those_of_another_start(tmp_path: Path) -> None:
    view = make_view()
    passes = passes_of(view, SAMPLES, make_others(), "actions_shuffled")
    sound = passes_of(view, SAMPLES, make_others())
    for one, other in zip(passes, sound, strict=True):
        np.testing.assert_array_equal(one.actions[0], other.actions[-1])
        np.testing.assert_array_equal(one.actions[1:], other.actions[:-1])
    frames = imagined(tmp_path / "a", "none")[FRAMES_FILE]
    assert not np.array_equal(imagined(tmp_path / "b", "actions_shuffled")[FRAMES_FILE], frames)


def test_a_defect_without_another_start_is_refused() -> None:
    with pytest.raises(ValueError, match="with one start there are no actions of another"):
        RolloutsConfig(horizon_steps=4, num_starts=1, defect="actions_shuffled")


def test_what_is_done_to_frames_leaves_their_shape() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 7, 3), dtype=np.uint8)
    for defect in ("none", *DEFECTS):
        assert spoilt(frames, frames[0, 0], defect).shape == frames.shape


def plan_of(controls: bool = True, **changes: Any) -> Plan:
    asked: dict[str, Any] = {"until": None, "num_seeds": 2, "name": None} | changes
    return make_plan(
        Request(("steps=1,3",), "smoke", ("Boxing", "Pong"), controls=controls, **asked)
    )


def test_controls_share_all_training_and_stop_after_fidelity() -> None:
    plan, without = plan_of(), plan_of(controls=False)
    assert plan.arms == without.arms
    assert [arm.game for arm in plan.controls] == ["Boxing"] * 3 + ["Pong"] * 3
    own = {spec.key for spec in without.stages()}
    for arm in plan.controls:
        baseline = plan.baseline(arm.game)
        for run, sound in zip(arm.runs, baseline.runs, strict=True):
            assert run.config.seed == sound.config.seed
            assert {s.stage for s in run.stages if s.key not in own} == {"rollouts", "fidelity"}
            assert "policy" not in {spec.stage for spec in run.stages}
    added = len(plan.stages()) - len(without.stages())
    assert added == 2 * 3 * 2 * 2  # games, defects, seeds, rollouts and fidelity


def test_controls_are_needed_and_can_be_asked_for_alone() -> None:
    plan = plan_of()
    assert {"control lagged | Boxing | 0", "control lagged | Boxing | 1"} <= plan_needs(plan).keys()
    lagged = {
        s.key for arm in plan.controls if "lagged" in arm.name for r in arm.runs for s in r.stages
    }
    selected = {spec.key for spec in selected_stages(plan, ["control lagged"])}
    assert lagged <= selected
    blurry = {
        s.key for arm in plan.controls if "blurred" in arm.name for r in arm.runs for s in r.stages
    }
    assert not blurry <= selected


def control(shift: float) -> Control:
    """Two seeds of twelve starts; every score is moved by a shift, but for `l1`."""
    rng = np.random.default_rng(0)
    names = [name for one in METRICS for name in one.columns]
    sound = {seed: {name: rng.normal(size=(12, 4)) for name in names} for seed in (0, 1)}
    unmoved = ("l1", "core_ratio_real")
    moved = {
        seed: {name: scores + (name not in unmoved) * shift for name, scores in run.items()}
        for seed, run in sound.items()
    }
    return Control("Boxing", "lagged", moved, sound)


def compared(difference: float) -> Comparison:
    return Comparison(
        game="Boxing", metric="psnr", a="steps=3", b="steps=1", family="secondary",
        difference=difference, lo=None, hi=None, n=2, unit="seed", method="",
    )  # fmt: skip


def test_a_metric_tells_a_defect_by_the_paired_interval_and_says_how_it_takes_it() -> None:
    rows = {
        row.metric: row for row in sensitivity_rows(control(2.0), (), [compared(-4), compared(1)])
    }
    assert not any(name.endswith("_real") for name in rows)
    psnr, l1, ssim = rows["psnr"], rows["l1"], rows["ssim"]
    # The same shift of every start: no spread, and the interval is the shift.
    assert (psnr.difference, psnr.lo, psnr.hi) == pytest.approx((2, 2, 2))
    assert (psnr.tells, psnr.seen, psnr.arms, psnr.n) == (True, "better", 4, 12)
    assert (l1.tells, l1.seen, l1.difference) == (False, None, 0)
    assert ssim.arms is None
    worse = {row.metric: row for row in sensitivity_rows(control(-2.0), (), [])}
    assert worse["psnr"].seen == "worse"


def test_a_metric_with_a_real_value_is_worse_where_it_is_farther_from_it() -> None:
    far = {row.metric: row for row in sensitivity_rows(control(9.0), (), [])}["core_ratio"]
    assert (far.tells, far.seen) == (True, "worse")
    found = control(9.0)
    back = Control("Boxing", "lagged", found.sound, found.spoilt)  # the defect takes it nearer
    near = {row.metric: row for row in sensitivity_rows(back, (), [])}["core_ratio"]
    assert (near.tells, near.seen) == (True, "better")


def test_seeds_that_one_side_lacks_are_left_out() -> None:
    found = control(1.0)
    one = Control("Boxing", "lagged", {1: found.spoilt[1]}, found.sound)
    assert {row.n for row in sensitivity_rows(one, (), []) if row.tells is not None} == {12}
    assert sensitivity_rows(Control("Boxing", "lagged", {}, found.sound), (), []) == ()


def sensitivity(metric: str, defect: str, tells: bool | None) -> Sensitivity:
    seen: Seen | None = "worse" if tells else None
    return Sensitivity(
        game="Boxing", metric=metric, defect=defect, difference=-0.5, lo=None, hi=None, n=9,
        tells=tells, seen=seen, arms=0.25 if metric == "psnr" else None,
    )  # fmt: skip


def test_the_table_names_what_is_told_and_the_sentence_what_is_blind() -> None:
    rows = (
        sensitivity("psnr", "lagged", True),
        sensitivity("psnr", "blurred", False),
        sensitivity("ssim", "lagged", False),
        sensitivity("ssim", "blurred", False),
        sensitivity("l1", "lagged", None),
    )
    doc = result(document({"steps=1": 0.5}, [])).model_copy(
        update={"sensitivity": rows, "metrics": described({"psnr", "ssim", "l1"})}
    )
    table = control_table(doc, "Boxing")
    cells = {row.name: [cell.text for cell in row.cells] for row in table.rows}
    assert cells["PSNR [dB]"] == ["worse (2 x)", "no (2 x)"]
    assert list(cells) == ["PSNR [dB]", "SSIM"]
    assert blind_metrics(doc, "Boxing") == ["SSIM"]
    assert "No defect is told by SSIM." in control_sentences(doc, "Boxing")
    assert control_table(doc, "Pong").rows == ()
    assert [row.name for row in control_table(doc, "Boxing", {"ssim"}).rows] == ["SSIM"]


def test_a_plan_without_them_is_as_it_was() -> None:
    assert make_preset("smoke", "Boxing").rollouts.defect == "none"
    assert plan_of(controls=False).controls == ()


def test_a_declaration_asks_for_them_or_the_command_does() -> None:
    text = 'question = "?"\nprimary = "psnr"\n{}\n[axes]\nsteps = [1, 3]\n'
    path = Path("mine.toml")
    said = Declared(path, read_declaration(text.format("controls = true"), path))
    silent = Declared(path, read_declaration(text.format(""), path))
    assert said.request()["controls"] is True
    assert silent.request()["controls"] is False
    assert silent.request(Given(controls=True))["controls"] is True


def test_the_command_of_a_request_asks_for_them_again() -> None:
    assert "--controls" in command_words(plan_of().request)
    assert "--controls" not in command_words(plan_of(controls=False).request)
    with pytest.raises(RequestError, match="--controls is True in one and False in the other"):
        join_requests(plan_of().request, plan_of(controls=False).request)
