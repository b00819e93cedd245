"""Running a study: check the store, make what is missing, keep the tracking store up to date."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diamond.engine.plan_duration import Estimate, Work, priorities
from diamond.engine.store import Store
from diamond.engine.study_history import known_aggregates
from diamond.findings.ablation_result import build_result
from diamond.findings.store_view import SeenStore
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec, extras_of
from diamond.results.model import Result
from diamond.studies.arm_selection import selected_stages
from diamond.studies.description import Shown, study_links
from diamond.studies.frame_retention import Dropping, Keep, dropped_note
from diamond.studies.study_runs import Snapshot, is_compared, tracked_runs, tracked_study
from diamond.studies.study_tracking import TrackingThread
from diamond.tracking.mlflow_records import RunStatus
from diamond.workers.executor import Executor, StageEvent


@dataclass
class StudyRun:
    """One command at work on a study. Mutable: it gathers what happened.

    Attributes:
        plan: The study.
        store: The home.
        command: As the user can repeat it.
        only: Names of the arms to make; empty for all.
        retry_failed: Whether what failed before is tried again.
        keep: What of imagined frames stays once they are scored; None where nothing was said.
        errors: Cause per key of a failed or blocked stage.
        made: Keys made by this command.
        damaged: What was found damaged and is made again, in words.
        remarks: What else a reader of the results must know of what was made, in words.
        blocked: Keys not made because a stage that they read failed.
    """

    plan: Plan
    store: Store
    command: str
    only: tuple[str, ...] = ()
    retry_failed: bool = False
    keep: Keep | None = None
    errors: dict[str, str] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.store.home / "studies" / self.plan.study

    def check_extras(self) -> None:
        """Load what missing stages score by besides, before anything is made.

        Raises:
            DiamondError: It is not there, is something else, or does not load.
        """
        asked = extras_of(
            spec
            for spec in selected_stages(self.plan, self.only)
            if self.store.status(spec) != "done"
        )
        if asked:
            # It loads torch, which a command that only leads its workers does without.
            from diamond.fidelity.extras import check_extras  # noqa: PLC0415

            check_extras(asked)

    def check_store(self) -> None:
        """Read every finished stage of the plan in full.

        Damaged ones are removed so that they are made again.
        """
        for spec in self.plan.stages():
            damage = self.store.damage(spec)
            if damage is not None:
                self.store.reset(spec)
                self.damaged.append(
                    f"stage {spec.stage} {spec.key} was damaged ({damage}); it is made again"
                )

    def execute(
        self,
        executor: Executor,
        on_event: Callable[[StageEvent], None],
        on_tick: Callable[[], None],
        specs: Sequence[StageSpec] | None = None,
        on_work: Callable[[Work], None] = lambda _: None,
    ) -> None:
        """Make the stages that are missing, but those that failed before and would fail again.

        Args:
            executor: Makes them.
            on_event: Told what happens.
            on_tick: Called every fraction of a second.
            specs: The stages, each after those that it reads; None for those of the arms asked for.
            on_work: Told what there is to make, before it begins.
        """
        dropping = Dropping(self.store, self.keep, self.plan.study)
        work = self._prepare(executor, specs, dropping)
        on_work(work)

        def note(event: StageEvent) -> None:
            if event.kind == "made":
                self.made.add(event.spec.key)
            if event.kind in ("made", "reused"):
                self.remarks += dropping.note_done(event.spec)
            elif event.kind in ("failed", "still_failed", "blocked"):
                self.errors[event.spec.key] = event.note
                if event.kind == "blocked":
                    self.blocked.add(event.spec.key)
            on_event(event)

        failed = failures(self.store, work.specs)
        for spec in work.specs:
            if spec.key in failed:
                note(StageEvent("still_failed", spec, note=failed[spec.key]))
        order = priorities(work.specs, work.seconds)
        executor.run(work.specs, work.done, order, note, on_tick, frozenset(failed))

    def hand_over(self, executor: Executor) -> None:
        """Ask workers for the stages that are missing, and leave them to it.

        Raises:
            EngineError: They cannot be submitted.
        """
        work = self._prepare(executor, None, Dropping(self.store, self.keep, self.plan.study))
        self.errors |= failures(self.store, work.specs)
        executor.add(work.specs, work.done, priorities(work.specs, work.seconds))
        executor.hand_over()

    def _prepare(
        self, executor: Executor, specs: Sequence[StageSpec] | None, dropping: Dropping
    ) -> Work:
        """Write what who makes the missing stages must find; what failed and may be tried again."""
        specs = selected_stages(self.plan, self.only) if specs is None else specs
        status = self.store.statuses(specs)
        done = frozenset(key for key, found in status.items() if found == "done")
        again = dropping.take_on(specs, done)
        for spec in specs:
            self.store.prepare(spec, again=spec.key in again)
            # What stopped for want of memory or room may be tried again; what would fail again not.
            is_tried = self.retry_failed or status[spec.key] != "failed"
            if is_tried and spec.key not in done and self.store.gave_up(spec) is not None:
                self.store.forgive(spec)
        estimate = Estimate(self.plan, self.store, executor.device)
        left = {spec.key: estimate.left(spec) for spec in specs}
        return Work(specs, left, done - again, executor.jobs)

    def result(self, seen: SeenStore | None = None) -> Result:
        """The result as of now; arms that were not asked for are as they are.

        Args:
            seen: What the caller saw of the home before, None to look at everything.
        """
        seen = SeenStore(self.store.home) if seen is None else seen
        seen.look_again()
        selected = {spec.key for spec in selected_stages(self.plan, self.only)}
        others = [spec for spec in self.plan.stages() if spec.key not in selected]
        result = build_result(
            self.plan,
            seen,
            self.errors | failures(seen, others),
            frozenset(self.made),
            time.monotonic() - self._began,
            self.command,
            frozenset(spec.key for spec in others),
        )
        told = (*self.damaged, *self.remarks, *dropped_note(self.plan, seen))
        return result.model_copy(update={"notes": (*result.notes, *told)})

    def failed(self) -> list[tuple[StageSpec, str]]:
        """Stages that failed, with the cause; those that only read them are in `blocked`."""
        return [
            (spec, self.errors[spec.key])
            for spec in self.plan.stages()
            if spec.key in self.errors and spec.key not in self.blocked
        ]

    def stays_failed(self, spec: StageSpec) -> bool:
        """Whether the same command will not try a stage again."""
        return self.store.failure(spec) is not None


def failures(store: Store, specs: Iterable[StageSpec]) -> dict[str, str]:
    """Cause per key of the stages that failed and would fail again."""
    causes = {spec.key: store.failure(spec) for spec in specs}
    return {key: cause for key, cause in causes.items() if cause is not None}


class Tracking:
    """Writes a study to the tracking store: its training curves while stages run, then its end."""

    def __init__(self, study: StudyRun, tracking_uri: str | None) -> None:
        """Assign; nothing is opened."""
        self._study = study
        self._seen = SeenStore(study.store.home)
        self._thread = TrackingThread(study.store, study.plan.study, tracking_uri, self._follow)

    def start(self) -> None:
        """Open the store and import what is there, again and again, until `finish`."""
        self._thread.start()

    def check(self) -> None:
        """Stop a run whose results could not be tracked before it has cost much.

        Raises:
            StoreError: The tracking store cannot be opened.
        """
        self._thread.check()

    def finish(
        self, result: Result, artifacts: Mapping[str, Path] | None, status: RunStatus
    ) -> dict[str, str]:
        """Write the final state; every run that was shown as running gets its end.

        Args:
            result: What it gave.
            artifacts: Files of the study by their place among its files in the tracking store; None
                leaves what is there.
            status: How the command ended.

        Returns:
            Addresses in MLflow, by what they show.

        Raises:
            StoreError: The tracking store cannot be opened or written.
        """

        def last() -> dict[str, str]:
            self._seen.look_again()
            shown = self._write(result, artifacts, status, finished=True)
            links = study_links(result, shown).items()
            return {what: self._thread.address(link) for what, link in links}

        return self._thread.finish(last)

    def abandon(self) -> None:
        """Write how far the study is, and end every run: something else than `finish` ends it.

        What the store refuses now is no news: what ended the command is.
        """

        def last() -> None:
            self._write(self._study.result(self._seen), None, "KILLED", finished=True)

        self._thread.stop(last)

    def _follow(self) -> None:
        self._write(self._study.result(self._seen), None, "RUNNING", finished=False)

    def _write(
        self,
        result: Result,
        artifacts: Mapping[str, Path] | None,
        status: RunStatus,
        finished: bool,
    ) -> Shown:
        study = self._study
        snapshot = Snapshot(study.plan, result, self._seen, study.folder / "configs", finished)
        with self._thread.study_run() as (store, parent):
            ids = [(run, store.write_run(run, parent)) for run in tracked_runs(snapshot)]
            if finished:
                store.retire_others(parent, known_aggregates(study.plan, study.folder))
            shown = Shown(
                store.experiment_id,
                parent,
                {
                    game: [run_id for run, run_id in ids if is_compared(run, game)]
                    for game in study.plan.request.games
                },
                frozenset(artifacts or ()),
            )
            store.write_study(tracked_study(result, artifacts, status, shown))
        return shown
