"""Constraints of a sweep, and trials that a pruner stops, in process."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from diamond.config.run import RunConfig
from diamond.families.diamond.config import diamond_of
from diamond.plan.stage_keys import StageSpec
from tests.sweeps import GRID, Bench, pretend_values, pretended, text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return pretended(tmp_path, monkeypatch)


def test_constraints_are_told_to_optuna(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.text = GRID.replace(
        "[sampler]",
        '[[constraints]]\nmetric = "denoiser_calls_per_frame"\nat_least = 3\n'
        '[[constraints]]\nmetric = "psnr"\nat_most = 30\n\n[sampler]',
    )
    values = {"l1": 1.0, "denoiser_calls_per_frame": 1.0, "psnr": 8.0}
    pretend_values(
        monkeypatch, lambda config, name: values[name] * diamond_of(config).sampler.steps
    )
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
    return (
        diamond_of(config).denoiser.optimizer.lr * 1000
        + 1 / diamond_of(config).denoiser.num_trained_updates
    )


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
    pretend_values(
        monkeypatch, lambda c, _: diamond_of(c).denoiser.optimizer.lr * 1000 + noise[c.seed]
    )
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
