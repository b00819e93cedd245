"""`python -m benchmarks`: turns, differences, what it refuses; no time is asserted."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.benchmark import Measurement
from torch.utils.benchmark.utils.common import TaskSpec

from benchmarks import __main__ as command
from benchmarks import sides
from benchmarks.__main__ import case_line, main, read_words
from benchmarks.cases import PARTS, Case, Part, as_released, cases_of
from benchmarks.equality import compare, limit_of
from benchmarks.ours import Ours
from benchmarks.sides import Side, time_in_turn
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.peaks import Peaks
from diamond.training.training_loop import UpdateRecord

REFERENCE = os.environ.get("DIAMOND_REFERENCE")
needs_reference = pytest.mark.skipif(
    REFERENCE is None,
    reason="needs a checkout of the released code: its path in DIAMOND_REFERENCE",
)
PEAKS: Peaks = {"product": {"float32": 40.0}, "convolution": {"float32": 40.0}}
SMALL = (
    "--preset",
    "smoke",
    "--rounds",
    "1",
    "--seconds",
    "0.01",
    "--steps",
    "1",
    "--batches",
    "1",
)


def measurement(*seconds: float, number: int = 1) -> Measurement:
    return Measurement(number, [s * number for s in seconds], TaskSpec("run()", "", num_threads=1))


class FakeSide(Side):
    """A side that takes a known time, whose loss is given, and says what came when."""

    def __init__(self, name: str, log: list[str], seconds: float, loss: float = 1.0) -> None:
        self._name, self._log, self._seconds, self._loss = name, log, seconds, loss

    def ask(self, function: Callable[..., Any], *_: Any, **__: Any) -> Any:
        answers: dict[str, Any] = {
            "time_run": measurement(self._seconds),
            "device_name": "cpu",
            "peaks": PEAKS,
            "count_flop": 6 * 10**9,
            "outputs": {"loss": np.full(1, self._loss)},
        }
        self._log.append(f"{self._name} {function.__name__}")
        return answers.get(function.__name__)

    def __exit__(self, *_: object) -> None:
        """There is no process."""


def test_sides_take_turns_after_both_are_prepared() -> None:
    log: list[str] = []
    both = [FakeSide("ours", log, 0.3), FakeSide("released", log, 0.9)]
    ours, released = time_in_turn(both, Case("denoiser", 4), rounds=3, seconds=1.0)
    assert log == [
        "ours prepare", "released prepare", *["ours time_run", "released time_run"] * 3,
    ]  # fmt: skip
    assert ours.median == pytest.approx(0.3) and len(released.times) == 3


def test_a_line_tells_seconds_of_one_run_their_ratio_and_the_share_of_the_peak() -> None:
    config = make_preset("smoke", "Pong")
    found = [measurement(0.1, 0.3, 0.2, number=5), measurement(0.5)]
    line = case_line(Case("denoiser", 4), found, 4 * 10**9, PEAKS, config)
    assert "ours 0.2 s" in line and "released 0.5 s" in line and "ratio 2.50" in line
    assert "20 GFLOP/s, 50% of the peak" in line
    alone = case_line(Case("environment", 1), found[:1], 0, {}, config)
    assert "ratio" not in alone and "GFLOP" not in alone


@pytest.mark.parametrize(("loss", "code", "word"), [(1.0, 0, "same"), (1.1, 1, "DIFFERS")])
def test_a_difference_is_exit_code_1(
    loss: float,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fakes(*_: object) -> Sequence[Side]:
        return [FakeSide("ours", [], 0.3, loss), FakeSide("released", [], 0.9)]

    monkeypatch.setattr(command, "_open", fakes)
    assert main(["denoiser", *SMALL]) == code
    printed = capsys.readouterr().out
    assert f"{word}: denoiser loss" in printed and "ratio 3.00" in printed


@pytest.mark.parametrize(
    ("value", "passed"), [(1.0 + 0.9e-5, True), (1.0 + 2e-5, False), (math.nan, False)]
)
def test_a_difference_is_held_against_the_largest_value(value: float, passed: bool) -> None:
    other = {"frame": np.array([0.0, -10.0])}
    (check,) = compare("imagination", {"frame": np.array([0.0, -10.0 * value])}, other, 1e-5)
    assert check.passed is passed and check.limit == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("part", "low", "limit"),
    [
        ("policy", "reward_end", 2e-2),
        ("imagination", "policy", 1e-5),
        ("reward_end", "denoiser", 1e-5),
    ],
)
def test_the_limit_of_a_part_is_that_of_its_lowest_precision(
    part: Part, low: str, limit: float
) -> None:
    config = override(make_preset("smoke", "Pong"), {f"{low}.precision": "bfloat16"})
    assert limit_of(part, config) == limit


def test_parts_come_in_one_order_and_once() -> None:
    assert read_words(SMALL)[0].parts == list(PARTS)
    assert read_words(["policy", "denoiser", "policy", *SMALL])[0].parts == ["denoiser", "policy"]


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_the_paper_is_measured_as_it_is(preset: str) -> None:
    config = make_preset(preset, "Breakout")
    assert as_released(config) == config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["denoisr"], "Did you mean 'denoiser'?"),
        (["--preset", "papr"], "unknown preset 'papr'"),
        (["--set", "steps=0"], "greater than or equal to 1"),
        (["--rounds", "0"], "at least 1"),
        (["--reference", "/no/such"], "it has no src/agent.py"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("something ran"))
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_smoke_networks_are_measured() -> None:
    """Three denoising steps are three times the denoiser, and one reward/end model."""
    config = make_preset("smoke", "Pong")
    with Side() as side:
        side.ask(sides.open_ours, config, 1)
        flop = []
        for case in cases_of(["imagination"], config, (1, 3), (1,)):
            (found,) = time_in_turn([side], case, rounds=1, seconds=0.01)
            assert found.median > 0
            flop.append(side.ask(sides.count_flop))
        assert 0 < (3 * flop[0] - flop[1]) / 2 < 0.9 * flop[0]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("part", ["denoiser", "reward_end", "policy"])
def test_updates_run_on_a_gpu(part: Part, compiled: bool) -> None:
    """Three in a row: compiled networks are compiled, recorded and replayed."""
    config = make_preset("smoke", "Pong")
    (case,) = cases_of([part], config, (), ())
    update = Ours(config, torch.device("cuda"), compiled).prepare(case)
    for _ in range(3):
        record = update()
        assert isinstance(record, UpdateRecord) and all(map(math.isfinite, record.values.values()))


@needs_reference
@pytest.mark.parametrize("perturbed", [False, True])
def test_the_released_code_computes_the_same_unless_a_weight_differs(
    perturbed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Side.ask

    def perturb(self: Side, function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        found = ask(self, function, *arguments)
        if perturbed and function is sides.released_weights:
            found["denoiser.inner_model.conv_in.bias"][0] += 1e-2
        return found

    monkeypatch.setattr(Side, "ask", perturb)
    parts = ("denoiser",) if perturbed else ("environment", "denoiser", "reward_end", "policy")
    assert main([*parts, *SMALL, "--reference", str(REFERENCE)]) == int(perturbed)
    printed = capsys.readouterr().out
    assert ("DIFFERS" in printed) is perturbed
    assert printed.count("ratio") == len(parts)
