"""Trials and their study as runs of the tracking store, written in a thread of their own."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from diamond.config.base import canonical, canonical_json, content_hash
from diamond.config.metric_table import is_set
from diamond.engine.files import locked, write_text
from diamond.engine.home import open_tracking
from diamond.engine.run_identity import KEY_DIGITS, study_key
from diamond.engine.store import Store
from diamond.errors import StoreError
from diamond.findings.arm_scores import read_scores
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageName
from diamond.results.model import Result
from diamond.results.rollout_estimates import nan_mean
from diamond.results.values import defined
from diamond.stages.registry import records
from diamond.studies.study_runs import stage_events
from diamond.sweep.dashboard_links import dashboard_trial_link
from diamond.sweep.declaration import Sweep
from diamond.sweep.trials import first_stage, instances, own_arms, trial_name
from diamond.tracking.literal_markdown import code, escape
from diamond.tracking.mlflow_links import artifact_link, run_link
from diamond.tracking.mlflow_records import RunStatus, StageEvents, TrackedRun, TrackedStudy
from diamond.tracking.names import curve_name
from diamond.tracking.uris import is_server, server_page

NOTE_TAG = "mlflow.note.content"
UI_PORT = 5000
"""Where `diamond ui` serves unless told otherwise."""


@dataclass(frozen=True)
class TrialState:
    """What is shown of a trial.

    Attributes:
        number: Its number in the study.
        plan: Its plan.
        texts: Text per axis.
        source: Where its values come from.
        values: Value per objective by name; empty until it is scored.
        status: Whether it runs, or how it ended.
        note: Why it ended so, empty where there is nothing to say.
    """

    number: int
    plan: Plan
    texts: Mapping[str, str]
    source: str
    values: Mapping[str, float]
    status: RunStatus
    note: str = ""


class TrialTracking:
    """Writes trials to the tracking store; the stages never wait for it."""

    def __init__(self, sweep: Sweep, store: Store, tracking_uri: str | None, study_id: int) -> None:
        """Assign; nothing is opened.

        Args:
            sweep: The sweep.
            store: The home.
            tracking_uri: MLflow tracking URI, None for the home's own.
            study_id: Number of the study in the storage of Optuna, for links.
        """
        self._sweep = sweep
        self._home = store
        self._uri = tracking_uri
        self._study_id = study_id
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._store: Any = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Open the store and write what comes, until `finish`."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._jobs.put(self._open)

    def check(self) -> None:
        """Stop a sweep whose results cannot be tracked.

        Raises:
            StoreError: The tracking store cannot be opened or written; any other error is a fault.
        """
        if self._error is not None:
            raise self._error

    def show(self, state: TrialState) -> "Future[tuple[str, str]]":
        """Write a trial as it is now; the future holds its run id and a link to its page."""
        found: Future[tuple[str, str]] = Future()

        def write() -> None:
            try:
                found.set_result(self._write(state))
            except BaseException as error:
                # Who waits for the answer must not wait for ever.
                found.set_exception(error)
                raise

        self._jobs.put(write)
        return found

    def finish(self, study: Callable[[str, str], TrackedStudy]) -> None:
        """Write what is left and the parent run, and end.

        Args:
            study: Makes the parent run from the experiment's and its own id.

        Raises:
            StoreError: The tracking store cannot be opened or written.
        """
        self._jobs.put(lambda: self._write_study(study))
        self.stop()
        self.check()

    def stop(self) -> None:
        """Write what is left, show what still runs as killed, and end; once is enough."""
        if self._thread is not None:
            self._jobs.put(self._end_own)
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except Exception as error:
                self._error = self._error or error

    def _open(self) -> None:
        self._store = open_tracking(self._home.home, self._uri)

    def _write(self, state: TrialState) -> tuple[str, str]:
        if self._store is None:
            raise self._error or StoreError("the tracking store is not open")
        name = self._sweep.name
        folder = self._home.home / "studies" / name
        run = trial_run(self._sweep, state, self._home, self._study_id, folder / "configs")
        # Several commands may work on one study: each reads what the others wrote before it writes.
        with locked(folder / ".tracking.lock"):
            self._store.reconcile()
            parent = self._store.begin_study(study_key(name), name)
            run_id = self._store.write_run(run, parent)
        own = f"http://127.0.0.1:{UI_PORT}"
        base = server_page(self._uri) if self._uri and is_server(self._uri) else own
        return run_id, f"{base}/{run_link(self._store.experiment_id, run_id)}"

    def _end_own(self) -> None:
        if self._store is not None:
            self._store.end_own()

    def _write_study(self, study: Callable[[str, str], TrackedStudy]) -> None:
        if self._store is None:
            return
        name = self._sweep.name
        with locked(self._home.home / "studies" / name / ".tracking.lock"):
            self._store.reconcile()
            parent = self._store.begin_study(study_key(name), name)
            self._store.write_study(study(self._store.experiment_id, parent))


def trial_key(study: str, number: int, texts: Mapping[str, str]) -> str:
    """Identity of a trial in the tracking store: another one may have its number later."""
    return content_hash({"study": study, "trial": number, "values": dict(texts)})[:KEY_DIGITS]


def trial_run(
    sweep: Sweep, state: TrialState, store: Store, study_id: int, configs: Path
) -> TrackedRun:
    """A trial as a run: its values, the curves of its runs' means, and training curves.

    Args:
        sweep: The sweep.
        state: The trial.
        store: The home.
        study_id: Number of the study in the storage of Optuna, for the link.
        configs: Folder for the resolved configs.
    """
    plan, number = state.plan, state.number
    whole = state.status == "FINISHED" and bool(state.values)
    config = own_arms(plan)[0].runs[0].config
    configs.mkdir(parents=True, exist_ok=True)
    config_file = configs / f"{trial_name(number).replace(' ', '-')}.json"
    write_text(config_file, canonical_json(canonical(config)) + "\n")
    stages = {f"diamond.stage.{spec.stage}": spec.key for spec in instances(plan)[0].stages}
    link = dashboard_trial_link(study_id, number)
    note = f"[Trial {number} of {escape(sweep.name)} in optuna-dashboard]({link})"
    said = sweep.declaration
    return TrackedRun(
        run_key=trial_key(sweep.name, number, state.texts),
        name=trial_name(number),
        kind="trial",
        params={"game": ", ".join(said.games), "preset": str(said.preset), **state.texts},
        tags={
            "diamond.study": sweep.name,
            "diamond.arm": trial_name(number),
            "diamond.source": state.source,
            "optuna.study": sweep.name,
            "optuna.trial": str(number),
            "optuna.link": link,
            NOTE_TAG: f"{note}\n\n{escape(state.note)}" if state.note else note,
        }
        | stages,
        stages=_events(sweep, plan, store) if whole else (),
        curves=_curves(plan, store) if whole else {},
        summary={f"objective/{name}": value for name, value in state.values.items()},
        time_ms=_finished_ms(plan, store),
        artifacts={config_file.name: config_file},
        status=state.status,
    )


def _events(sweep: Sweep, plan: Plan, store: Store) -> tuple[StageEvents, ...]:
    """Training curves of the first run's stages that differ from trial to trial."""
    stages = records()
    first = {first_stage(parameter) for parameter in sweep.declaration.parameters}
    touched = min(place for place, stage in enumerate(stages) if stage.name in first)
    own: set[StageName] = {stage.name for stage in stages[touched:] if stage.is_trained}
    return tuple(
        stage_events(spec, store) for spec in instances(plan)[0].stages if spec.stage in own
    )


def _curves(plan: Plan, store: Store) -> dict[str, Sequence[float | None]]:
    """Mean over the runs of every metric against the time step."""
    found = [scores for run in instances(plan) if (scores := read_scores(run, store)) is not None]
    if not found:
        return {}
    names = [name for name in found[0] if not is_set(name) and all(name in one for one in found)]
    means = {
        name: [[nan_mean(column) for column in scores[name].T] for scores in found]
        for name in names
    }
    return {
        curve_name(name, "mean"): defined(
            sum(values) / len(values) for values in zip(*rows, strict=True)
        )
        for name, rows in means.items()
    }


def _finished_ms(plan: Plan, store: Store) -> int:
    specs = [spec for run in instances(plan) for spec in run.stages]
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs]
    return max((int(m["timings"].get("finished_ms", 0)) for m in manifests if m), default=0)


def tracked_sweep(
    result: Result,
    artifacts: Mapping[str, Path],
    experiment_id: str,
    run_id: str,
) -> TrackedStudy:
    """The parent run of a sweep.

    Args:
        result: Of the sweep, with its summary.
        artifacts: Files of the study by their place among its files in the tracking store.
        experiment_id: Where runs are.
        run_id: The parent run.
    """
    search = result.search
    assert search is not None, "a sweep has trials"
    confirm = search.confirm
    report = artifact_link(experiment_id, run_id, "report.html")
    dashboard = code(result.paths.dashboard_command or "")
    look = [f"[the report](/{report})", f"dashboard: {dashboard}"]
    lines = [
        escape(result.summary),
        f"**Look at:** {' · '.join(look)}",
        f"**Question:** {escape(result.question)}",
    ]
    if confirm is not None and confirm.result is None:
        lines.append(f"**Confirm it:** {code(confirm.command)}")
    failed = not any(trial.values for trial in search.trials)
    provenance = result.provenance
    tags = {
        "diamond.kind": "study",
        "diamond.command": result.command,
        "diamond.dirty": str(provenance.dirty),
        "diamond.device": str(provenance.device),
        "diamond.versions": canonical_json(provenance.versions),
        "optuna.study": result.study,
    }
    return TrackedStudy(
        run_key=study_key(result.study),
        name=result.study,
        tags=tags,
        params={"preset": result.preset, "protocol": result.protocol},
        description="\n\n".join(lines),
        artifacts=artifacts,
        status="FAILED" if failed else "FINISHED",
    )
