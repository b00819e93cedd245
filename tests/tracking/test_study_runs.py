"""What a study logs: names of metrics, its text, what a home of a former version becomes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric

from diamond.engine.store import Store
from diamond.errors import StoreError
from diamond.results.number_text import written
from diamond.stages.registry import records
from diamond.studies.description import Shown, result_line, study_description, study_links
from diamond.studies.study_tracking import TrackingThread
from diamond.studies.tracked_real import real_frames
from diamond.sweep.trial_runs import TrialState, TrialTracking
from diamond.sweep.trials import baseline_texts, trial_plan
from diamond.tracking.mlflow_links import RESULT_TAG, VIEW_TAG, charts_link, curves_link
from diamond.tracking.mlflow_open import find_experiment
from diamond.tracking.mlflow_records import TrackedRun, TrackedStudy
from diamond.tracking.names import (
    PARTS,
    arm_names,
    curve_name,
    noise_floor_name,
    overall_name,
    primary_name,
)
from diamond.tracking.uris import default_uri
from tests.commands import opened, run_script, tracked
from tests.result_documents import answered_arms, result, three_arms
from tests.sweeps import Bench, text

# MLflow itself calls what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


def document() -> dict[str, Any]:
    """Three arms, in a document that has all parts that the text reads."""
    return three_arms() | {"declaration": None}


METRIC = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


@given(st.lists(METRIC, unique=True))
def test_no_name_of_a_curve_is_one_of_a_number(metrics: list[str]) -> None:
    curves = [curve_name(metric, part) for metric in metrics for part in PARTS]
    curves += [noise_floor_name(metric) for metric in metrics]
    numbers = [overall_name(metric) for metric in metrics]
    assert len({*curves, *numbers}) == len(curves) + len(numbers)


def test_bounds_lie_around_the_mean_in_the_order_of_the_charts() -> None:
    names = [curve_name("psnr", part) for part in PARTS]
    assert {name.rpartition("/")[0] for name in names} == {"fidelity/psnr"}
    assert [n.rpartition("/")[2] for n in sorted(names)] == ["lower", "mean", "upper"]


@given(METRIC, st.lists(st.text(max_size=300), unique=True))
def test_a_study_shows_each_arm_by_a_name_of_its_own_that_mlflow_takes(
    metric: str, arms: list[str]
) -> None:
    names = arm_names(metric, arms)
    assert list(names) == arms
    assert len(set(names.values())) == len(arms)
    for name in names.values():
        _validate_metric(name, 0.0, 0, 0)  # type: ignore[no-untyped-call]


@given(METRIC, METRIC)
def test_the_primary_metric_stands_before_all_others(primary: str, metric: str) -> None:
    others = [curve_name(metric, "mean"), overall_name(metric), noise_floor_name(metric)]
    others += [f"{stage.name}/loss" for stage in records()]
    names = [primary_name(primary), *arm_names(primary, ["steps=1"]).values()]
    assert max(names) < min(others)
    assert arm_names("psnr", ["steps=10", "x"])["steps=10"] == "_primary/psnr/steps 10"


def test_a_link_says_the_same_after_the_browser_read_it() -> None:
    page, _, query = curves_link("1", ["a", "b"], "psnr").removeprefix("#").partition("?")
    assert page == "/metric"
    assert parse_qs(query)["runs"] == ['["a","b"]']
    keys = '["fidelity/psnr/mean","fidelity/psnr/lower","fidelity/psnr/upper"]'
    assert parse_qs(query)["plot_metric_keys"] == [keys]
    link = charts_link("1", "f00")
    assert not set("() |") & set(link), "Markdown would end the link there"
    filter_ = parse_qs(urlsplit(link.removeprefix("#")).query)["searchFilter"]
    assert filter_ == ["tags.`diamond.compare` != '' AND tags.`mlflow.parentRunId` = 'f00'"]


def test_the_answer_is_told_after_the_links_best_arm_interval_and_number_first() -> None:
    doc = answered_arms()
    shown = Shown("1", "f00", {"Boxing": ["r1"]}, frozenset({"report.html"}))
    links, best, found, against, sure, *_ = [
        line for line in study_description(result(doc), shown).splitlines() if line
    ]
    assert links.startswith("**Look at:** [the answer with films](#/")
    (value,) = (a.estimate("core_ratio", "mean") for a in result(doc).arms if a.name == "steps=3")
    assert value is not None
    text, bounds = written(value.mean, value.lo, value.hi)
    told = f"Core ratio {text} (95% interval {bounds}, n = 12"
    assert best == f"**Best: steps=3, {told} starts)**"
    assert found == r"**More steps are \*sharper\*.** 0.57 with 1 step, 0.66 with 3."
    assert against == "**But they are slow.**"
    assert sure == "**One training.** Another training may differ by more."
    assert result_line(result(doc)) == f"best: steps=3, {told} starts)"
    nobody = doc | {"answers": [doc["answers"][0] | {"best": None}]}
    told = "More steps are *sharper*. 0.57 with 1 step, 0.66 with 3."
    assert result_line(result(nobody)) == told


def test_direct_links_lead_to_answer_report_and_curves() -> None:
    shown = Shown("1", "f00", {"Boxing": ["r1"]}, frozenset({"report.html"}))
    links = study_links(result(document()), shown)
    assert list(links) == ["answer", "report", "curves"]
    assert all(link.startswith("#/") for link in links.values())
    assert list(study_links(result(document()), Shown("1", "f00", {}, frozenset()))) == ["answer"]


def test_what_all_arms_say_of_the_real_frames_is_told_once() -> None:
    doc = document()
    first = doc["arms"][0]
    for arm in doc["arms"]:
        for part in ("metrics", "curves"):
            arm[part]["core_ratio_real"] = first[part]["core_ratio_real"]
    doc["arms"][1]["metrics"] |= {"reward_f1_real": {"mean": {"mean": 0.5}}}
    found = real_frames(result(doc), "Boxing")
    assert set(found) == {"core_ratio_real", "reward_f1_real"}
    assert len(found["core_ratio_real"].curve) == doc["horizon"]
    doc["arms"][2]["metrics"] |= {"reward_f1_real": {"mean": {"mean": 0.6}}}
    assert set(real_frames(result(doc), "Boxing")) == {"core_ratio_real"}, "the arms' own models"


def test_a_study_without_an_answer_begins_with_links_and_ends_with_the_longest_table() -> None:
    doc = {**document(), "summary": "One step is as good as three."}
    shown = Shown("1", "f00", {game: ["r1"] for game in doc["games"]}, frozenset({"report.html"}))
    text = study_description(result(doc), shown)
    places = [
        text.index(part)
        for part in (
            "**Look at:** [",
            "artifacts/report.html",
            "#/metric?runs=%5B%22r1%22%5D",
            "One step is as good as three.",
            "**Question:**",
            "| arm, ",
            "**Make it again:** `",
            "**All metrics",
        )
    ]
    assert places[0] == 0
    assert places == sorted(places)
    waiting = study_description(result({**doc, "summary": ""}), Shown("1", "f00", {}, frozenset()))
    assert waiting.startswith("No answer yet")
    assert "Look at" not in waiting


def test_text_that_markdown_would_read_as_markup_stays_text() -> None:
    doc = document()
    doc["arms"][0]["name"] = "a|b*c*"
    assert r"| a\|b\*c\* |" in study_description(result(doc), Shown("1", "f00", {}, frozenset()))


def study_with(artifacts: dict[str, Path] | None) -> TrackedStudy:
    return TrackedStudy("5", "study", {}, {}, {}, "text", artifacts, "FINISHED")


def run_with(curve: str) -> TrackedRun:
    return TrackedRun(
        run_key="7",
        name="arm",
        kind="aggregate",
        params={},
        tags={},
        stages=(),
        curves={curve: [1.0, 2.0]},
        summary={},
        time_ms=1,
        artifacts=None,
        status="FINISHED",
    )


def test_a_study_of_a_former_version_is_brought_up_to_date(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    store = opened(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    study_id = store.begin_study("5", "study")
    figure, report = tmp_path / "psnr.png", tmp_path / "report.html"
    figure.write_bytes(b"a figure")
    report.write_text("a report")
    # Other names of curves, no text of the experiment.
    old = store.write_run(run_with("mean/psnr"), study_id)
    for tag in ("mlflow.note.content", VIEW_TAG):
        client.delete_experiment_tag(store.experiment_id, tag)

    store = opened(tmp_path)
    assert find_experiment(uri, tmp_path) == store.experiment_id
    experiment = client.get_experiment(store.experiment_id)
    assert "Each row is a study" in experiment.tags["mlflow.note.content"]
    assert RESULT_TAG in experiment.tags[VIEW_TAG]
    assert store.begin_study("5", "study") == study_id
    new = store.write_run(run_with("fidelity/psnr/mean"), study_id)
    assert client.get_run(old).info.lifecycle_stage == "deleted"
    assert set(client.get_run(new).data.metrics) == {"fidelity/psnr/mean"}
    store.write_study(study_with({"figures/psnr.png": figure, "report.html": report}))
    assert {f.path for f in client.list_artifacts(study_id)} == {"figures", "report.html"}
    assert [f.path for f in client.list_artifacts(study_id, "figures")] == ["figures/psnr.png"]

    before = client.get_run(study_id).to_dictionary()
    shutil.rmtree(tmp_path / "artifacts" / study_id)
    store = opened(tmp_path)
    store.write_study(study_with({"figures/psnr.png": figure, "report.html": report}))
    assert client.get_run(study_id).to_dictionary() == before
    assert {f.path for f in client.list_artifacts(study_id)} == {"figures", "report.html"}


def test_a_file_that_a_study_no_longer_has_is_taken_away(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    store = opened(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("one")
    two.write_text("two")
    study_id = store.write_study(study_with({"figures/one.txt": one, "two.txt": two}))
    store.write_study(replace(study_with(None), status="RUNNING"))
    assert {f.path for f in client.list_artifacts(study_id)} == {"figures", "two.txt"}
    store.write_study(study_with({"two.txt": two}))
    assert not client.list_artifacts(study_id, "figures")
    assert [f.path for f in client.list_artifacts(study_id) if not f.is_dir] == ["two.txt"]


def test_looking_for_the_experiment_makes_nothing(tmp_path: Path) -> None:
    assert find_experiment(default_uri(tmp_path), tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_sweep_that_stops_leaves_no_trial_running(tmp_path: Path) -> None:
    bench = Bench(tmp_path, text())
    bench.store.check_writable()
    tracking = TrialTracking(bench.sweep, bench.store, None, 0)
    (tmp_path / "studies" / "mine").mkdir(parents=True)
    tracking.thread.start()
    texts = baseline_texts(bench.sweep)
    plan = trial_plan(bench.sweep, "trial 0", texts)
    tracking.show(TrialState(0, plan, texts, "sampled", {}, "RUNNING")).result()
    assert {run.info.status for run in tracked(tmp_path)} == {"RUNNING"}
    tracking.thread.stop()
    assert {run.info.run_name for run in tracked(tmp_path)} == {"mine", "trial 0"}
    assert {run.info.status for run in tracked(tmp_path)} == {"KILLED"}


def test_a_store_that_cannot_be_opened_is_told_to_who_waits_and_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("no server there")

    monkeypatch.setattr("diamond.studies.study_tracking.open_tracking", refuse)
    imports: list[None] = []
    thread = TrackingThread(Store(tmp_path), "mine", None, lambda: imports.append(None))
    thread.start()

    def write() -> str:
        with thread.study_run() as (_, study_id):
            return study_id

    with pytest.raises(StoreError, match="no server there"):
        thread.put(write).result()
    with pytest.raises(StoreError, match="no server there"):
        thread.check()
    thread.stop(lambda: None)
    thread.stop()
    assert not imports


def test_what_mlflow_asks_of_a_server_imports_nothing_beside_another_thread() -> None:
    """Matplotlib fails where it finds IPython half imported: MLflow's first request imports it."""
    pytest.importorskip("IPython")
    run_script("""
import sys
from pathlib import Path
from diamond.engine.store import Store
from diamond.studies.study_tracking import TrackingThread
TrackingThread._serve = lambda self: None
for uri in (None, "http://host:5000"):
    assert "IPython" not in sys.modules
    TrackingThread(Store(Path("home")), "study", uri).start()
assert "IPython" in sys.modules
""")
