"""The loop of a sweep, in process: no trial lost, none twice, whatever fails or dies on the way."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from diamond.engine.devices import Workers
from diamond.engine.files import write_json
from diamond.engine.sealed_json import sealed
from diamond.errors import StoreError
from diamond.families.diamond.config import diamond_of
from diamond.plan.stage_keys import StageSpec
from diamond.sweep.account import check_told
from diamond.sweep.declared_sweep import SweepDeclaration
from diamond.sweep.engine import SweepRun
from diamond.sweep.proposals import make_sampler, quiet, suggest
from diamond.sweep.storage import open_storage
from diamond.workers import executor as executor_module
from diamond.workers.executor import Executor, OnEvent
from diamond.workers.helpers import Helpers
from diamond.workers.work_order import OrderWriter
from tests.commands import finish
from tests.sweeps import (
    GRID,
    Bench,
    NotedTracking,
    PretendingExecutor,
    never,
    pretend_values,
    pretended,
    text,
)

TRAINED, IMAGINED = 40 * 4 * 2, 2 * (10 + 4 + 4) + 2 * 10 * (1 + 1 + 5)
"""Denoiser calls of `smoke`: updates x batch x passes; those of a step of its sampler, by frames.

Frames are those of rollouts, and those around events and other steps.
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return pretended(tmp_path, monkeypatch)


def steps_of(spec: StageSpec) -> int | None:
    sampler = spec.config.get("sampler")
    return None if sampler is None else int(sampler["steps"])


# --- the budget ---------------------------------------------------------------------------------


def test_the_preset_comes_first_and_the_budget_of_trials_is_kept(bench: Bench) -> None:
    run = bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.params()[0] == {"steps": 3, "churn": 0.0}
    assert bench.attribute("source") == ["baseline", "sampled", "sampled", "sampled"]
    assert bench.attribute("attempts") == [1] * 4
    assert run.turns.stopped == "all 4 trials are given out"
    for trial in bench.trials:
        steps, churn = trial.params["steps"], trial.params["churn"]
        assert trial.value == pytest.approx(abs(steps - 2) + churn / 12, abs=1e-3)
        assert trial.user_attrs["mlflow.run_id"] == f"run {trial.number}"
        assert trial.user_attrs["mlflow.link"] == f"http://link/{trial.number}"
        assert bench.tracking.statuses(trial.number) == ["RUNNING", "FINISHED"]
        assert bench.holder(trial.number) is None


def test_imagined_frames_go_once_a_trial_is_scored(bench: Bench) -> None:
    bench.text = GRID
    bench.keep = "none"
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.num_begun("rollouts") == len(list(bench.home.glob("kept/rollouts/*"))) == 4 + 2
    assert not list(bench.home.glob("stages/rollouts/*"))
    bench.run()
    assert bench.executor.begun == []


def test_the_same_command_once_more_does_nothing_and_a_greater_budget_goes_on(
    bench: Bench,
) -> None:
    bench.run()
    before = bench.params()
    bench.run()
    assert bench.params() == before
    assert bench.executor.begun == []
    assert bench.tracking.shown == []
    bench.text = bench.text.replace("trials = 4", "trials = 6")
    bench.run()
    assert bench.params()[:4] == before
    assert len(bench.trials) == 6


def test_without_a_baseline_the_first_trial_is_sampled(bench: Bench) -> None:
    bench.text = f"baseline = false\n{bench.text}"
    bench.run()
    assert bench.attribute("source") == ["sampled"] * 4


@pytest.mark.parametrize("space", ["int = [5, 9]", "int = [1, 9], step = 4"])
def test_a_preset_that_is_no_point_of_the_space_is_no_trial(bench: Bench, space: str) -> None:
    bench.text = text(f"[space]\nsteps = {{ {space} }}\n")
    bench.run()
    assert bench.attribute("source") == ["sampled"] * 4
    assert all(params["steps"] != 3 for params in bench.params())


def test_the_budget_of_calls_counts_what_trials_have_to_make(bench: Bench) -> None:
    bench.text = f"{GRID}[budget]\ndenoiser_calls = 1\n"
    run = bench.run()
    assert bench.attribute("denoiser_calls") == [TRAINED + IMAGINED * 3]
    assert run.turns.spent_calls() == TRAINED + IMAGINED * 3
    assert run.turns.stopped == "the budget of 1 denoiser calls is spent"
    bench.text = bench.text.replace("= 1\n", f"= {TRAINED + IMAGINED * 3 + 1}\n")
    bench.run()
    assert bench.params() == [{"steps": 3}, {"steps": 1}]
    assert bench.attribute("denoiser_calls")[1] == IMAGINED * 1, "nothing is trained again"


class WaitingExecutor(Executor):
    """A real one that leaves every stage to others, and looks at what they made at every step."""

    def __init__(self, run: SweepRun, jobs: int) -> None:
        order = OrderWriter(run.folder, run.names)
        helpers = Helpers(order, None, 0, leaves=False, say=run.news)
        super().__init__(run.store.home, Workers(jobs), helpers=helpers)
        self._idle = 0

    def make_elsewhere(self) -> None:
        self._idle = 0 if self._elsewhere else self._idle + 1
        assert self._idle < 20, "a trial waits for stages that nobody makes"
        for spec in list(self._elsewhere.specs.values()):
            finish(self._store, spec)

    def _start(self, spec: StageSpec, on_event: OnEvent) -> None:
        self._elsewhere.add(spec)

    def _drain(self, on_event: OnEvent) -> bool:
        return True


@pytest.mark.parametrize(
    ("jobs", "calls"), [(0, TRAINED + IMAGINED * 3), (1, None)], ids=["workers", "another command"]
)
def test_stages_that_others_make_are_charged_where_they_are_workers_of_this_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, jobs: int, calls: int | None
) -> None:
    monkeypatch.setattr(executor_module, "LOOK_SECONDS", 0.0)
    bench.text = text(end="[budget]\ntrials = 1\n")
    run = bench.begin()
    executor = WaitingExecutor(run, jobs)
    run.execute(executor, 1, lambda _: None, executor.make_elsewhere)
    assert bench.states() == ["COMPLETE"]
    assert bench.attribute("denoiser_calls") == [calls]
    assert run.turns.spent_calls() == (calls or 0)


def test_what_was_made_before_a_kill_is_charged_by_the_command_that_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text = GRID
    charge, seen = SweepRun._charge, Counter[str]()

    def dies(run: SweepRun, spec: StageSpec) -> None:
        seen[spec.key] += 1
        draws = spec.stage in ("denoiser", "rollouts") and spec.config["family"] == "diamond"
        if draws and seen[spec.key] == 1:
            raise KeyboardInterrupt
        charge(run, spec)

    monkeypatch.setattr(SweepRun, "_charge", dies)
    for _ in range(5):  # one denoiser and the rollouts of four trials
        bench.kill(lambda: False)
    run = bench.run()
    assert bench.attribute("denoiser_calls") == [
        TRAINED + IMAGINED * 3,
        *(IMAGINED * steps for steps in (1, 2, 4)),
    ]
    assert run.turns.spent_calls() == TRAINED + IMAGINED * 10


def test_the_budget_of_hours_counts_every_command(bench: Bench) -> None:
    bench.store.check_writable()
    work = bench.home / "studies" / "mine" / "work"
    work.mkdir(parents=True)
    write_json(work / "one.json", sealed({"began": 0.0, "last": 1800.0}))
    write_json(work / "other.json", sealed({"began": 900.0, "last": 2700.0}))  # half together
    bench.text = text(end="[budget]\nhours = 0.75\ntrials = 4\n")
    run = bench.run()
    assert bench.trials == []
    assert run.turns.stopped == "the budget of 0.75 hours is spent"
    bench.text = bench.text.replace("0.75", "0.76")
    run = bench.run()
    assert len(bench.trials) == 4
    assert run.turns.hours() == pytest.approx(0.75, abs=0.01)
    assert len(list(work.glob("*.json"))) == 4


def test_what_is_left_of_the_work_on_a_finished_stage_goes(bench: Bench) -> None:
    bench.text = GRID
    bench.kill(lambda: bench.num_begun("denoiser") == 1)
    (spec,) = [spec for spec in bench.executor.begun if spec.stage == "denoiser"]
    left = bench.store.work(spec.stage, spec.key) / "claim-1.json"
    left.parent.mkdir(parents=True)
    write_json(left, {"owner": None, "token": "dead"})
    bench.run()
    assert not left.parent.exists()


def test_a_storage_that_tells_other_values_than_the_stages_is_refused(bench: Bench) -> None:
    bench.run()
    journal = "mine.journal"
    check_told(bench.sweep, bench.study, bench.store, journal)
    trial = bench.study.get_trials(deepcopy=False)[1]
    (value,), params = trial.values, dict(trial.params)
    trial.values = [value + 1]
    with pytest.raises(
        StoreError, match=r"mine\.journal was changed: trial 1 of mine has l1 .* by its stages"
    ):
        check_told(bench.sweep, bench.study, bench.store, journal)
    trial.values = [value]
    trial.params["steps"] = params["steps"] + 1
    with pytest.raises(StoreError, match=r"mine\.journal was changed[^@]*sampler\.steps: was"):
        check_told(bench.sweep, bench.study, bench.store, journal)
    trial.params["steps"] = 100_000
    with pytest.raises(StoreError, match=r"mine\.journal was changed"):
        check_told(bench.sweep, bench.study, bench.store, journal)


def test_damaged_working_hours_are_told(bench: Bench) -> None:
    bench.store.check_writable()
    work = bench.home / "studies" / "mine" / "work"
    work.mkdir(parents=True)
    write_json(work / "one.json", {**sealed({"began": 0.0, "last": 1800.0}), "last": 18.0})
    bench.text = text(end="[budget]\nhours = 0.75\ntrials = 4\n")
    with pytest.raises(StoreError, match=r"one\.json' are not as they were written"):
        bench.run()
    assert bench.trials == []


# --- the grid -----------------------------------------------------------------------------------


def test_a_grid_visits_every_point_once_and_ends(bench: Bench) -> None:
    bench.text = text(
        """
[space]
steps = { int = [1, 3], step = 2 }
sampler.quantizer = { choices = ["floor", "round", "none"] }
quantize_at = { choices = ["call", "end"], when = { "sampler.quantizer" = ["floor"] } }
""",
        '[sampler]\nname = "grid"\n',
    )
    run = bench.run()
    found = Counter(tuple(params.items()) for params in bench.params())
    assert set(found.values()) == {1}
    assert len(found) == 2 * (2 + 1 + 1)
    assert bench.params()[0] == {"steps": 3, "sampler.quantizer": "round"}
    assert run.turns.stopped == "the grid is at its end"
    bench.run()
    assert len(bench.trials) == len(found)


@pytest.mark.parametrize("outer_jobs", [1, 2])
def test_two_commands_on_one_storage_visit_no_point_of_a_grid_twice(
    bench: Bench, outer_jobs: int
) -> None:
    bench.text = GRID
    bench.storage = open_storage(str(bench.home / "optuna.journal"))
    other = Bench(bench.home, GRID, storage=open_storage(str(bench.home / "optuna.journal")))
    inner: list[int] = []

    def tick() -> None:
        # The whole other command runs while this one has trials at work.
        if not inner:
            inner.append(sum(state == "RUNNING" for state in bench.states()))
            other.run()

    bench.run(jobs=outer_jobs, on_tick=tick)
    assert inner == [outer_jobs]
    assert bench.states() == ["COMPLETE"] * 4
    assert [params["steps"] for params in bench.params()] == [3, 1, 2, 4]
    ends = [(state.number, state.status) for t in (bench, other) for state in t.tracking.shown]
    assert Counter(ends) == {(n, status): 1 for n in range(4) for status in ("RUNNING", "FINISHED")}


def test_two_commands_keep_one_budget(bench: Bench) -> None:
    other = Bench(bench.home, bench.text, storage=bench.storage)

    def tick() -> None:
        other.run()

    bench.run(jobs=2, on_tick=tick)
    assert bench.states() == ["COMPLETE"] * 4
    assert [trial.number for trial in bench.trials] == [0, 1, 2, 3]


# --- what fails ---------------------------------------------------------------------------------


def fails(
    steps: int | None, times: int, stage: str = "rollouts"
) -> Callable[[StageSpec, int], str | None]:
    """A stage fails so many times: of trials with so many denoising steps, or of all."""

    def rule(spec: StageSpec, attempt: int) -> str | None:
        meant = spec.stage == stage and steps_of(spec) == steps
        return "loss is nan" if meant and attempt <= times else None

    return rule


def test_a_stage_that_fails_once_is_made_again_and_the_trial_completes(bench: Bench) -> None:
    bench.text = GRID
    bench.run(fails(1, times=1))
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.attribute("attempts") == [1, 2, 1, 1]
    assert bench.attribute("error") == [None] * 4
    assert "trial 1: rollouts: loss is nan; it is tried once more" in bench.news
    assert bench.num_begun("denoiser") == 1, "what was made before the failure is kept"


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_trial_that_fails_twice_is_failed_with_its_cause_and_the_others_go_on(
    bench: Bench, jobs: int
) -> None:
    bench.text = GRID
    bench.run(fails(1, times=9), jobs)
    assert bench.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert bench.attribute("attempts") == [1, 2, 1, 1]
    assert bench.attribute("error") == [None, "rollouts: loss is nan", None, None]
    made = Counter(steps_of(spec) for spec in bench.executor.begun if spec.stage == "rollouts")
    assert {steps: made[steps] for steps in (1, 2, 3, 4)} == {1: 2, 2: 1, 3: 1, 4: 1}
    assert bench.tracking.statuses(1) == ["RUNNING", "FAILED"]
    bench.run()
    assert bench.states().count("FAIL") == 1, "a failed trial is not lost and not tried again"


def test_a_stage_that_two_trials_share_is_made_once(bench: Bench) -> None:
    bench.text = GRID
    bench.run(jobs=4)
    assert bench.states() == ["COMPLETE"] * 4
    keys = [spec.key for spec in bench.executor.begun]
    assert len(keys) == len(set(keys))
    assert bench.num_begun("denoiser") == 1


def test_a_shared_stage_that_fails_once_fails_no_trial(bench: Bench) -> None:
    bench.text = GRID
    bench.run(fails(None, times=1, stage="denoiser"), jobs=4)
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.num_begun("denoiser") == 2


def test_a_shared_stage_that_always_fails_is_the_cause_that_every_trial_names(
    bench: Bench,
) -> None:
    bench.text = GRID
    run = bench.run(fails(None, times=99, stage="denoiser"), jobs=2)
    assert bench.states() == ["FAIL"] * 4
    assert bench.attribute("error") == ["denoiser: loss is nan"] * 4
    assert run.turns.stopped == "the grid is at its end"


def test_when_the_first_trials_all_fail_the_sweep_stops(bench: Bench) -> None:
    bench.text = text(end="[budget]\ntrials = 50\n")
    run = bench.run(fails(None, times=999, stage="denoiser"))
    assert bench.states() == ["FAIL"] * 5
    assert run.turns.stopped == "the first 5 trials failed and none succeeded"


def test_later_failures_do_not_stop_a_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text = text(end="[budget]\ntrials = 9\n")
    pretend_values(
        monkeypatch, lambda config, _: 1.0 if diamond_of(config).sampler.churn == 0 else None
    )
    bench.run()
    assert bench.states() == ["COMPLETE"] + ["FAIL"] * 8


def test_an_undefined_objective_fails_its_trial_and_is_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text = GRID
    pretend_values(
        monkeypatch,
        lambda config, _: (
            None if diamond_of(config).sampler.steps == 2 else diamond_of(config).sampler.steps
        ),
    )
    bench.run()
    assert bench.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert bench.attribute("error")[2] == "l1 is not defined for it"
    assert bench.attribute("attempts")[2] == 1


def test_values_that_are_not_allowed_together_fail_that_trial_alone(bench: Bench) -> None:
    bench.text = text(
        "[space]\nsigma_max = { choices = [1.0, 5.0] }\n"
        "sampler.sigma_min = { choices = [0.002, 2.0] }\n",
        '[sampler]\nname = "grid"\n',
    )
    bench.run()
    by_state = {trial.state.name: trial for trial in bench.trials}
    assert sorted(bench.states()) == ["COMPLETE"] * 3 + ["FAIL"]
    failed = by_state["FAIL"]
    assert failed.params == {"sigma_max": "1", "sampler.sigma_min": "2"}
    assert "sigma_min 2.0 must be below sigma_max 1.0" in failed.user_attrs["diamond.error"]
    assert "\n" not in failed.user_attrs["diamond.error"]


def test_a_stage_that_was_damaged_is_made_again(bench: Bench) -> None:
    bench.text = GRID
    bench.run()
    spec = next(spec for spec in bench.executor.begun if spec.stage == "references")
    (bench.store.folder(spec.stage, spec.key) / "manifest.json").write_text("{")
    bench.text = text("[space]\nsteps = { int = [1, 5] }\n", '[sampler]\nname = "grid"\n')
    bench.name = "other"
    bench.run()
    assert any("was damaged" in line for line in bench.news)
    assert spec.key in [one.key for one in bench.executor.begun]
    assert bench.states() == ["COMPLETE"] * 5


# --- what dies ----------------------------------------------------------------------------------


def at_work(bench: Bench, number: int) -> Callable[[], bool]:
    return lambda: len(bench.trials) > number and bench.states()[number] == "RUNNING"


@pytest.mark.parametrize("kills", [1, 3])
def test_a_trial_whose_command_was_killed_goes_on_with_its_values(bench: Bench, kills: int) -> None:
    for _ in range(kills):
        bench.kill(at_work(bench, 2))
    before = bench.params()
    assert bench.states() == ["COMPLETE", "COMPLETE", "RUNNING"]
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.params()[:3] == before
    assert bench.attribute("attempts") == [1] * 4
    assert bench.attribute("source")[0] == "baseline"


def test_the_second_attempt_of_a_trial_outlives_a_kill_of_its_command(bench: Bench) -> None:
    bench.text = GRID
    rule = fails(1, times=1)
    for _ in range(2):
        bench.kill(lambda: bench.attribute("attempts")[1:] == [2], rule)
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.attribute("attempts") == [1, 2, 1, 1]


def test_a_failure_counts_before_and_after_a_kill_of_the_command(bench: Bench) -> None:
    bench.text = GRID
    rule = fails(1, times=2)
    bench.kill(lambda: bench.attribute("attempts")[1:] == [2], rule)
    bench.run(rule)
    assert bench.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert bench.attribute("attempts")[1] == 2


def test_a_released_trial_goes_on_without_a_further_attempt(bench: Bench) -> None:
    for _ in range(3):
        bench.interrupt(at_work(bench, 2))
        assert bench.holder(2) is None
        assert bench.tracking.statuses(2) == ["RUNNING", "KILLED"]
    before = bench.params()
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.params()[:3] == before
    assert bench.attribute("attempts") == [1] * 4


def test_a_trial_of_a_living_command_is_left_to_it(bench: Bench) -> None:
    bench.interrupt(at_work(bench, 2))
    assert bench.begin()._ledger.take(2) is not None
    bench.run()
    assert bench.states() == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]


def test_a_trial_is_told_and_let_go_of_under_the_lock_of_those_who_look_for_orphans(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.begin()
    held: list[bool] = []
    asking = run._ledger.asking
    locks: list[int] = []

    @contextmanager
    def noted() -> Iterator[None]:
        with asking():
            locks.append(1)
            try:
                yield
            finally:
                locks.pop()

    close, tell = run._ledger.close, run.study.tell

    def watched(number: int) -> None:
        held.append(bool(locks))
        close(number)

    def watched_tell(*arguments: Any) -> Any:
        held.append(bool(locks))
        return tell(*arguments)

    monkeypatch.setattr(run._ledger, "asking", noted)
    monkeypatch.setattr(run._ledger, "close", watched)
    monkeypatch.setattr(run.study, "tell", watched_tell)
    run.execute(PretendingExecutor(bench.store, never), 1, lambda _: None, lambda: None)
    assert held == [True] * 8


def test_a_trial_that_cannot_be_tracked_is_let_go_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(self: NotedTracking, state: Any) -> Any:
        found: Future[tuple[str, str]] = Future()
        found.set_exception(StoreError("the tracking store is gone"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(NotedTracking, "show", show)
        with pytest.raises(StoreError, match="is gone"):
            bench.run()
    assert bench.states() == ["RUNNING"]
    assert bench.holder(0) is None
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.attribute("attempts") == [1] * 4


def test_an_interrupted_sweep_ends_as_an_uninterrupted_one(bench: Bench, tmp_path: Path) -> None:
    bench.text = text(end="[sampler]\nstartup_trials = 3\n[budget]\ntrials = 7\n")
    for number in (1, 4, 5):
        bench.interrupt(at_work(bench, number))
    bench.run()
    whole = Bench(tmp_path / "other", bench.text)
    whole.run()
    assert bench.params() == whole.params()
    assert [trial.value for trial in bench.trials] == [trial.value for trial in whole.trials]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_samplers_take_conditions_and_several_objectives_without_a_word(sampler: str) -> None:
    # Warnings are errors in tests.
    said = SweepDeclaration.model_validate(
        {
            "question": "?",
            "space": {
                "steps": {"int": [1, 4]},
                "order": {"choices": [1, 2]},
                "churn": {"float": [0, 4], "when": {"order": [2]}},
            },
            "objectives": [{"metric": "l1"}, {"metric": "denoiser_calls_per_frame"}],
            "sampler": {"name": sampler, "startup_trials": 2, "population": 2},
        }
    )
    study = optuna.create_study(directions=list(said.directions))
    for number in range(6):
        study.sampler = make_sampler(said, number)
        with quiet():
            trial = study.ask()
            values = suggest(trial, said.parameters)
        assert ("churn" in values) == (values["order"] == "2")
        study.tell(trial, [float(number), 1.0])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_the_seed_decides_the_proposals(bench: Bench, tmp_path: Path, sampler: str) -> None:
    def params(folder: str, seed: int) -> list[dict[str, object]]:
        end = f'[sampler]\nname = "{sampler}"\nseed = {seed}\nstartup_trials = 3\npopulation = 3\n'
        one = Bench(tmp_path / folder, text(end=f"{end}[budget]\ntrials = 7\n"))
        one.run()
        return one.params()

    first = params("a", 0)
    assert params("b", 0) == first
    assert params("c", 1) != first
    assert params("c", 1)[0] == first[0], "the baseline is drawn by nobody"
    if sampler != "nsga2":  # a child may be as its parent
        assert len({tuple(point.items()) for point in first}) == 7
