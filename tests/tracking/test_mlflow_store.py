"""The contract of the tracking store against a real MLflow database."""

import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import get_args

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Run, ViewType

import diamond
from diamond.engine.files import digest
from diamond.errors import StoreError
from diamond.tracking import mlflow_store
from diamond.tracking.event_log import EventLog, read_lines
from diamond.tracking.mlflow_open import find_experiment
from diamond.tracking.mlflow_records import Home, RunKind, StageEvents, TrackedRun, TrackedStudy
from diamond.tracking.mlflow_store import MlflowStore, open_store
from diamond.tracking.owner import current_owner
from diamond.tracking.uris import default_uri
from tests.commands import dead_owner, opened

# MLflow itself calls what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

ROOT = Path(diamond.__file__).parents[1]
HORIZON = 100
NUM_UPDATES = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a fresh store, opened where an old file store lies in wait."""
    folder = tmp_path_factory.mktemp("a home")
    old_store = folder / "mlruns" / "0"
    old_store.mkdir(parents=True)
    (old_store / "meta.yaml").touch()
    before = Path.cwd()
    os.chdir(folder)
    opened(folder)
    yield folder
    os.chdir(before)


@pytest.fixture
def client(home: Path) -> MlflowClient:
    """Return MLflow's own client, to look at what the store wrote."""
    return MlflowClient(tracking_uri=default_uri(home))


@pytest.fixture
def reopened(home: Path) -> MlflowStore:
    """Return a store that remembers nothing."""
    return opened(home)


def study_named(name: str) -> TrackedStudy:
    return TrackedStudy(
        run_key=f"study-{name}",
        name=name,
        tags={"diamond.preset": "tiny"},
        params={"game": "Boxing"},
        metrics={},
        description="| arm | PSNR |",
        artifacts=None,
        status="RUNNING",
    )


def trained_stage(folder: Path, num_updates: int = NUM_UPDATES) -> StageEvents:
    """Write the event log of a stage with two metrics."""
    clock = count(5000)
    log = EventLog(folder / "events.jsonl", now_ms=lambda: next(clock))
    for step in range(num_updates):
        log.metric(step, {"loss": 1 / (1 + step), "grad_norm": math.sqrt(step)})
    path, num_bytes = folder / "events.jsonl", log.commit()
    return StageEvents("denoiser", "abc", path, num_bytes, digest(path))


def run_with(key: str, *stages: StageEvents) -> TrackedRun:
    return TrackedRun(
        run_key=key,
        name=f"name of {key}",
        kind="arm",
        params={"sampler.steps": "3"},
        tags={"mlflow.source.git.commit": "f00"},
        stages=stages,
        curves={"horizon/psnr": [30 - t / 10 for t in range(HORIZON)], "horizon/iou": [None, 0.5]},
        summary={"psnr": 25.0, "undefined": math.nan},
        time_ms=1_700_000_000_000,
        artifacts=None,
        status="FINISHED",
    )


def active_children(client: MlflowClient, parent: str) -> list[Run]:
    experiment = client.get_experiment_by_name("diamond")
    assert experiment is not None
    filter_ = f"tags.`mlflow.parentRunId` = '{parent}'"
    return list(client.search_runs([experiment.experiment_id], filter_))


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float, int]]:
    return sorted((m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, key))


def test_a_written_run_shows_its_curves_with_their_own_steps_and_times(
    reopened: MlflowStore, client: MlflowClient, tmp_path: Path
) -> None:
    parent = reopened.write_study(study_named("curves"))
    run_id = reopened.write_run(run_with("curves-a", trained_stage(tmp_path)), parent)
    loss = history(client, run_id, "denoiser/loss")
    assert loss == [(step, 1 / (1 + step), 5000 + step) for step in range(NUM_UPDATES)]
    psnr = history(client, run_id, "horizon/psnr")
    assert psnr == [(t, 30 - (t - 1) / 10, 1_700_000_000_000) for t in range(1, HORIZON + 1)]
    assert history(client, run_id, "horizon/iou") == [(2, 0.5, 1_700_000_000_000)]
    run = client.get_run(run_id)
    assert run.data.metrics["psnr"] == 25.0
    assert "undefined" not in run.data.metrics
    assert run.data.params == {"sampler.steps": "3"}
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["diamond.kind"] == "arm"
    assert run.data.tags["mlflow.source.git.commit"] == "f00"
    assert run.data.tags["mlflow.user"]
    assert (run.info.run_name, run.info.status) == ("name of curves-a", "FINISHED")
    note = client.get_run(parent).data.tags["mlflow.note.content"]
    assert note == "| arm | PSNR |"


@pytest.mark.parametrize("fresh", [False, True], ids=["same store", "new store"])
def test_writing_again_changes_nothing(
    reopened: MlflowStore, home: Path, client: MlflowClient, tmp_path: Path, fresh: bool
) -> None:
    study, run = study_named(f"again-{fresh}"), run_with("again", trained_stage(tmp_path))
    parent = reopened.write_study(study)
    run_id = reopened.write_run(run, parent)
    before = client.get_run(run_id).to_dictionary()
    second = opened(home) if fresh else reopened
    assert second.write_study(study) == parent
    assert second.write_run(run, parent) == run_id
    assert client.get_run(run_id).to_dictionary() == before
    assert [r.info.run_id for r in active_children(client, parent)] == [run_id]
    assert len(history(client, run_id, "denoiser/loss")) == NUM_UPDATES
    assert len(history(client, run_id, "horizon/psnr")) == HORIZON


def test_an_import_killed_in_the_middle_ends_without_duplicates(
    reopened: MlflowStore, home: Path, client: MlflowClient, tmp_path: Path
) -> None:
    run = run_with("killed", trained_stage(tmp_path))
    parent = reopened.write_study(study_named("killed"))
    run_id = reopened.write_run(run, parent)
    tags = client.get_run(run_id).data.tags
    marks = [name for name in tags if name.startswith("diamond.imported.")]
    assert len(marks) == 2
    for name in marks:
        client.set_tag(run_id, name, tags[name] + " sending")
    client.log_batch(run_id, metrics=[Metric("horizon/late", 1.0, run.time_ms, 1)])
    reopened = opened(home)
    assert reopened.write_run(run, parent) == run_id
    assert {n: client.get_run(run_id).data.tags[n] for n in marks} == {n: tags[n] for n in marks}
    assert len(history(client, run_id, "denoiser/grad_norm")) == NUM_UPDATES
    assert len(history(client, run_id, "horizon/psnr")) == HORIZON


def test_a_growing_stage_sends_its_new_events_only(
    reopened: MlflowStore, client: MlflowClient, tmp_path: Path
) -> None:
    stage = trained_stage(tmp_path)
    early = b"".join(read_lines(stage.path, None).splitlines(keepends=True)[:10])
    parent = reopened.write_study(study_named("growing"))
    growing = replace(
        run_with("growing", replace(stage, num_bytes=len(early), digest=sha256(early).hexdigest())),
        curves={},
        summary={},
        status="RUNNING",
    )
    run_id = reopened.write_run(growing, parent)
    assert len(history(client, run_id, "denoiser/loss")) == 10
    assert client.get_run(run_id).info.status == "RUNNING"
    for num_bytes in (stage.num_bytes, None):
        done = run_with("growing", replace(stage, num_bytes=num_bytes))
        assert reopened.write_run(done, parent) == run_id
        assert len(history(client, run_id, "denoiser/loss")) == NUM_UPDATES
    assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.parametrize("remade", ["events", "curves"])
def test_a_run_whose_metrics_were_made_again_is_replaced(
    reopened: MlflowStore, client: MlflowClient, tmp_path: Path, remade: str
) -> None:
    stage = trained_stage(tmp_path)
    run = run_with("remade", stage)
    parent = reopened.write_study(study_named(f"remade-{remade}"))
    old = reopened.write_run(run, parent)
    if remade == "events":
        stage.path.unlink()
        assert reopened.write_run(run, parent) == old
        run = replace(run, stages=(trained_stage(tmp_path, num_updates=7),))
    else:
        run = replace(run, time_ms=run.time_ms + 1)
    new = reopened.write_run(run, parent)
    assert new != old
    assert [r.info.run_id for r in active_children(client, parent)] == [new]
    num_updates = 7 if remade == "events" else NUM_UPDATES
    assert len(history(client, new, "denoiser/loss")) == num_updates
    assert len(history(client, new, "horizon/psnr")) == HORIZON


def test_two_runs_with_one_key_become_the_older_one(
    reopened: MlflowStore, home: Path, client: MlflowClient
) -> None:
    run = run_with("twin")
    parent = reopened.write_study(study_named("twin"))
    first = reopened.write_run(run, parent)
    info = client.get_run(first).info
    tags = client.get_run(first).data.tags
    client.create_run(info.experiment_id, start_time=info.start_time + 1, tags=tags)
    assert len(active_children(client, parent)) == 2
    assert opened(home).write_run(run, parent) == first
    assert [r.info.run_id for r in active_children(client, parent)] == [first]


def test_params_that_change_under_one_key_are_a_fault(reopened: MlflowStore) -> None:
    parent = reopened.write_study(study_named("params"))
    reopened.write_run(run_with("params"), parent)
    with pytest.raises(AssertionError, match=r"sampler\.steps"):
        reopened.write_run(replace(run_with("params"), params={"sampler.steps": "4"}), parent)


def test_retiring_deletes_stale_aggregates_and_nothing_else(
    reopened: MlflowStore, home: Path, client: MlflowClient
) -> None:
    parent = reopened.write_study(study_named("retire"))
    arm = reopened.write_run(run_with("arm"), parent)
    baseline = reopened.write_run(replace(run_with("copy"), kind="baseline"), parent)
    stale = reopened.write_run(replace(run_with("mean-1"), kind="aggregate"), parent)
    fresh = reopened.write_run(replace(run_with("mean-3"), kind="aggregate"), parent)
    store = opened(home)
    assert store.retire_others(parent, keep={"mean-3"}) == (stale,)
    assert store.retire_others(parent, keep={"mean-3"}) == ()
    assert {r.info.run_id for r in active_children(client, parent)} == {arm, baseline, fresh}
    assert client.get_run(stale).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("kind", get_args(RunKind))
def test_reconcile_kills_the_runs_of_dead_processes_only(
    reopened: MlflowStore, home: Path, client: MlflowClient, kind: RunKind
) -> None:
    study = study_named(f"reconcile-{kind}")
    parent = reopened.write_study(study)
    running = replace(run_with("dead"), status="RUNNING", kind=kind)
    dead = reopened.write_run(running, parent)
    alive = reopened.write_run(replace(run_with("alive"), status="RUNNING"), parent)
    owner = client.get_run(alive).data.tags["diamond.owner"]
    assert owner == current_owner()
    for run_id in (parent, dead):
        client.set_tag(run_id, "diamond.owner", dead_owner())
    foreign = client.create_run(client.get_run(dead).info.experiment_id).info.run_id
    store = opened(home)
    assert set(store.reconcile()) == {parent, dead}
    for run_id in (parent, dead):
        assert client.get_run(run_id).info.status == "KILLED"
    assert client.get_run(alive).info.status == "RUNNING"
    assert client.get_run(foreign).info.status == "RUNNING"
    client.delete_run(foreign)

    assert store.write_study(study) == parent
    assert store.write_run(running, parent) == dead
    assert client.get_run(dead).info.status == "RUNNING"
    assert client.get_run(dead).data.tags["diamond.owner"] == current_owner()
    assert store.reconcile() == ()


def test_a_process_ends_its_own_runs_and_no_other(
    reopened: MlflowStore, home: Path, client: MlflowClient
) -> None:
    parent = reopened.write_study(study_named("ends"))
    running = [replace(run_with(key), status="RUNNING") for key in ("own", "other")]
    own, other = (reopened.write_run(run, parent) for run in running)
    done = reopened.write_run(run_with("done"), parent)
    client.set_tag(other, "diamond.owner", "another-host:1:1")
    assert client.get_run(own).info.end_time is None
    ended = opened(home).end_own()
    assert {parent, own} <= set(ended)
    assert not {other, done} & set(ended)
    for run_id in (parent, own):
        assert client.get_run(run_id).info.status == "KILLED"
        assert client.get_run(run_id).info.end_time is not None
    assert client.get_run(other).info.status == "RUNNING"
    assert client.get_run(done).info.status == "FINISHED"
    client.set_terminated(other)


def test_a_file_is_uploaded_again_only_when_it_changed_here_or_there(
    reopened: MlflowStore, home: Path, client: MlflowClient, tmp_path: Path
) -> None:
    report = tmp_path / "report.md"
    report.write_text("one")
    study = replace(study_named("files"), artifacts={"report.md": report})
    run_id = reopened.write_study(study)
    (uploaded,) = (home / "artifacts").glob(f"{run_id}/artifacts/report.md")
    assert uploaded.read_text() == "one"
    written_ns = uploaded.stat().st_ctime_ns
    store = opened(home)
    store.write_study(study)
    assert uploaded.stat().st_ctime_ns == written_ns
    uploaded.write_text("damaged")
    store.write_study(study)
    assert uploaded.read_text() == "one"
    uploaded.unlink()
    store.write_study(study)
    assert uploaded.read_text() == "one"
    report.write_text("two")
    store.write_study(study)
    assert uploaded.read_text() == "two"
    assert [f.path for f in client.list_artifacts(run_id)] == ["report.md"]


@pytest.mark.parametrize(
    ("age", "command"),
    [
        ("an older", "mlflow db upgrade sqlite:///{path}"),
        ("a newer", "pip install --upgrade mlflow"),
    ],
)
def test_a_database_of_another_version_says_what_to_do(
    tmp_path: Path, age: str, command: str
) -> None:
    opened(tmp_path)
    home = tmp_path / "later"
    home.mkdir()
    path = home / "mlflow.db"
    steps = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    with closing(sqlite3.connect(path)) as database, database:
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as made:
            made.backup(database)
        (head,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        known = {step.name.partition("_")[0] for step in steps.glob("[0-9a-f]*_*.py")} - {head}
        revision = min(known) if age == "an older" else "2099"
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    for look in (opened, partial(find_experiment, default_uri(home))):
        with pytest.raises(StoreError) as refused:
            look(home)
        first, second, *_ = str(refused.value).splitlines()
        assert f"by {age} version than the installed MLflow {mlflow.__version__}" in first
        assert second.endswith(command.format(path=path))


def test_a_number_of_a_study_is_sent_again_only_when_it_changed(
    reopened: MlflowStore, home: Path, client: MlflowClient
) -> None:
    name = "_primary/core_ratio/steps 1"
    study = replace(study_named("numbers"), metrics={name: 0.5})
    run_id = reopened.write_study(study)
    for store in (reopened, opened(home)):
        store.write_study(study)
    assert [(p.step, p.value) for p in client.get_metric_history(run_id, name)] == [(0, 0.5)]
    opened(home).write_study(replace(study, metrics={name: 0.25}))
    history = client.get_metric_history(run_id, name)
    assert [(p.step, p.value) for p in history] == [(0, 0.5), (1, 0.25)]
    assert client.get_run(run_id).data.metrics == {name: 0.25}


def test_files_that_cannot_be_deleted_are_named(
    reopened: MlflowStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Keeper:
        def delete_artifacts(self, name: str) -> None:
            raise NotImplementedError(name)

    report, table = tmp_path / "report.md", tmp_path / "table.csv"
    for file in (report, table):
        file.write_text("1\n")
    study = replace(study_named("kept"), artifacts={"report.md": report, "table.csv": table})
    reopened.write_study(study)
    monkeypatch.setattr(mlflow_store, "get_artifact_repository", lambda *_: Keeper())
    reopened.write_study(replace(study, artifacts={"report.md": report}))
    assert "cannot delete, it keeps table.csv" in caplog.text


def test_the_store_lies_in_its_home_and_allows_readers_beside_a_writer(
    reopened: MlflowStore, home: Path, client: MlflowClient, capfd: pytest.CaptureFixture[str]
) -> None:
    opened(home)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    reopened.write_study(study_named("place"))
    assert [p.name for p in (home / "mlruns").rglob("*")] == ["0", "meta.yaml"]
    experiment = client.get_experiment_by_name("diamond")
    assert experiment is not None
    assert experiment.artifact_location == (home / "artifacts").as_uri()
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() in [("wal",), ("delete",)]


def test_a_second_command_is_quick(reopened: MlflowStore, home: Path, tmp_path: Path) -> None:
    study = study_named("quick")
    runs = [run_with(f"quick-{i}", trained_stage(tmp_path)) for i in range(10)]
    parent = reopened.write_study(study)
    first = [reopened.write_run(run, parent) for run in runs]
    store = opened(home)
    begin = time.perf_counter()
    store.write_study(study)
    assert [store.write_run(run, parent) for run in runs] == first
    seconds = time.perf_counter() - begin
    assert seconds < 1.0, "about 0.1 s on one core; sending again would take several seconds"


def test_a_store_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database, though it is long enough to be looked at " * 20)
    file = tmp_path / "file"
    file.touch()
    begin = time.perf_counter()
    for uri in (f"sqlite:///{text}", default_uri(file / "home"), "http://127.0.0.1:9"):
        with pytest.raises(StoreError, match="cannot open the MLflow store") as raised:
            open_store(uri, Home(tmp_path, "f00"))
        assert uri in str(raised.value)
    assert time.perf_counter() - begin < 5.0, "MLflow alone retries for 100 s"


def test_a_deleted_experiment_is_an_error_that_says_how_to_go_on(
    home: Path, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name("diamond")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    try:
        with pytest.raises(StoreError, match="experiments restore"):
            opened(home)
    finally:
        client.restore_experiment(experiment.experiment_id)


def test_what_a_killed_process_left_of_a_new_database_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / f".mlflow-{dead_owner()}"
    left.mkdir()
    (left / "mlflow.db").write_bytes(b"half a database")
    opened(tmp_path)
    assert {p.name.partition("-")[0] for p in tmp_path.iterdir()} == {"mlflow.db"}


def test_a_database_that_another_process_made_first_is_kept(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    link = os.link

    def link_late(source: Path, target: Path) -> None:
        with (
            closing(sqlite3.connect(home / "mlflow.db")) as first,
            closing(sqlite3.connect(path)) as db,
        ):
            first.backup(db)
        link(source, target)

    monkeypatch.setattr(os, "link", link_late)
    store = opened(tmp_path)
    monkeypatch.undo()
    experiment = MlflowClient(tracking_uri=default_uri(tmp_path)).get_experiment_by_name("diamond")
    assert experiment is not None
    assert experiment.artifact_location == (tmp_path / "artifacts").as_uri()
    store.write_study(study_named("raced"))
    assert {p.name.partition("-")[0] for p in tmp_path.iterdir()} == {"mlflow.db"}


def test_an_experiment_that_another_process_made_first_is_used(
    home: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = MlflowClient.get_experiment_by_name
    answers = iter([None])

    def look_early(self: MlflowClient, name: str) -> Experiment | None:
        return next(answers, look(self, name))

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", look_early)
    opened(home)
    assert next(answers, "asked") == "asked"
    experiments = client.search_experiments(ViewType.ALL, filter_string="name = 'diamond'")
    assert len(experiments) == 1


@pytest.mark.slow
def test_two_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from diamond.engine.home import open_tracking;"
        "open_tracking(Path(sys.argv[1]), None)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new")]
    both = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs == [("", ""), ("", "")]
    client = MlflowClient(tracking_uri=default_uri(tmp_path / "new"))
    experiments = client.search_experiments(ViewType.ALL, filter_string="name = 'diamond'")
    assert len(experiments) == 1
    assert [p.name for p in (tmp_path / "new").glob(".mlflow-*")] == []
