"""The answer of a search: its settings, the baseline, how sure it is."""

from typing import Any

import pytest

from diamond.report.search.search_answer import answer_search
from diamond.report.search.search_prose import CAVEAT
from diamond.report.search.search_tables import confirmation_table
from diamond.results.answer_model import Answer
from tests.sweep_documents import (
    LIMIT,
    SKILL,
    TIME,
    all_failed,
    confirmed,
    one_objective,
    search,
    sweep,
    trial,
    two_objectives,
)


def answer(doc: dict[str, Any]) -> Answer:
    """The answer of a search in one game."""
    return answer_search(search(doc), ("Breakout",))


def test_the_answer_says_the_settings_then_the_gain_and_that_it_is_no_finding() -> None:
    doc = sweep([trial(0, [0.25]), trial(1, [0.4]), trial(2, [0.1])], (SKILL,))
    found = answer(doc)
    assert found.best == "trial 1"
    assert found.found.head.startswith("The best settings found: ")
    assert "=" in found.found.head
    assert found.found.text == (
        "The best of 3 trials is trial 1 with L1 skill over copy last, changed pixels 0.400, "
        "0.150 better than the baseline's 0.250."
    )
    assert found.against.head == CAVEAT
    assert found.sure.head == "Nothing was confirmed yet."


def test_a_smaller_value_is_better_where_the_objective_is_minimised() -> None:
    doc = sweep([trial(0, [12.0]), trial(1, [7.5])], (TIME,))
    assert "trial 1 with ms per imagined frame [ms] 7.50, 4.50 better" in answer(doc).found.text
    worse = doc | {"baseline": {"trial": None, "values": [5.0]}}
    assert "7.50, 2.50 worse than the baseline's 5.00" in answer(worse).found.text


def test_the_answer_says_where_the_baseline_is_from_the_front() -> None:
    trials = [trial(0, [0.3, 10.0]), trial(1, [0.5, 20.0]), trial(2, [0.1, 4.0])]
    doc = sweep(trials, (SKILL, TIME))
    found = answer(doc).found
    assert found.head.count(";") == 2
    assert found.text == (
        "Of 3 trials, 3 are on the front of L1 skill over copy last, changed pixels and ms per "
        "imagined frame, from trial 1 (0.500; 20.0 ms) to trial 2 (0.100; 4.00 ms); the baseline "
        "(0.300; 10.0 ms) is on it."
    )
    beaten = sweep([*trials, trial(3, [0.35, 10.0])], (SKILL, TIME))
    told = answer(beaten).found.text
    assert "; trial 3 beats the baseline (0.300; 10.0 ms) without a loss" in told
    apart = doc | {"front": [1, 2], "baseline": {"trial": None, "values": [0.3, 3.0]}}
    assert "none beats the baseline (0.300; 3.00 ms) without a loss" in answer(apart).found.text
    unknown = doc | {"front": [1], "baseline": {"trial": None, "values": []}}
    assert "trial 1 (0.500; 20.0 ms) alone is on the front" in answer(unknown).found.text
    assert "; the baseline has no value." in answer(unknown).found.text


def test_without_a_value_there_is_no_result() -> None:
    expected = "There is no result: of 6 trials (1 pruned, 5 failed), none has a value."
    assert answer(all_failed()).found.head == expected
    broken = [trial(number, [0.2], feasible=False, constraints=[1.0]) for number in range(2)]
    doc = sweep(broken, (SKILL,), constraints=[LIMIT])
    assert answer(doc).found.head.endswith("2 trials, no complete one keeps the constraints.")


@pytest.mark.parametrize("verdict", ["confirmed", "refuted", "undecided"])
def test_what_the_confirmation_said_takes_the_place_of_the_warning(verdict: str) -> None:
    found = answer(confirmed(one_objective(), verdict))
    assert found.sure.head == (
        "Confirmation (3 seeds, starts 16 to 31): trial 23 differs from the baseline by 0.039 "
        f"(0.011 to 0.067) in L1 skill over copy last, changed pixels: {verdict}."
    )
    assert found.against.head != CAVEAT


def test_many_confirmed_rows_are_told_by_verdict() -> None:
    doc = confirmed(two_objectives())
    row = doc["confirm"]["result"]["rows"][0]
    other = row | {"objective": 1, "lo": None, "hi": None, "verdict": "no interval"}
    doc["confirm"]["result"]["rows"].append(other)
    name = row["arm"]
    assert answer(doc).sure.head.endswith(
        f"confirmed: {name} (L1 skill over copy last, changed pixels); "
        f"no interval: {name} (ms per imagined frame)."
    )
    table = confirmation_table(search(doc))
    assert {len(each.cells) for each in table.rows} == {len(table.columns) - 1}
    assert [each.cells[-2].detail for each in table.rows] == ["0.011 to 0.067", ""]
