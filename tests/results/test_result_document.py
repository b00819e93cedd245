"""The result: its form as JSON, what arms share in it, its reference, the committed ones."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diamond.engine.report_file import read_result, write_result
from diamond.results.arm_model import Arm
from diamond.results.document import PARTS, SHARED, from_document, to_document
from diamond.results.model import Result
from diamond.results.reference import reference_page
from diamond.results.values import defined
from tests import sweep_documents
from tests.commands import ROOT
from tests.result_documents import result, seeded, three_arms

RESULTS = ROOT / "studies" / "results"
FEWEST = 6


def as_read(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.mark.parametrize(
    "found",
    [
        result(three_arms()),
        result(seeded()),
        sweep_documents.result(sweep_documents.confirmed(sweep_documents.two_objectives(12))),
    ],
    ids=["one seed", "seeds", "search"],
)
def test_a_result_is_the_same_once_it_was_written_and_read(found: Result, tmp_path: Path) -> None:
    assert from_document(as_read(to_document(found))) == found
    write_result(tmp_path / "report.json", found)
    assert read_result(tmp_path / "report.json") == found


def renamed(arm: Arm, name: str) -> Arm:
    return arm.model_copy(update={"name": name})


def test_what_arms_share_stands_once() -> None:
    found = result(three_arms())
    first = found.arms[0]
    copies = tuple(renamed(first, f"copy {number}") for number in range(40))
    many = found.model_copy(update={"arms": (*found.arms, *copies)})
    one, more = (len(json.dumps(to_document(each))) for each in (found, many))
    returns = len(json.dumps(to_document(found)["arms"][0]["beside"]))
    assert (more - one) / len(copies) - returns < 2000, "bytes of an arm beyond its numbers"
    document = as_read(to_document(many))
    assert document[SHARED].keys() == as_read(to_document(found))[SHARED].keys()
    assert all(part not in arm for arm in document["arms"] for part in PARTS)
    assert from_document(document) == many


def test_the_numbers_of_one_stage_are_shared_where_those_of_another_differ() -> None:
    """Arms with one world model and policies of their own share the scores of the frames."""
    found = result(three_arms())
    arm = found.arms[0]
    metrics = [{**arm.metrics, "kl_policy": arm.metrics[name]} for name in ("l1", "psnr")]
    arms = [arm.model_copy(update={"metrics": own}) for own in metrics]
    document = as_read(to_document(found.model_copy(update={"arms": tuple(arms)})))
    first, second = (set(one[SHARED]) for one in document["arms"])
    assert len(first & second) == 1 == len(first - second)
    assert list(from_document(document).arms[0].metrics) == list(metrics[0])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1}, {"unknown": 1}, {SHARED: {}}, {"horizon": None}, {"arms": [{}]},
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no result of this version"):
        from_document(as_read(to_document(result(three_arms())) | change))
    with pytest.raises(ValueError, match="no result of this version"):
        from_document({})


def test_the_reference_is_that_of_the_records() -> None:
    """Made by: python -m diamond.results.reference > docs/reference/result.md."""
    assert (ROOT / "docs/reference/result.md").read_text(encoding="utf-8") == reference_page()


def test_every_field_is_described() -> None:
    assert "|  |" not in reference_page()


def test_a_result_loads_no_torch() -> None:
    script = (
        "import sys\n"
        "import diamond.results.document, diamond.results.reference\n"
        "assert not {'torch', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_committed_results_are_results() -> None:
    found = {path.parent.name: read_result(path) for path in RESULTS.glob("*/result.json")}
    assert len(found) >= FEWEST
    for name, one in found.items():
        assert one is not None, name
        scored = [arm for arm in one.arms if arm.metrics]
        trials = [] if one.search is None else one.search.valued()
        assert scored or trials, name
        assert bool(one.claims) == (one.declaration is not None), name
        if one.search is None:
            assert one.primary.name == one.primary_metric
            assert all(
                arm.estimate(one.primary_metric, "mean") for arm in scored if arm.kind == "arm"
            ), name


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        ([1.5, 2, -3.0], (1.5, 2, -3.0)),
        ([1.0, None, NAN], (1.0, None, None)),
        ([NAN, 2.0], (None, 2.0)),
        ([INFINITY, -INFINITY, 1.0], (None, None, 1.0)),
        ([1e308, 1e308], (1e308, 1e308)),
        ([10**400], (10**400,)),
    ],
)
def test_a_number_that_json_has_not_is_none(values: Any, expected: Any) -> None:
    assert defined(values) == expected
    assert defined(iter(values)) == expected
