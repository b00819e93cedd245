"""A sweep beside other studies: arms that it takes over, a space that changed."""

from pathlib import Path

import pytest

from diamond.engine.study_history import record_plan
from diamond.errors import RequestError
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.sweep import warm_start
from diamond.sweep.warm_start import add_arms
from tests.sweeps import Bench, distance, pretended, text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return pretended(tmp_path, monkeypatch)


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
    assert len(run.turns.counted()) == 4


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
