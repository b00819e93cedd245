"""What a report says of the stages that arms share."""

from typing import Any

import pytest

from diamond.report.sharing import shared_costs, sharing_sentence, sharing_table
from tests.result_documents import result, three_arms

GAME = "Boxing"


def studied(*arms: dict[str, tuple[str, float]]) -> dict[str, Any]:
    """A document whose trained arms have one run with these stages: key and seconds."""
    doc = three_arms()
    trained = [arm for arm in doc["arms"] if arm["kind"] == "arm"][: len(arms)]
    for arm, stages in zip(trained, arms, strict=True):
        arm["runs"] = [
            arm["runs"][0]
            | {"stages": {n: {"key": k, "seconds": s} for n, (k, s) in stages.items()}}
        ]
    doc["arms"] = [*trained, *(arm for arm in doc["arms"] if arm["kind"] != "arm")]
    return doc


def test_an_arm_adds_what_no_arm_above_it_has() -> None:
    doc = studied(
        {"denoiser": ("d", 80.0), "rollouts": ("r1", 10.0)},
        {"denoiser": ("d", 80.0), "rollouts": ("r3", 30.0)},
        {"denoiser": ("e", 50.0), "rollouts": ("r3", 30.0)},
    )
    costs = shared_costs(result(doc), GAME)
    assert [cost.alone for cost in costs] == [90.0, 110.0, 80.0]
    assert [cost.added for cost in costs] == [90.0, 30.0, 50.0]
    assert [cost.together for cost in costs] == [90.0, 120.0, 170.0]
    assert [cost.ratio for cost in costs] == pytest.approx([1.0, 120 / 200, 170 / 280])
    rows = sharing_table(result(doc), GAME).rows
    assert [[cell.text for cell in row.cells] for row in rows] == [
        ["90", "90", "1.00"],
        ["110", "30", "0.60"],
        ["80", "50", "0.61"],
    ]
    assert "170 s on one process" in sharing_sentence(result(doc))
    assert "280 s: together they cost 0.61" in sharing_sentence(result(doc))


def test_the_seeds_of_an_arm_share_what_they_agree_on_when_it_runs_alone() -> None:
    doc = studied({"frames": ("f", 5.0), "denoiser": ("d0", 80.0)})
    (arm,) = (arm for arm in doc["arms"] if arm["kind"] == "arm")
    second = arm["runs"][0]["stages"] | {"denoiser": {"key": "d1", "seconds": 90.0}}
    arm["runs"].append(arm["runs"][0] | {"stages": second})
    assert [cost.alone for cost in shared_costs(result(doc), GAME)] == [175.0]


def test_one_arm_has_nothing_to_share_nor_has_one_beside_an_unfinished_one() -> None:
    one = studied({"denoiser": ("d", 80.0)})
    documents = [one]
    for state in ("failed", "pending"):
        two = studied({"denoiser": ("d", 80.0)}, {"denoiser": ("e", 0.5)})
        two["arms"][1]["runs"][0]["state"] = state
        documents.append(two)
    for doc in documents:
        assert sharing_table(result(doc), GAME).rows == ()
        assert sharing_sentence(result(doc)) == ""
