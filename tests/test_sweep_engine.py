"""The loop of a sweep, in process: no trial lost, none twice, whatever fails or dies on the way."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial
from typer.testing import CliRunner

from diamond.ablation.plan import Plan, make_plan
from diamond.ablation.request import Request
from diamond.ablation.stages import StageSpec
from diamond.cli.app import app
from diamond.config.run import RunConfig
from diamond.errors import RequestError, StoreError
from diamond.pipeline.files import write_json
from diamond.pipeline.history import record_plan
from diamond.pipeline.store import Store
from diamond.study import confirm, warm_start
from diamond.study.confirm import command_of, confirm_request, confirmation, fresh_start
from diamond.study.declaration import SweepDeclaration
from diamond.study.front import Point, pareto_front, spread
from diamond.study.importance import MIN_TRIALS, importance_rows
from diamond.study.objectives import Aim
from diamond.study.ownership import union_seconds
from diamond.study.proposals import make_sampler, quiet, suggest
from diamond.study.storage import open_storage
from diamond.study.trials import own_arms, trial_plan
from diamond.study.warm_start import add_arms
from tests.sweeps import Bench, NotedTracking, PretendingExecutor, never, pretend_values

HEAD = """\
question = "Which?"
preset = "smoke"
until = "fidelity"
"""
STEPS = """
[space]
steps = { int = [1, 6] }
churn = { float = [0, 12] }
"""
AIM = """
[[objectives]]
metric = "l1"
"""


def text(space: str = STEPS, end: str = "[budget]\ntrials = 4\n", aim: str = AIM) -> str:
    return f"{HEAD}{space}{aim}\n{end}"


GRID = text("[space]\nsteps = { int = [1, 4] }\n", '[sampler]\nname = "grid"\n')
"""Four trials: steps 3, which is the preset's, then 1, 2 and 4."""


def distance(config: RunConfig, name: str) -> float:
    """An objective that is best at two steps and without noise."""
    return abs(config.sampler.steps - 2) + config.sampler.churn / 12


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    pretend_values(monkeypatch, distance)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
    return Bench(tmp_path, text())


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
    assert run.stopped == "all 4 trials are given out"
    for trial in bench.trials:
        steps, churn = trial.params["steps"], trial.params["churn"]
        assert trial.value == pytest.approx(abs(steps - 2) + churn / 12, abs=1e-3)
        assert trial.user_attrs["mlflow.run_id"] == f"run {trial.number}"
        assert trial.user_attrs["mlflow.link"] == f"http://link/{trial.number}"
        assert bench.tracking.statuses(trial.number) == ["RUNNING", "FINISHED"]
        assert not bench.claim(trial.number).exists()


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
    trained, imagined = 40 * 4 * 2, 2 * (10 + 4 + 4)  # smoke: updates x batch x passes, frames
    assert bench.attribute("denoiser_calls") == [trained + imagined * 3]
    assert run.spent_calls() == trained + imagined * 3
    assert run.stopped == "the budget of 1 denoiser calls is spent"
    bench.text = bench.text.replace("= 1\n", f"= {trained + imagined * 3 + 1}\n")
    bench.run()
    assert bench.params() == [{"steps": 3}, {"steps": 1}]
    assert bench.attribute("denoiser_calls")[1] == imagined * 1, "nothing is trained again"


def test_the_budget_of_hours_counts_every_command(bench: Bench) -> None:
    work = bench.home / "studies" / "mine" / "work"
    work.mkdir(parents=True)
    write_json(work / "one.json", {"began": 0.0, "last": 1800.0})
    write_json(work / "other.json", {"began": 900.0, "last": 2700.0})  # half of it together
    bench.text = text(end="[budget]\nhours = 0.75\ntrials = 4\n")
    run = bench.run()
    assert bench.trials == []
    assert run.stopped == "the budget of 0.75 hours is spent"
    bench.text = bench.text.replace("0.75", "0.76")
    run = bench.run()
    assert len(bench.trials) == 4
    assert run.hours() == pytest.approx(0.75, abs=0.01)
    assert len(list(work.glob("*.json"))) == 4


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
    assert run.stopped == "the grid is at its end"
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
    assert run.stopped == "the grid is at its end"


def test_when_the_first_trials_all_fail_the_sweep_stops(bench: Bench) -> None:
    bench.text = text(end="[budget]\ntrials = 50\n")
    run = bench.run(fails(None, times=999, stage="denoiser"))
    assert bench.states() == ["FAIL"] * 5
    assert run.stopped == "the first 5 trials failed and none succeeded"


def test_later_failures_do_not_stop_a_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text = text(end="[budget]\ntrials = 9\n")
    pretend_values(monkeypatch, lambda config, _: 1.0 if config.sampler.churn == 0 else None)
    bench.run()
    assert bench.states() == ["COMPLETE"] + ["FAIL"] * 8


def test_an_undefined_objective_fails_its_trial_and_is_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text = GRID
    pretend_values(
        monkeypatch, lambda config, _: None if config.sampler.steps == 2 else config.sampler.steps
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
    assert failed.params == {"sigma_max": "1.0", "sampler.sigma_min": "2.0"}
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


def test_a_trial_whose_command_was_killed_is_tried_again_with_its_values(bench: Bench) -> None:
    bench.kill(at_work(bench, 2))
    before = bench.params()
    assert bench.states() == ["COMPLETE", "COMPLETE", "RUNNING"]
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.params()[:3] == before
    assert bench.attribute("attempts") == [1, 1, 2, 1]
    assert bench.attribute("source")[0] == "baseline"


def test_a_trial_whose_command_was_killed_twice_is_failed(bench: Bench) -> None:
    bench.kill(at_work(bench, 1))
    bench.kill(at_work(bench, 1))
    bench.run()
    assert bench.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert bench.attribute("error")[1] == "it failed or was killed twice"
    assert bench.attribute("attempts")[1] == 3


def test_a_trial_that_failed_once_before_its_command_was_killed_is_not_tried_a_third_time(
    bench: Bench,
) -> None:
    bench.text = GRID
    rule = fails(1, times=1)
    bench.kill(lambda: bench.attribute("attempts")[1:] == [2], rule)
    bench.run()
    assert bench.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_released_trial_goes_on_without_a_further_attempt(bench: Bench) -> None:
    for _ in range(3):
        bench.interrupt(at_work(bench, 2))
        assert not bench.claim(2).exists()
        assert bench.tracking.statuses(2) == ["RUNNING", "KILLED"]
    before = bench.params()
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4
    assert bench.params()[:3] == before
    assert bench.attribute("attempts") == [1] * 4


def test_a_trial_of_a_living_command_is_left_to_it(bench: Bench) -> None:
    bench.interrupt(at_work(bench, 2))
    holder = bench.begin()._ledger.take(2)
    assert holder is not None
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
    assert not bench.claim(0).exists()
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


# --- constraints and pruners --------------------------------------------------------------------


def test_constraints_are_told_to_optuna(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text = GRID.replace(
        "[sampler]",
        '[[constraints]]\nmetric = "denoiser_calls_per_frame"\nat_least = 3\n'
        '[[constraints]]\nmetric = "psnr"\nat_most = 30\n\n[sampler]',
    )
    values = {"l1": 1.0, "denoiser_calls_per_frame": 1.0, "psnr": 8.0}
    pretend_values(monkeypatch, lambda config, name: values[name] * config.sampler.steps)
    bench.run()
    names = ("denoiser_calls_per_frame >= 3", "psnr <= 30")
    assert [trial.params["steps"] for trial in bench.trials] == [3, 1, 2, 4]
    assert [trial.constraints for trial in bench.trials] == [
        dict(zip(names, (3.0 - steps, 8.0 * steps - 30), strict=True)) for steps in (3, 1, 2, 4)
    ]
    assert bench.study.best_trial.params == {"steps": 3}, "the others are better, but not allowed"


def test_a_trial_that_was_killed_after_its_constraints_were_told_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text = GRID.replace(
        "[sampler]", '[[constraints]]\nmetric = "psnr"\nat_most = 30\n\n[sampler]'
    )
    tell = optuna.Study.tell

    def killed(self: optuna.Study, *arguments: Any) -> Any:
        if len(self.get_trials()) == 3:
            raise KeyboardInterrupt
        return tell(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.run()
    assert "RUNNING" in bench.states()
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4


LR = "[space]\nlr = { choices = [0.0015, 0.001, 0.0008, 0.003] }\n"
MEDIAN = """
[pruner]
name = "median"
at = [10, 20]
startup_trials = 2

[sampler]
name = "grid"
"""


def stops(specs: Sequence[StageSpec]) -> list[int | None]:
    return [spec.config["denoiser"].get("stop_after") for spec in specs if spec.stage == "denoiser"]


def by_rate(config: RunConfig, name: str) -> float:
    """Greater rates are worse, and everything is better with more updates."""
    return config.denoiser.optimizer.lr * 1000 + 1 / config.denoiser.num_trained_updates


def test_the_median_pruner_stops_a_bad_trial_at_its_first_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_values(monkeypatch, by_rate)
    bench.text = text(LR, MEDIAN)
    bench.run()
    assert [trial.params["lr"] for trial in bench.trials] == ["0.0015", "0.001", "0.0008", "0.003"]
    assert bench.states() == ["COMPLETE"] * 3 + ["PRUNED"]
    assert [trial.intermediate_values for trial in bench.trials] == [
        {10: pytest.approx(rate + 0.1), 20: pytest.approx(rate + 0.05)} for rate in (1.5, 1, 0.8)
    ] + [{10: pytest.approx(3.1)}]
    assert [trial.value for trial in bench.trials[:3]] == pytest.approx([1.525, 1.025, 0.825])
    assert stops(bench.executor.begun) == [10, 20, None] * 3 + [10]
    assert bench.attribute("error")[3] == "stopped by the pruner at 10"
    assert bench.tracking.statuses(3) == ["RUNNING", "FINISHED"]
    assert not bench.claim(3).exists()


def test_no_trial_is_stopped_before_enough_are_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_values(monkeypatch, by_rate)
    bench.text = text(LR, MEDIAN.replace("startup_trials = 2", "startup_trials = 9"))
    bench.run()
    assert bench.states() == ["COMPLETE"] * 4


def test_the_percentile_pruner_lets_the_stated_share_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_values(monkeypatch, by_rate)
    space = "[space]\nlr = { choices = [0.001, 0.002, 0.003, 0.004, 0.0025] }\n"
    pruner = MEDIAN.replace("median", "percentile").replace("startup_trials = 2", "{}")
    for percentile, last in ((75, "COMPLETE"), (25, "PRUNED")):
        own = f"startup_trials = 4\npercentile = {percentile}"
        one = Bench(bench.home / str(percentile), text(space, pruner.replace("{}", own)))
        one.run()
        assert one.states() == ["COMPLETE"] * 4 + [last]


def test_a_checkpoint_beyond_the_training_is_left_out(bench: Bench) -> None:
    bench.text = text(LR, MEDIAN.replace("[10, 20]", "[10, 40, 90]"))
    bench.run()
    assert bench.trials[0].intermediate_values.keys() == {10}
    assert stops(bench.executor.begun)[:2] == [10, None]


def test_a_trial_killed_between_its_checkpoints_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_values(monkeypatch, by_rate)
    bench.text = text(LR, MEDIAN)
    bench.kill(lambda: bool(bench.trials and bench.trials[0].intermediate_values))
    assert bench.states() == ["RUNNING"]
    bench.run()
    assert bench.states() == ["COMPLETE"] * 3 + ["PRUNED"]
    assert bench.trials[0].intermediate_values.keys() == {10, 20}
    assert stops(bench.executor.begun)[:2] == [20, None]


WILCOXON = """
[pruner]
name = "wilcoxon"

[sampler]
name = "grid"
"""


def test_wilcoxon_stops_a_trial_once_enough_of_its_instances_are_worse(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = (0.0, 0.3, -0.2, 0.1, -0.4, 0.2)
    pretend_values(monkeypatch, lambda c, _: c.denoiser.optimizer.lr * 1000 + noise[c.seed])
    bench.text = f"seeds = 6\n{text(LR, WILCOXON)}"
    bench.run()
    assert bench.states() == ["COMPLETE"] * 3 + ["PRUNED"]
    # 0.5^4 = 0.0625 is the first p value below 0.1: four of six seeds are made.
    assert list(bench.trials[3].intermediate_values) == [0, 1, 2, 3]
    assert bench.trials[3].intermediate_values[1] == pytest.approx(3.3)
    rates = [
        spec.config["denoiser"]["optimizer"]["lr"]
        for spec in bench.executor.begun
        if spec.stage == "denoiser"
    ]
    assert Counter(rates) == {0.0015: 6, 0.001: 6, 0.0008: 6, 0.003: 4}
    assert bench.trials[0].value == pytest.approx(1.5 + sum(noise) / 6)


def test_wilcoxon_goes_instance_by_instance_over_seeds_and_games(bench: Bench) -> None:
    bench.text = f'seeds = 2\ngames = ["Boxing", "Pong"]\n{text(LR, WILCOXON)}'.replace(
        'name = "wilcoxon"', 'name = "wilcoxon"\np_threshold = 0.2'
    )
    bench.interrupt(lambda: bool(bench.trials and len(bench.trials[0].intermediate_values) == 2))
    games = {spec.config.get("game") for spec in bench.executor.begun} - {None}
    assert games == {"Boxing", "Pong"}
    assert bench.num_begun("denoiser") == 2, "the first seed on both games, before the second"
    assert {spec.seed for spec in bench.executor.begun if spec.stage == "denoiser"} == {0}


# --- other studies ------------------------------------------------------------------------------


def test_a_study_whose_space_changed_is_refused(bench: Bench) -> None:
    bench.run()
    bench.text = bench.text.replace("[1, 6]", "[1, 7]")
    with pytest.raises(RequestError, match="the study 'mine' had another space") as caught:
        bench.run()
    assert "--name mine-2" in str(caught.value)
    bench.name = "mine-2"
    bench.run()
    assert len(bench.trials) == 4


def ablation(bench: Bench, *assignments: str, name: str, settings: tuple[str, ...] = ()) -> Plan:
    """An ablation of the home that is finished, as far as a sweep can see."""
    plan = make_plan(
        Request(assignments, "smoke", ("Boxing",), 1, "fidelity", name, settings=settings)
    )
    record_plan(plan, bench.home / "studies" / name, "diamond ablate")
    return plan


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        warm_start,
        "trial_value",
        lambda plan, runs, store, measure: distance(runs[0].config, measure.name),
    )


@pytest.mark.usefixtures("scored")
def test_finished_arms_of_another_study_become_trials(bench: Bench) -> None:
    ablation(bench, "steps=1,2,9", name="earlier")
    run = bench.begin()
    found = add_arms(run, "earlier")
    assert found.added == ("steps=1", "steps=2")
    assert found.left == {"steps=9": "its values lie outside the space"}
    assert bench.states() == ["COMPLETE"] * 2
    assert bench.params() == [{"steps": 1, "churn": 0.0}, {"steps": 2, "churn": 0.0}]
    assert [trial.value for trial in bench.trials] == [1.0, 0.0]
    assert bench.attribute("source") == [f"warm start: earlier, steps={n}" for n in (1, 2)]
    assert [state.status for state in bench.tracking.shown] == ["FINISHED"] * 2
    assert bench.trials[0].user_attrs["mlflow.run_id"] == "run 0"
    again = add_arms(bench.begin(), "earlier")
    assert again.added == ()
    assert again.left["steps=1"] == "a trial has these values already"
    run = bench.run()
    assert len(bench.trials) == 2 + 4, "the budget leaves them out"
    assert len(run.counted()) == 4


@pytest.mark.usefixtures("scored")
def test_arms_that_differ_in_more_than_the_space_are_left(bench: Bench) -> None:
    ablation(bench, "steps=1,2", name="longer", settings=("denoiser.updates=50",))
    found = add_arms(bench.begin(), "longer")
    assert found.added == ()
    assert set(found.left.values()) == {
        "it differs from this sweep's trials in more than the searched values"
    }
    bench.text = f"seeds = 1\n{bench.text}".replace(
        "[space]", "[settings]\ndenoiser.updates = 50\n[space]"
    )
    bench.name = "same"
    assert add_arms(bench.begin(), "longer").added == ("steps=1", "steps=2")


def test_arms_that_are_not_scored_are_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation(bench, "steps=1,2", name="earlier")
    monkeypatch.setattr(warm_start, "trial_value", lambda *_: None)
    found = add_arms(bench.begin(), "earlier")
    assert found.added == ()
    assert set(found.left.values()) == {"it is not scored on seeds 0 to 0, or a baseline is not"}
    with pytest.raises(RequestError, match="earlyer"):
        add_arms(bench.begin(), "earlyer")


@pytest.mark.usefixtures("scored")
def test_arms_that_a_wilcoxon_sweep_takes_over_can_be_compared_with_its_trials(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation(bench, "steps=2", name="earlier")
    monkeypatch.setattr(warm_start, "run_value", lambda p, r, s, m: 0.0, raising=False)
    pruner = '[pruner]\nname = "wilcoxon"\np_threshold = 0.3\n[budget]\ntrials = 3\n'
    bench.text = f"seeds = 3\n{text(end=pruner)}"
    assert add_arms(bench.begin(), "earlier").added == ("steps=2",)
    bench.run()
    assert bench.trials[0].intermediate_values.keys() == {0, 1, 2}
    assert "PRUNED" in bench.states()


# --- the front ----------------------------------------------------------------------------------

AIMS: st.SearchStrategy[list[Aim]] = st.lists(
    st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=3
)


@given(st.data(), AIMS)
def test_the_front_is_what_no_other_matches_or_beats(
    data: st.DataObject, directions: list[Aim]
) -> None:
    coordinate = st.integers(0, 3).map(float)
    values = st.tuples(*(coordinate for _ in directions))
    found = data.draw(st.lists(values, max_size=12))
    order = data.draw(st.permutations(range(len(found))))
    points = [Point(number, value) for number, value in zip(order, found, strict=True)]
    signs = np.array([1 if aim == "minimize" else -1 for aim in directions])

    def beats(one: Point, other: Point) -> bool:
        a, b = np.array(one.values) * signs, np.array(other.values) * signs
        return bool((a <= b).all()) and (one.values != other.values or one.number < other.number)

    expected = {p.number for p in points if not any(beats(q, p) for q in points)}
    front = pareto_front(points, directions)
    assert {point.number for point in front} == expected
    assert len(front) == len(expected)
    firsts = [point.values[0] * signs[0] for point in front]
    assert firsts == sorted(firsts)


@given(st.integers(0, 30), st.integers(1, 12))
def test_points_spread_over_a_front_keep_its_ends(count: int, most: int) -> None:
    front = [Point(number, (float(number),)) for number in range(count)]
    found = [point.number for point in spread(front, most)]
    assert len(found) == min(count, most)
    assert found == sorted(set(found))
    if count and most > 1:
        assert (found[0], found[-1]) == (0, count - 1)
    gaps = np.diff(found)
    if len(gaps):
        assert gaps.max() - gaps.min() <= 1


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=8)


@given(SPANS)
def test_time_that_two_commands_work_at_once_counts_once(found: list[tuple[int, int]]) -> None:
    spans = [(float(began), float(began + length)) for began, length in found]
    seconds = {second for began, length in found for second in range(began, began + length)}
    assert union_seconds(spans) == len(seconds)


# --- importance ---------------------------------------------------------------------------------


def study_of(num_trials: int, value: Callable[[float, float], float]) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    space = optuna.distributions.FloatDistribution(0, 1)
    generator = np.random.Generator(np.random.PCG64(0))
    for x, z in generator.random((num_trials, 2)):
        study.add_trial(
            create_trial(
                params={"z": z, "x": x}, distributions={"z": space, "x": space}, value=value(x, z)
            )
        )
    return study


def test_the_parameter_that_matters_comes_first() -> None:
    rows, why = importance_rows(study_of(60, lambda x, z: (x - 0.3) ** 2 + 0.01 * z), 0, 20)
    assert why is None
    assert [row["name"] for row in rows] == ["x", "z"]
    assert sum(row["value"] for row in rows) == pytest.approx(1)
    assert rows[0]["value"] > 0.7
    for row in rows:
        assert 0 <= row["lo"] <= row["hi"] <= 1
    assert rows[0]["lo"] > rows[1]["hi"]


def test_the_importance_of_too_few_trials_or_a_constant_is_not_told() -> None:
    few = study_of(MIN_TRIALS - 1, lambda x, z: x)
    assert importance_rows(few, 0) == ([], "9 complete trials are too few; at least 10 are needed")
    same = study_of(30, lambda x, z: 2.0)
    assert importance_rows(same, 0) == ([], "the objective is the same in all trials")


def test_importance_of_a_sweep_with_conditions_and_failures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text = text(
        """
[space]
steps = { int = [1, 9] }
sampler.quantizer = { choices = ["floor", "round", "none"] }
quantize_at = { choices = ["call", "end"], when = { "sampler.quantizer" = ["floor", "round"] } }
""",
        '[sampler]\nname = "random"\n[budget]\ntrials = 40\n',
    )
    pretend_values(monkeypatch, lambda c, _: None if c.sampler.steps == 9 else c.sampler.steps)
    bench.run()
    rows, why = importance_rows(bench.study, 0, resamples=5)
    assert why is None
    assert rows[0]["name"] == "steps"
    assert "FAIL" in bench.states()


def test_one_bad_trial_among_the_rest_says_nothing_alarming(bench: Bench) -> None:
    study = study_of(20, lambda x, z: float(x > 0.9))
    rows, why = importance_rows(study, 0, resamples=10)
    assert why is None
    assert sum(row["value"] for row in rows) == pytest.approx(1)


# --- confirmation -------------------------------------------------------------------------------


def test_a_confirmation_runs_fresh_seeds_and_starts(bench: Bench) -> None:
    bench.text = f"seeds = 2\n{text(end='[budget]' + chr(10) + 'trials = 4' + chr(10))}"
    bench.text += "[confirm]\nseeds = 4\n"
    texts = {3: {"steps": "2", "churn": "0.5"}, 1: {"steps": "4", "churn": "1.0"}}
    request = confirm_request(bench.sweep, texts)
    plan = make_plan(request)
    assert [arm.name for arm in own_arms(plan)] == ["baseline", "trial 3", "trial 1"]
    first = fresh_start(bench.sweep)
    assert first == 2, "the sweep used starts 0 and 1 of the preset"
    for arm in own_arms(plan):
        assert [run.config.seed for run in arm.runs] == [2, 3, 4, 5]
        assert {run.config.references.first_start for run in arm.runs} == {first}
    configs = [arm.runs[0].config.sampler for arm in own_arms(plan)]
    assert [(c.steps, c.churn) for c in configs] == [(3, 0.0), (2, 0.5), (4, 1.0)]


def test_the_command_of_a_confirmation_plans_the_same(bench: Bench) -> None:
    request = confirm_request(bench.sweep, {1: {"steps": "4", "churn": "1.0"}})
    words = shlex.split(command_of(request, bench.home, None))
    assert words[0] == "diamond"
    found = CliRunner().invoke(app, [*words[1:], "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "mine-confirm" in found.stdout
    assert "trial 1" in found.stdout


VALUES: dict[str, tuple[list[float], str]] = {
    "better": ([1.0, 1.1, 0.9], "confirmed"),
    "worse": ([3.0, 3.1, 2.9], "refuted"),
    "same": ([2.0, 1.5, 2.5], "undecided"),
}


@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize("aim", ["minimize", "maximize"])
def test_what_a_confirmation_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, case: str, aim: Aim
) -> None:
    own, verdict = VALUES[case]
    if aim == "maximize":
        verdict = {"confirmed": "refuted", "refuted": "confirmed"}.get(verdict, verdict)
    bench.text = text(aim=f'{AIM}direction = "{aim}"\n')
    base = [2.1, 1.9, 2.0]

    def value(plan: Plan, run: Any, store: Store, measure: object) -> float:
        values = own if run.config.sampler.steps == 4 else base
        return values[int(run.config.seed) - 1]

    monkeypatch.setattr(confirm, "run_value", value)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 0.5)
    chosen = {7: {"steps": "4", "churn": "0.0"}}
    request = confirm_request(bench.sweep, chosen)
    found = confirmation(bench.sweep, request, bench.store, chosen)
    assert found is not None
    assert (found["num_seeds"], found["first_seed"], found["starts"]) == (3, 1, "2 to 3")
    (row,) = found["rows"]
    assert (row["arm"], row["objective"], row["searched_value"]) == ("trial 7", 0, 0.5)
    assert row["baseline_value"] == pytest.approx(2.0)
    assert row["difference"] == pytest.approx(np.mean(own) - 2.0)
    assert row["lo"] <= row["difference"] <= row["hi"]
    assert row["verdict"] == verdict


def test_a_confirmation_with_one_seed_has_no_interval_and_without_scores_no_result(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.text += "[confirm]\nseeds = 1\n"
    chosen = {7: {"steps": "4", "churn": "0.0"}}
    request = confirm_request(bench.sweep, chosen)
    assert confirmation(bench.sweep, request, bench.store, chosen) is None
    monkeypatch.setattr(confirm, "run_value", lambda *_: 1.0)
    found = confirmation(bench.sweep, request, bench.store, chosen)
    assert found is not None
    assert found["rows"][0]["verdict"] == "no interval"
    assert found["rows"][0]["lo"] is None


def test_of_many_differences_a_small_one_is_not_confirmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # p of the t test is .02 (t = -7 with 2 degrees of freedom): enough alone, not among five.
    def value(plan: Plan, run: Any, store: Store, measure: object) -> float:
        if run.config.sampler.churn == 0:
            return 0.0
        return [-0.9, -1.0, -1.3][int(run.config.seed) - 1]

    monkeypatch.setattr(confirm, "run_value", value)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 0.0)
    for count, verdict in ((1, "confirmed"), (5, "undecided")):
        chosen = {n: {"steps": "4", "churn": f"{n}.5"} for n in range(count)}
        found = confirmation(bench.sweep, confirm_request(bench.sweep, chosen), bench.store, chosen)
        assert found is not None
        assert {row["verdict"] for row in found["rows"]} == {verdict}
        assert all(row["p_corrected"] == pytest.approx(count * row["p"]) for row in found["rows"])


def test_constraints_are_looked_at_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text += '[[constraints]]\nmetric = "psnr"\nat_least = 30\n'
    monkeypatch.setattr(confirm, "run_value", lambda *_: 1.0)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 28.5)
    chosen = {7: {"steps": "4", "churn": "0.0"}}
    found = confirmation(bench.sweep, confirm_request(bench.sweep, chosen), bench.store, chosen)
    assert found is not None
    assert found["broken"] == ["trial 7: psnr is 28.5, below 30"]


@pytest.mark.parametrize(
    ("settings", "space", "texts"),
    [
        (
            'grid = "karras"\ninit_noise = "unit"',
            'formulation = { choices = ["edm", "ddpm"] }',
            {"formulation": "ddpm"},
        ),
        ('quantizer = "round"', 'sampler.quantizer = { choices = ["floor", "none"] }', None),
    ],
)
def test_what_is_confirmed_is_the_trial_itself(
    bench: Bench, settings: str, space: str, texts: dict[str, str] | None
) -> None:
    bench.text = text(f"[settings]\n{settings}\n[space]\n{space}\n")
    chosen = texts or {"sampler.quantizer": "none"}
    trial = own_arms(trial_plan(bench.sweep, "trial 1", chosen))[0].runs[0].config
    plan = make_plan(confirm_request(bench.sweep, {1: chosen}))
    confirmed = next(arm for arm in own_arms(plan) if arm.name == "trial 1").runs[0].config
    references = confirmed.references.model_copy(update={"first_start": 0})
    assert confirmed.model_copy(update={"seed": 0, "references": references}) == trial
