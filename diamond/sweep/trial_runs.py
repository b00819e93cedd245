"""Trials as runs of the tracking store, under the run of their study."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from diamond.config.base import content_hash
from diamond.config.metric_table import is_set
from diamond.engine.run_identity import KEY_DIGITS
from diamond.engine.store import Store
from diamond.findings.arm_scores import read_scores
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageName
from diamond.results.model import Result
from diamond.results.rollout_estimates import nan_mean
from diamond.results.values import defined
from diamond.stages.registry import records
from diamond.studies.description import Shown, study_links
from diamond.studies.study_runs import (
    config_artifact,
    finished_ms,
    stage_events,
    tracked_study,
)
from diamond.studies.study_tracking import TrackingThread
from diamond.sweep.dashboard_links import dashboard_trial_link
from diamond.sweep.declaration import Sweep
from diamond.sweep.trials import first_stage, instances, own_arms, trial_name
from diamond.tracking.literal_markdown import escape
from diamond.tracking.mlflow_records import RunStatus, StageEvents, TrackedRun
from diamond.tracking.names import curve_name

NOTE_TAG = "mlflow.note.content"


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
    """Writes trials to the tracking store; the stages never wait for it.

    Attributes:
        thread: In which it does so.
    """

    def __init__(self, sweep: Sweep, store: Store, tracking_uri: str | None, study_id: int) -> None:
        """Assign; nothing is opened.

        Args:
            sweep: The sweep.
            store: The home.
            tracking_uri: MLflow tracking URI, None for the home's own.
            study_id: Number of the study in the storage of Optuna, for links.
        """
        self.thread = TrackingThread(store, sweep.name, tracking_uri)
        self._sweep = sweep
        self._home = store
        self._study_id = study_id

    def show(self, state: TrialState) -> "Future[tuple[str, str]]":
        """Write a trial as it is now; the future holds its run id and a link to its page."""
        return self.thread.put(lambda: self._write(state))

    def finish(
        self, result: Result, artifacts: Mapping[str, Path], status: RunStatus
    ) -> dict[str, str]:
        """Write what is left and the parent run, and end.

        Args:
            result: Of the sweep, with its summary.
            artifacts: Files of the study by their place among its files in the tracking store.
            status: How the search ended.

        Returns:
            Addresses in MLflow, by what they show.

        Raises:
            StoreError: The tracking store cannot be opened or written.
        """

        def last() -> dict[str, str]:
            with self.thread.study_run() as (store, parent):
                shown = Shown(store.experiment_id, parent, {}, frozenset(artifacts))
                store.write_study(tracked_study(result, artifacts, status, shown))
            links = study_links(result, shown).items()
            return {what: self.thread.address(link) for what, link in links}

        return self.thread.finish(last)

    def _write(self, state: TrialState) -> tuple[str, str]:
        configs = self._home.home / "studies" / self._sweep.name / "configs"
        run = trial_run(self._sweep, state, self._home, self._study_id, configs)
        with self.thread.study_run() as (store, parent):
            run_id = store.write_run(run, parent)
        return run_id, self.thread.page(run_id)


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
    config_file = config_artifact(
        configs / f"{trial_name(number).replace(' ', '-')}.json", own_arms(plan)[0].runs[0].config
    )
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
        },
        stages=_events(sweep, plan, store) if whole else (),
        curves=_curves(plan, store) if whole else {},
        summary={f"objective/{name}": value for name, value in state.values.items()},
        time_ms=finished_ms((spec for run in instances(plan) for spec in run.stages), store),
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
