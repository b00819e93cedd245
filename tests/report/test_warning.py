"""The sentence that says what of a study is dead."""

from pathlib import Path
from typing import Any

import pytest

from diamond.report.page import write_report
from diamond.report.warning import warn
from tests.result_documents import document, result

NAMES = ("steps=1", "steps=3")


def study(**values: tuple[float, float]) -> dict[str, Any]:
    """The document of two arms with a mean of each metric, 12 starts and 12 episodes."""
    doc = document(dict.fromkeys(NAMES, 0.6), []) | {"preset": "tiny"}
    for place, arm in enumerate(doc["arms"][:2]):
        arm["runs"][0]["returns"]["n"] = 12
        for metric, means in values.items():
            arm["metrics"][metric] = {"mean": {"mean": means[place], "n": 1}}
    return doc


def test_a_living_study_has_no_warning() -> None:
    alive = study(
        event_recall_rewards=(0.2, 1.0),
        event_recall_ends=(0.5, 0.9),
        reward_recall_negative_real=(0.1, 0.7),
        reward_recall_positive_real=(0.1, 0.7),
        reward_rate_ratio=(0.5, 2.0),
        policy_entropy=(0.98, 0.3),
    )
    assert warn(result(alive)) == ""
    assert warn(result(study())) == ""


@pytest.mark.parametrize(
    ("metric", "dead", "told"),
    [
        ("event_recall_rewards", 0.19, "imagination draws few of the real rewards (recall 0.19"),
        ("event_recall_ends", 0.0, "imagination draws few of the real ends (recall 0"),
        ("reward_recall_negative_real", 0.0, "the reward model sees no reward -1 on real frames"),
        ("reward_recall_positive_real", 0.0, "the reward model sees no reward +1 on real frames"),
        ("reward_rate_ratio", 0.49, "how often there is a reward (imagined over real rate 0.49"),
        ("reward_rate_ratio", 2.01, "how often there is a reward (imagined over real rate 2.01"),
        ("policy_entropy", 0.99, "the policy is nearly uniform (entropy over chance 0.99"),
    ],
)
def test_what_is_dead_is_said_of_the_arm_that_has_it(metric: str, dead: float, told: str) -> None:
    text = warn(result(study(**{metric: (0.9, dead)})))
    assert text.startswith("Warning: ") and text.endswith(" with steps=3).")
    assert told in text and "steps=1" not in text


def test_all_that_is_dead_is_one_sentence() -> None:
    text = warn(result(study(policy_entropy=(1.0, 1.0), event_recall_ends=(0.0, 0.1))))
    assert text == (
        "Warning: imagination draws few of the real ends (recall 0 with steps=1, 0.100 with "
        "steps=3); the policy is nearly uniform (entropy over chance 1.00 with steps=1, 1.00 with "
        "steps=3)."
    )


def test_small_samples_and_the_preset_of_tests_are_told() -> None:
    doc = study() | {"preset": "smoke"}
    doc["arms"][0]["interval"]["n"] = 2
    doc["arms"][1]["runs"][0]["returns"]["n"] = 9
    assert warn(result(doc)) == (
        "Warning: the preset smoke is for tests and learns nothing; fewer than 10 held-out starts "
        "(2); fewer than 10 episodes of returns (9)."
    )


def test_of_several_games_each_clause_names_its_own() -> None:
    doc = document({"steps=1": 0.6}, [], games=("Boxing", "Pong")) | {"preset": "tiny"}
    for arm in doc["arms"]:
        if arm["kind"] == "arm":
            arm["runs"][0]["returns"]["n"] = 9 if arm["game"] == "Pong" else 12
    assert warn(result(doc)) == "Warning: Pong: fewer than 10 episodes of returns (9)."


def test_page_and_markdown_show_it_below_the_answer(tmp_path: Path) -> None:
    doc = study() | {"warning": "Warning: the policy is nearly uniform."}
    paths = write_report(result(doc), [], tmp_path)
    for page, heading in ((paths.html, "<h2"), (paths.markdown, "\n## ")):
        text = page.read_text(encoding="utf-8")
        assert 0 < text.find("Warning: the policy is nearly uniform") < text.index(heading)
