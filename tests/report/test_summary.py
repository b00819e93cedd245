"""The sentences that sum a study up."""

import pytest

from diamond.report.summary import summarise
from tests.result_documents import (
    comparison,
    document,
    fail,
    over_seeds,
    result,
    seeded,
    three_arms,
)


def test_summary_tells_a_clear_difference_with_all_its_numbers() -> None:
    doc = three_arms()
    doc["comparisons"] = doc["comparisons"][:1]
    assert summarise(result(doc)) == (
        "Boxing: with 1 denoising step the moving objects are less sharp than with 3 (core ratio "
        "0.57 against 0.66 on average over 100 time steps, real 0.68; difference -0.09, 95% "
        "interval -0.11 to -0.07 over 12 starts of one trained model)."
    )


def test_summary_picks_the_largest_clear_difference_to_the_baseline_arm() -> None:
    text = summarise(result(three_arms()))
    assert "with 1 denoising step the moving objects are less sharp than with 3 (" in text
    assert ", and 1 denoising step and 10 differ as well (difference -0.08" in text
    assert "3 denoising steps and 10" not in text


def test_summary_prefers_a_clear_difference_to_a_larger_unclear_one() -> None:
    doc = three_arms()
    doc["comparisons"][1] |= {"difference": 0.3, "lo": -0.1, "hi": 0.7, "decision": "not shown"}
    text = summarise(result(doc))
    assert text.startswith("Boxing: with 1 denoising step the moving objects are less sharp")
    assert text.endswith(", and 1 denoising step and 10 show no difference.")


def test_summary_turns_a_comparison_round_so_that_the_baseline_arm_comes_first() -> None:
    doc = three_arms()
    doc["comparisons"] = [comparison("steps=3", "steps=1", (0.09, 0.07, 0.12))]
    assert "difference -0.09, 95% interval -0.12 to -0.07" in summarise(result(doc))


def test_summary_says_that_no_difference_was_shown() -> None:
    doc = three_arms()
    doc["comparisons"] = [comparison("steps=3", "steps=1", (0.01, -0.01, 0.03))]
    text = summarise(result(doc))
    assert text.startswith("Boxing: no difference between 1 denoising step and 3 was shown (")
    assert "less sharp" not in text


def test_summary_claims_nothing_without_an_interval() -> None:
    doc = three_arms()
    row = comparison("steps=3", "steps=1", (0.4, 0.0, 0.0), decision="undefined")
    doc["comparisons"] = [row | {"lo": None, "hi": None}]
    text = summarise(result(doc))
    assert "can be neither shown nor ruled out" in text
    assert "no interval" in text


def test_summary_names_the_failed_arm_and_its_cause() -> None:
    doc = three_arms()
    doc["comparisons"] = doc["comparisons"][:1]
    fail(doc, "steps=10", "loss is not finite at update 12.\n  last good checkpoint: 10")
    assert summarise(result(doc)).endswith(
        ", steps=10 has no result (failed: loss is not finite at update 12)."
    )


def test_summary_without_any_result_gives_the_causes() -> None:
    doc = three_arms()
    doc["comparisons"] = []
    for name in ("steps=1", "steps=3", "steps=10"):
        fail(doc, name, "disk full")
    text = summarise(result(doc))
    assert "nothing was measured" in text
    assert "steps=3 failed: disk full" in text


def test_summary_of_a_study_that_stops_early_names_the_stage() -> None:
    doc = three_arms() | {"until": "denoiser", "comparisons": []}
    for arm in doc["arms"]:
        arm |= {"metrics": {}, "curves": {}}
    assert "was to stop after the stage denoiser" in summarise(result(doc))


def test_summary_of_a_single_arm_describes_it_beside_the_baselines() -> None:
    text = summarise(result(document({"steps=3": 0.66}, [])))
    assert "one arm, so nothing was compared" in text
    assert "3 denoising steps 0.66 (95% interval 0.64 to 0.68), real 0.68, copy-last 0.68" in text


def test_summary_says_when_there_is_no_baseline() -> None:
    doc = document({"steps=3": 0.66}, [])
    doc["arms"] = [arm for arm in doc["arms"] if arm["kind"] == "arm"]
    assert summarise(result(doc)).endswith("no baseline was measured.")


def test_summary_counts_seeds_where_they_are_the_replicates() -> None:
    row = over_seeds("steps=3", "steps=1", (0.09, 0.04, 0.14), within_noise=None)
    text = summarise(result(document({"steps=1": 0.57, "steps=3": 0.66}, [row], seeds=(0, 1, 2))))
    assert "95% interval -0.14 to -0.04 over 3 training seeds" in text
    assert "one trained model" not in text


@pytest.mark.parametrize("stage", ["denoiser", "agent"])
def test_summary_counts_one_model_per_arm_where_arms_train_apart(stage: str) -> None:
    names = ("denoiser.optimizer.lr=0.0001", "denoiser.optimizer.lr=0.0003")
    doc = document(
        {names[0]: 0.57, names[1]: 0.66}, [comparison(names[1], names[0], (-0.09, -0.11, -0.07))]
    )
    doc["arms"][0]["runs"][0]["stages"] = {stage: {"key": "d0" * 32}}
    doc["arms"][1]["runs"][0]["stages"] = {stage: {"key": "e1" * 32}}
    doc["comparisons"][0] |= {"decision": "undefined", "reason": "one seed: needs two seeds"}
    text = summarise(result(doc))
    assert f"whether {names[0]} and {names[1]} differ cannot be told from one seed" in text
    assert "sharp" not in text
    assert "difference 0.09" in text
    assert "over 12 starts of one trained model per arm" in text


def test_summary_has_a_clause_for_each_game() -> None:
    doc = document(
        {"steps=1": 0.57, "steps=3": 0.66},
        [
            comparison("steps=3", "steps=1", (0.09, 0.07, 0.11)),
            comparison("steps=3", "steps=1", (0.0, -0.02, 0.02), game="Breakout"),
        ],
        games=("Boxing", "Breakout"),
    )
    text = summarise(result(doc))
    assert text.startswith("Boxing: with 1 denoising step")
    assert "; Breakout: no difference between 1 denoising step and 3 was shown" in text


def test_summary_keeps_what_is_shown_apart_from_what_is_shown_alone() -> None:
    text = summarise(result(seeded()))
    assert text.startswith("Boxing: with 1 denoising step the moving objects are less sharp than")
    assert "over 3 training seeds; above the noise floor of 0.04)" in text
    assert text.endswith(", and 1 denoising step and 10 differ only when compared alone.")


def test_summary_claims_nothing_that_the_correction_takes_away() -> None:
    doc = seeded()
    doc["comparisons"] = doc["comparisons"][1:]
    text = summarise(result(doc))
    assert text.startswith(
        "Boxing: 1 denoising step and 10 differ when compared alone, but not once the comparison "
        "is corrected for all 2 ("
    )
    assert "within the noise floor of 0.04)" in text
    assert "sharp" not in text


def test_summary_is_silent_about_controls_and_references() -> None:
    text = summarise(result(seeded()))
    assert "steps=1 again" not in text
    assert "copy-last" not in text


def test_summary_never_speaks_of_returns() -> None:
    assert "return" not in summarise(result(three_arms()))


def test_summary_words_follow_the_direction_of_the_metric() -> None:
    doc = three_arms() | {"primary_metric": "l1"}
    doc["comparisons"] = [comparison("steps=3", "steps=1", (0.002, 0.001, 0.003), metric="l1")]
    text = summarise(result(doc))
    assert "with 1 denoising step the frames are more like the real ones than with 3" in text
    assert "difference -0.002, 95% interval -0.003 to -0.001" in text
