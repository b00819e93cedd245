"""The answer of a study in three parts."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from diamond.cli.result_view import show_result
from diamond.report.answer.answers import answered
from diamond.report.page import write_report
from diamond.results.answer_model import Answer
from diamond.results.document import to_document
from diamond.studies.description import Shown, study_description
from tests.result_documents import (
    comparison,
    document,
    fail,
    over_seeds,
    result,
    seeded,
    three_arms,
)


def answer(doc: dict[str, Any]) -> Answer:
    """The answer of the first game."""
    return answered(result(doc)).answers[0]


def test_the_best_arm_is_named_with_what_it_is_better_than_and_all_its_numbers() -> None:
    doc = three_arms()
    found = answer(
        doc | {"best_comparisons": [comparison("steps=3", "steps=10", (0.01, -0.01, 0.03))]}
    )
    assert found.best == "steps=3"
    assert found.found.head == (
        "With 3 denoising steps the moving objects are sharper than with 1 denoising step; no "
        "difference to 10 denoising steps was shown; with 10 the moving objects are sharper than "
        "with 1."
    )
    assert found.found.text.startswith(
        "Core ratio: 0.570 with 1, 0.660 with 3, 0.650 with 10 (real 0.679; mean of 100 time "
        "steps). 3 minus 1: +0.090 (0.070 to 0.110); 3 minus 10: +0.010 (-0.010 to 0.030); 10 "
        "minus 1: +0.080 ("
    )


def test_differences_are_arm_minus_baseline_where_the_baseline_arm_is_the_best() -> None:
    rows = [comparison("steps=3", "steps=1", (-0.09, -0.11, -0.07))]
    found = answer(document({"steps=1": 0.66, "steps=3": 0.57}, rows))
    assert found.best == "steps=1"
    assert found.found.head.startswith("With 1 denoising step the moving objects are sharper than")
    assert "3 minus 1: -0.090 (-0.110 to -0.070)" in found.found.text


def test_no_difference_is_said_to_be_not_shown() -> None:
    rows = [comparison("steps=3", "steps=1", (0.01, -0.01, 0.03))]
    found = answer(document({"steps=1": 0.65, "steps=3": 0.66}, rows)).found
    assert found.head == "No difference in core ratio was shown between 1 and 3 denoising steps."


def test_what_the_correction_takes_away_is_no_finding() -> None:
    doc = seeded()
    doc["comparisons"] = doc["comparisons"][1:2]
    found = answer(doc)
    assert found.found.head == (
        "No difference in core ratio outlasts the correction; compared alone, 10 denoising steps "
        "and 1 denoising step differ."
    )
    assert "within the noise floor of 0.04" in found.sure.text


@pytest.mark.parametrize("stage", ["denoiser", "agent"])
def test_arms_that_were_trained_once_each_are_not_ranked(stage: str) -> None:
    names = ("denoiser.optimizer.lr=0.0001", "denoiser.optimizer.lr=0.0003")
    row = comparison(
        names[1], names[0], (-0.09, -0.11, -0.07),
        decision="undefined", reason="one seed: needs two seeds",
    )  # fmt: skip
    doc = document({names[0]: 0.57, names[1]: 0.48}, [row])
    doc["arms"][0]["runs"][0]["stages"] = {stage: {"key": "d0" * 32}}
    doc["arms"][1]["runs"][0]["stages"] = {stage: {"key": "e1" * 32}}
    found = answer(doc)
    assert found.found.head == (
        f"Which of {names[0]} and {names[1]} is best cannot be told: each was trained once."
    )
    assert found.sure.head == (
        "One training of each arm, 12 starts: another training may differ by more."
    )


def test_the_preset_that_learns_nothing_gives_no_finding_and_no_interval() -> None:
    doc = three_arms() | {"preset": "smoke", "command": "diamond ablate steps=1,3 --preset smoke"}
    found = answered(result(doc))
    assert found.answers[0].best is None
    assert found.answers[0].found.head == (
        "Nothing can be concluded: the preset smoke is for tests and learns nothing."
    )
    assert " to " not in found.answers[0].found.text
    assert found.next[0] == "diamond ablate steps=1,3"


def test_metrics_of_other_groups_that_disagree_are_counted_and_told() -> None:
    doc = three_arms()
    both = {"family": "secondary", "family_size": 8, "p_t": 0.001, "p_t_corrected": 0.008}
    doc["comparisons"] = [
        comparison("steps=3", "steps=1", (0.09, 0.07, 0.11)),
        comparison("steps=3", "steps=1", (-0.62, -0.71, -0.53), metric="psnr", **both),
        comparison("steps=3", "steps=1", (0.004, 0.001, 0.007), metric="l1", **both),
        comparison("steps=3", "steps=1", (0.02, 0.01, 0.03), metric="ssim", **both),
        comparison("steps=3", "steps=1", (0.01, -0.01, 0.03), metric="ssim_fg", **both),
    ]
    values = {"psnr": (28.0, 27.4), "l1": (0.01, 0.014), "ssim": (0.90, 0.92)}
    for name, (one, three) in values.items():
        for arm, value in zip(doc["arms"], (one, three), strict=False):
            arm["metrics"][name]["mean"]["mean"] = value
    found = answer(doc)
    assert found.against.head == (
        "But 2 of the 3 other metrics that differ favour 1 denoising step (exploratory; about 0 of "
        "4 differ by chance)."
    )
    assert "3 minus 1: PSNR -0.62 dB (-0.71 to -0.53)." in found.against.text


def test_a_still_picture_that_wins_is_explained() -> None:
    doc = document({"steps=3": 0.60}, [])
    assert (
        "Copy-last (0.680) scores better without training, which is no contradiction: a real frame "
        "that is repeated is sharp, and it stands still."
    ) in _all_text(answer(doc))
    worse = answer(document({"steps=3": 0.679}, []) | {"primary_metric": "l1"})
    assert "no arm is better than a still picture" not in _all_text(worse)


def test_policies_stand_beside_each_other_and_beside_players_that_look_at_no_frame() -> None:
    found = answer(three_arms())
    assert "Returns: -1.6 with 1, -1.6 with 3, -1.6 with 10" in found.found.text
    assert (
        "With 1, 3 and 10 denoising steps the policy is not shown to earn more than random play, "
        "best constant action and blind play."
    ) in found.against.text


def test_what_one_more_seed_would_do_is_told_with_the_command() -> None:
    row = over_seeds("steps=3", "steps=1", (0.09, 0.04, 0.14), within_noise=None)
    row |= {"detectable": 0.08, "detectable_next": 0.05}
    doc = document({"steps=1": 0.57, "steps=3": 0.66}, [row], seeds=(0, 1, 2))
    found = answered(result(doc | {"command": "diamond ablate steps=1,3 --seeds 3"}))
    sure = found.answers[0].sure
    assert sure.head == "3 trainings of each arm; 95% intervals are over trainings."
    assert (
        "3 trainings show a true difference of 0.0800 4 times in 5, 4 one of 0.0500." in sure.text
    )
    assert sure.command == "diamond ablate steps=1,3 --seeds 4"
    assert found.next[0] == "diamond ablate steps=1,3 --seeds 4"


def test_one_model_of_all_arms_is_told_from_one_an_arm() -> None:
    found = answer(three_arms() | {"command": "diamond ablate steps=1,3,10"})
    assert found.sure.head == (
        "One trained world model for all arms, 12 starts: another training may differ by more."
    )
    assert found.sure.command == "diamond ablate steps=1,3,10 --seeds 3"


def test_a_failed_arm_is_named_with_its_cause() -> None:
    doc = three_arms()
    doc["comparisons"] = doc["comparisons"][:1]
    fail(doc, "steps=10", "loss is not finite at update 12.\n  last good checkpoint: 10")
    assert answer(doc).found.text.endswith(
        " steps=10 has no result (failed: loss is not finite at update 12)."
    )


def test_without_any_result_the_causes_are_told() -> None:
    doc = three_arms()
    doc["comparisons"] = []
    for name in ("steps=1", "steps=3", "steps=10"):
        fail(doc, name, "disk full")
    found = answer(doc)
    assert found.found.head.startswith("Nothing was measured, because no run came to an end")
    assert "steps=3 failed: disk full" in found.found.head
    assert found.best is None


def test_a_study_that_stops_early_names_the_stage() -> None:
    doc = three_arms() | {"until": "denoiser", "comparisons": []}
    for arm in doc["arms"]:
        arm |= {"metrics": {}, "curves": {}}
    assert "was to stop after the stage denoiser" in answer(doc).found.head


def test_a_single_arm_is_described_beside_the_baselines() -> None:
    found = answer(document({"steps=3": 0.66}, [])).found
    assert found.head == "There is one arm, so nothing was compared."
    assert found.text.startswith("Core ratio: 0.660 (0.640 to 0.680) with 3 (real 0.679; copy-last")


def test_it_is_told_that_there_is_no_baseline() -> None:
    doc = document({"steps=3": 0.66}, [])
    doc["arms"] = [arm for arm in doc["arms"] if arm["kind"] == "arm"]
    assert "no baseline was measured" in answer(doc).found.text


def test_each_game_has_an_answer_and_the_summary_has_all() -> None:
    doc = document(
        {"steps=1": 0.57, "steps=3": 0.66},
        [
            comparison("steps=3", "steps=1", (0.09, 0.07, 0.11)),
            comparison("steps=3", "steps=1", (0.0, -0.02, 0.02), game="Breakout"),
        ],
        games=("Boxing", "Breakout"),
    )
    found = answered(result(doc))
    assert [one.game for one in found.answers] == ["Boxing", "Breakout"]
    assert found.summary.startswith("Boxing: With 3 denoising steps")
    assert "Breakout: No difference in core ratio was shown" in found.summary


def test_controls_are_no_arms_of_the_answer() -> None:
    assert "steps=1 again" not in _all_text(answer(seeded()))


def test_words_follow_the_direction_of_the_metric() -> None:
    doc = three_arms() | {"primary_metric": "l1"}
    doc["comparisons"] = [comparison("steps=3", "steps=1", (-0.002, -0.003, -0.001), metric="l1")]
    for arm, value in zip(doc["arms"], (0.03, 0.028), strict=False):
        arm["metrics"]["l1"]["mean"]["mean"] = value
    found = answer(doc).found
    assert found.head.startswith("With 3 denoising steps the frames are more like the real ones")
    assert "3 minus 1: -0.0020 (-0.0030 to -0.0010)" in found.text


def _all_text(found: Answer) -> str:
    return " ".join(f"{part.head} {part.text}" for part in (found.found, found.against, found.sure))


def test_a_number_is_the_same_in_every_place(tmp_path: Path) -> None:
    doc = answered(result(three_arms()))
    console = Console(width=140, file=io.StringIO(), force_terminal=False, color_system=None)
    show_result(doc, console)
    assert isinstance(console.file, io.StringIO)
    paths = write_report(doc, (), tmp_path)
    description = study_description(doc, Shown("1", "f00", {}, frozenset()))
    places = {
        "terminal": console.file.getvalue(),
        "page": paths.html.read_text(),
        "Markdown": paths.markdown.read_text(),
        "MLflow": description,
    }
    told = json.dumps(to_document(doc)["answers"])
    assert "0.660 with 3" in told and "+0.090 (0.070 to 0.110)" in told
    for name, text in places.items():
        words = " ".join(re.sub(r"<[^>]*>|\\", " ", text).split())
        for number in ("0.660", "+0.090", "0.070 to 0.110", "-1.6"):
            assert number in words, f"{number} in {name}"
        assert doc.answers[0].against.head in words, name
        for other in (r"\+?0\.09\b", r"0\.07 to 0\.11\b"):
            assert not re.search(rf"(?<![\w.]){other}", words), f"{other} in {name}"


def test_arms_that_differ_in_their_policies_alone_are_told_to_share_their_frames() -> None:
    doc = three_arms()
    for arm in doc["arms"][:3]:
        arm["runs"][0]["stages"]["rollouts"] = {"key": "a1" * 32}
    head = "The frames of all arms are the same: they share one world model and its sampler."
    assert answer(doc).against.head == head
    doc["arms"][1]["runs"][0]["stages"] = {"rollouts": {"key": "b2" * 32}}
    assert answer(doc).against.head != head
