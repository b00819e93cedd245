"""The confirmation of a sweep on fresh seeds and starts, in process."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from diamond.cli.app import app
from diamond.engine.store import Store
from diamond.families.diamond.config import diamond_of
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.sweep import confirm
from diamond.sweep.confirm import command_of, confirm_request, confirmation, fresh_start
from diamond.sweep.objectives import Aim
from diamond.sweep.trials import own_arms, trial_plan
from tests.sweeps import AIM, Bench, pretended, text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return pretended(tmp_path, monkeypatch)


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
    configs = [diamond_of(arm.runs[0].config).sampler for arm in own_arms(plan)]
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
        values = own if diamond_of(run.config).sampler.steps == 4 else base
        return values[int(run.config.seed) - 1]

    monkeypatch.setattr(confirm, "run_value", value)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 0.5)
    chosen = {7: {"steps": "4", "churn": "0.0"}}
    request = confirm_request(bench.sweep, chosen)
    found = confirmation(bench.sweep, request, bench.store, chosen)
    assert found is not None
    assert (found.num_seeds, found.first_seed, found.starts) == (3, 1, "2 to 3")
    (row,) = found.rows
    assert (row.arm, row.objective, row.searched_value) == ("trial 7", 0, 0.5)
    assert row.baseline_value == pytest.approx(2.0)
    assert row.difference == pytest.approx(np.mean(own) - 2.0)
    assert row.lo is not None and row.difference is not None and row.hi is not None
    assert row.lo <= row.difference <= row.hi
    assert row.verdict == verdict


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
    assert found.rows[0].verdict == "no interval"
    assert found.rows[0].lo is None


def test_of_many_differences_a_small_one_is_not_confirmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # p of the t test is .02 (t = -7 with 2 degrees of freedom): enough alone, not among five.
    def value(plan: Plan, run: Any, store: Store, measure: object) -> float:
        if diamond_of(run.config).sampler.churn == 0:
            return 0.0
        return [-0.9, -1.0, -1.3][int(run.config.seed) - 1]

    monkeypatch.setattr(confirm, "run_value", value)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 0.0)
    for count, verdict in ((1, "confirmed"), (5, "undecided")):
        chosen = {n: {"steps": "4", "churn": f"{n}.5"} for n in range(count)}
        found = confirmation(bench.sweep, confirm_request(bench.sweep, chosen), bench.store, chosen)
        assert found is not None
        assert {row.verdict for row in found.rows} == {verdict}
        assert all(row.p_corrected == pytest.approx(count * (row.p or 0.0)) for row in found.rows)


def test_constraints_are_looked_at_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text += '[[constraints]]\nmetric = "psnr"\nat_least = 30\n'
    monkeypatch.setattr(confirm, "run_value", lambda *_: 1.0)
    monkeypatch.setattr(confirm, "trial_value", lambda *_: 28.5)
    chosen = {7: {"steps": "4", "churn": "0.0"}}
    found = confirmation(bench.sweep, confirm_request(bench.sweep, chosen), bench.store, chosen)
    assert found is not None
    assert found.broken == ("trial 7: psnr is 28.5, below 30",)


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
