"""`diamond bench`: what it refuses, how rounds alternate, what it prints; no time is asserted."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from diamond.bench import measure as measuring
from diamond.bench import packing
from diamond.bench import scale as scaling
from diamond.bench.cases import DEFAULT_PARTS, PARTS, Case, Part, cases_of
from diamond.bench.checkout import NEEDED
from diamond.bench.client import Side, open_released
from diamond.bench.document import bench_document
from diamond.bench.equality import compare, limit_of
from diamond.bench.measure import Findings, Measured, measure_case
from diamond.bench.ours import Ours
from diamond.bench.packing import GPU_PROCESSES, Packed, process_counts
from diamond.bench.projection import counts_of, project
from diamond.bench.request import make_request, misfits
from diamond.bench.rounds import (
    FEW_ROUNDS,
    FEWEST_ROUNDS,
    MANY_ROUNDS,
    MOST_REPEATS,
    ROUND_SECONDS,
    Timing,
    ratio,
    repeats_for,
    rounds_for,
    time_in_turn,
)
from diamond.bench.scale import Cost, points_of
from diamond.bench.table import bench_tables
from diamond.cli.app import app
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.config.run import RunConfig
from diamond.errors import DiamondError, ExitCode
from diamond.families.diamond.config import diamond_of
from diamond.training.state import UpdateRecord
from tests.commands import ROOT, environment

REFERENCE = os.environ.get("DIAMOND_REFERENCE")
needs_reference = pytest.mark.skipif(
    REFERENCE is None,
    reason="needs a checkout of the released code: its path in DIAMOND_REFERENCE",
)
AS_RELEASED = "denoiser.patch=1 denoiser.middle_attention=true sampler.quantizer=floor"
FACTS = {"torch": "2", "device": "cpu", "num_parameters": {"denoiser": 3}}


class FakeSide:
    """A side that takes a known time and says which run came when."""

    def __init__(self, name: str, log: list[str], seconds: float = 0.3) -> None:
        self.name = name
        self.facts: Mapping[str, Any] = FACTS
        self._log = log
        self._seconds = seconds

    def prepare(self, case: Case) -> None:
        self._log.append(f"{self.name} prepares")

    def run(self, repeats: int) -> float:
        self._log.append(self.name)
        return self._seconds * repeats

    def count(self) -> int:
        return 6 * 10**9

    def outputs(self, part: Part, path: Path) -> None:
        save_file({"loss": np.full(1, 1.0 if self.name == "ours" else 1.1)}, path)

    def peaks(self) -> Mapping[str, Any]:
        rates = {"float32": 40.0, "bfloat16": 2.0}
        return {"matmul": rates, "conv": rates}

    def peak_memory(self) -> int:
        return 2**20

    def write_weights(self, path: Path) -> None:
        save_file({}, path)

    def close(self) -> None:
        self._log.append(f"{self.name} closes")


@pytest.fixture
def fake_sides(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both sides are fakes, the released one three times as slow."""
    log: list[str] = []
    monkeypatch.setattr(measuring, "open_ours", lambda *_: FakeSide("ours", log))
    monkeypatch.setattr(measuring, "open_released", lambda *_: FakeSide("released", log, 0.9))
    timing = {"diamond --help": Timing((1.0, 2.0))}
    monkeypatch.setattr(measuring, "measure_startup", lambda *_: timing)
    point = points_of(make_preset("smoke", "Pong"))[0]
    monkeypatch.setattr(measuring, "measure_scale", lambda *_: [Cost(point, Timing((1.0,)), 2**20)])
    packed = [Packed(Case("denoiser", 4), count, 1, Timing((1.0,)), 2**20) for count in (1, 2)]
    monkeypatch.setattr(measuring, "measure_packing", lambda *_: packed)
    return log


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that has the names of the released code and nothing else."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def run(*arguments: str) -> int:
    """The command inside this process; its exit code."""
    code = app(["bench", *arguments], standalone_mode=False)
    return int(code or 0)


def refusal(*arguments: str) -> str:
    with pytest.raises(DiamondError) as caught:
        run(*arguments)
    assert caught.value.exit_code == ExitCode.BAD_REQUEST
    return re.sub(r"\s+", " ", str(caught.value))


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown part": (
        ("denoisr",),
        ("unknown part 'denoisr'", "Did you mean 'denoiser'?", *PARTS, "diamond bench denoiser"),
    ),
    "unknown preset": (("--preset", "papr"), ("unknown preset 'papr'", "'paper'", "smoke, tiny")),
    "unknown game": (("--game", "Brekout"), ("unknown game 'Brekout'", "'Breakout'")),
    "unknown setting": (("--set", "stpes=1"), ("unknown axis 'stpes'", "'steps'")),
    "two values": (("--set", "steps=1,3"), ("--set", "'steps=1,3' has 2 values")),
    "value out of range": (("--set", "steps=0"), ("steps=0", "greater than or equal to 1")),
    "no folder": (("--reference", "/no/such"), ("there is no such folder", "'/no/such'")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_before_anything_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "measure", lambda *_: pytest.fail("something ran"))
    arguments, expected = REFUSED[name]
    text = refusal(*arguments)
    for part in expected:
        assert part in text


def test_a_folder_without_the_released_code_is_refused(checkout: Path) -> None:
    (checkout / NEEDED[2]).unlink()
    text = refusal("--reference", str(checkout), "--preset", "paper")
    assert "is no checkout of the released code" in text and NEEDED[2] in text


def test_networks_that_the_released_code_lacks_are_refused_with_what_it_has(
    checkout: Path,
) -> None:
    text = refusal("--reference", str(checkout), "--preset", "smoke")
    assert f"add --set '{AS_RELEASED}'" in text
    request = make_request((), "smoke", "Breakout", (AS_RELEASED,), checkout)
    assert misfits(request.config) == []
    assert make_request((), "paper", "Breakout", (), checkout).reference == checkout


def test_parts_come_in_one_order_and_once() -> None:
    assert make_request((), "smoke", "Pong", (), None).parts == DEFAULT_PARTS
    some = make_request(("scale", "denoiser", "peak", "denoiser"), "smoke", "Pong", (), None)
    assert some.parts == ("peak", "denoiser", "scale")


def test_medians_spreads_and_ratios_are_those_of_the_given_times() -> None:
    ours, released = Timing((1.0, 9.0, 2.0)), Timing((6.0, 4.0))
    assert (ours.median, ours.least, ours.most) == (2.0, 1.0, 9.0)
    assert ratio(released, ours) == 2.5


def test_short_runs_are_repeated_and_long_rounds_are_few() -> None:
    assert [repeats_for(s) for s in (0.0, ROUND_SECONDS / 10.5, 1.0)] == [MOST_REPEATS, 11, 1]
    assert [rounds_for(s) for s in (1.9, 2.0, 19.0, 20.0)] == [
        MANY_ROUNDS,
        FEW_ROUNDS,
        FEW_ROUNDS,
        FEWEST_ROUNDS,
    ]


def test_sides_take_turns_after_both_are_warm() -> None:
    log: list[str] = []
    measured = measure_case(
        Case("denoiser", 4), [FakeSide("ours", log), FakeSide("released", log, 0.9)]
    )
    assert log[:6] == [
        "ours prepares", "released prepares", "ours", "ours", "released", "released",
    ]  # fmt: skip
    assert log[6:] == ["ours", "released"] * MANY_ROUNDS
    assert measured.ratio == pytest.approx(3.0)


def test_a_long_run_warms_up_once_and_one_side_alone_has_no_ratio() -> None:
    log: list[str] = []
    measured = measure_case(Case("scoring", 4), [FakeSide("ours", log, 30.0)])
    assert log == ["ours prepares", *["ours"] * (1 + FEWEST_ROUNDS)]
    assert measured.ratio is None and measured.flop is None


def test_seconds_are_those_of_one_run() -> None:
    calls: list[int] = []

    def side(repeats: int) -> float:
        calls.append(repeats)
        return 0.01 * repeats

    (timing,) = time_in_turn([side])
    assert calls == [1, 1, *[25] * MANY_ROUNDS]
    assert timing.median == pytest.approx(0.01)


@pytest.mark.parametrize(("value", "passed"), [(1.0 + 0.9e-5, True), (1.0 + 2e-5, False)])
def test_a_difference_is_held_against_the_largest_value(value: float, passed: bool) -> None:
    other = {"frame": np.array([0.0, -10.0])}
    (check,) = compare("imagination", {"frame": np.array([0.0, -10.0 * value])}, other, 1e-5)
    assert check.passed is passed and check.limit == pytest.approx(1e-4)


def test_what_is_not_a_number_is_never_the_same() -> None:
    nan = {"loss": np.array([np.nan])}
    (check,) = compare("denoiser", nan, nan, 1e-5)
    assert not check.passed and check.data()["difference"] is None


def keys_of(value: Any, name: str = "") -> set[str]:
    """Dotted names of all leaves; the resolved config is one."""
    if name == "config.resolved":
        return {name}
    if isinstance(value, dict):
        below = (keys_of(v, f"{name}.{k}".lstrip(".")) for k, v in value.items())
        return set().union(*below)
    if isinstance(value, list):
        return set().union(
            {f"{name}[]"} if not value else set(), *(keys_of(v, f"{name}[]") for v in value)
        )
    return {name}


def test_the_documentation_names_the_keys_of_the_document(
    fake_sides: list[str], checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--preset", "smoke", "--set", AS_RELEASED, "--set", "steps=2", *PARTS)
    assert run(*arguments, "--reference", str(checkout), "--json") == ExitCode.RUN_FAILED
    document = json.loads(capsys.readouterr().out)
    page = (ROOT / "docs/reference/bench.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", page.split("## The document")[1], re.M)
    documented = {key for row in rows for key in re.findall(r"`([^`]+)`", row)}
    null_elsewhere = {key for key in documented if key.startswith("cases[].released.")}
    assert keys_of(document) - {"cases[].released"} == documented
    assert null_elsewhere <= keys_of(document)


def test_a_check_that_fails_is_said_after_the_tables_and_is_exit_code_1(
    fake_sides: list[str], checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("denoiser", "--preset", "smoke", "--set", AS_RELEASED)
    assert run(*arguments, "--reference", str(checkout)) == ExitCode.RUN_FAILED
    printed = capsys.readouterr()
    assert "DIFFERS" in printed.out and "3.00" in printed.out and "50 %" in printed.out
    assert "denoiser of both sides differs: loss by 0.1, allowed is 1.1e-05" in printed.err
    assert fake_sides[-2:] == ["released closes", "ours closes"]


def test_tables_show_only_what_was_measured() -> None:
    request = make_request(("startup",), "smoke", "Pong", (), None)
    document = bench_document(request, Findings())
    assert bench_tables(document) == []
    assert document["peak"] is None and document["passed"] is True


def test_points_of_scale_leave_out_what_a_config_does_not_allow() -> None:
    base = make_preset("smoke", "Pong")
    points = points_of(override(base, {"denoiser.cond_channels": 8}))
    found = {(p.axis, p.value) for p in points}
    assert ("history", 8) in found and ("history", 16) not in found
    assert {p.value for p in points if p.axis == "batch"} == set(scaling.SCALED_BATCHES)
    for point in points:
        config = point.config
        values = {
            "batch": point.case.batch,
            "horizon": config.policy.horizon_steps,
            "history": diamond_of(config).denoiser.history,
            "resolution": config.view.width,
        }
        assert values[point.axis] == point.value


def test_an_agent_of_the_paper_takes_what_its_updates_take() -> None:
    """10,000 updates (policy: 5000) in the first of 1000 epochs, 400 in each of the others.

    Source: arXiv:2405.12399, appendix E, and the released configuration.
    """
    config = make_preset("paper", "Breakout")
    counts = counts_of(config)
    assert counts == {
        "environment": 100_000, "denoiser": 409_600, "reward_end": 409_600, "policy": 404_600,
    }  # fmt: skip
    ours, released = Timing((1.0, 3.0, 2.0)), Timing((4.0,))
    cases = [Measured(Case(part, 1), ours, released, None) for part in counts]
    projection = project(config, cases)
    assert projection is not None
    for part, count in counts.items():
        assert projection.ours[part] == pytest.approx(count * 2 / 3600)
        assert projection.released[part] == pytest.approx(count * 4 / 3600)
    alone = project(config, [Measured(found.case, ours, None, None) for found in cases])
    assert alone is not None and alone.released == {}
    assert project(config, cases[1:]) is None


def test_processes_share_the_threads_and_double() -> None:
    assert process_counts(6, 0) == (1, 2, 4)
    assert process_counts(2, 1) == GPU_PROCESSES


def test_processes_run_at_once_and_the_slowest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fake waits for the others: one after the other they would wait for ever."""
    opened: list[tuple[Any, ...]] = []
    gates = {count: Barrier(count) for count in (1, 2)}

    class Together(FakeSide):
        def run(self, repeats: int) -> float:
            gate.wait(timeout=60)
            return super().run(repeats)

    def open_side(*arguments: Any) -> Together:
        opened.append(arguments)
        return Together("ours", [], 30.0 * len(opened))

    request = make_request((), "smoke", "Pong", (), None)
    request = replace(request, threads=2)
    monkeypatch.setattr(packing, "open_ours", open_side)
    for count in (1, 2):
        opened.clear()
        gate = gates[count]
        packed = packing._measure(request, Case("denoiser", 4), count)
        assert [arguments[1] for arguments in opened] == [2 // count] * count
        assert packed.timing.median == 30.0 * count
        assert packed.rate == pytest.approx(count / (30.0 * count))
        assert packed.peak_bytes == count * 2**20


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("part", ["denoiser", "reward_end", "policy"])
def test_updates_run_on_a_gpu(part: Part, compiled: bool) -> None:
    """Three in a row: compiled networks are compiled, recorded and replayed."""
    config = make_preset("smoke", "Pong")
    (case,) = cases_of(part, config)
    update = Ours(config, torch.device("cuda"), compiled).prepare(case)
    for _ in range(3):
        record = update()
        assert isinstance(record, UpdateRecord) and all(map(math.isfinite, record.values.values()))


def test_smoke_networks_are_measured_and_the_document_alone_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diamond.bench.cases.BATCHES", (1,))
    monkeypatch.setattr("diamond.bench.cases.STEPS", (1, 3))
    assert run("denoiser", "imagination", "--preset", "smoke", "--json") == ExitCode.DONE
    document = json.loads(capfd.readouterr().out)
    assert [case["name"] for case in document["cases"]] == [
        "denoiser",
        *(f"imagination n={n} batch=1" for n in (1, 3)),
    ]
    for case in document["cases"]:
        assert 0 < case["ours"]["min"] <= case["ours"]["median"] <= case["ours"]["max"]
        assert case["released"] is None and case["gflop"] > 0 and case["share_of_peak"] > 0
    one, three = (
        next(case["gflop"] for case in document["cases"] if case["steps"] == n) for n in (1, 3)
    )
    reward_end = (3 * one - three) / 2
    assert 0 < reward_end < 0.9 * one, (
        "three denoising steps are three times the denoiser, and one reward_end"
    )
    assert document["checks"] == [] and document["passed"] is True


def test_help_and_what_is_refused_load_no_array_library() -> None:
    program = (
        "import sys\n"
        "from diamond.cli import app\n"
        "from diamond.bench.request import make_request\n"
        "make_request(('denoiser',), 'smoke', 'Pong', ('steps=2',), None)\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert done.stdout == "[]\n"


def _open_perturbed(config: RunConfig, threads: int, checkout: Path, weights: Path) -> Side:
    tensors = load_file(weights)
    tensors["denoiser.inner_model.conv_in.bias"][0] += 1e-2
    save_file(tensors, weights)
    return open_released(config, threads, checkout, weights)


@pytest.mark.parametrize(
    ("part", "low", "limit"),
    [
        ("policy", "policy", 2e-2),
        ("policy", "reward_end", 2e-2),
        ("imagination", "denoiser", 2e-2),
        ("imagination", "policy", 1e-5),
        ("reward_end", "denoiser", 1e-5),
    ],
)
def test_the_limit_of_a_part_is_that_of_its_lowest_precision(
    part: Part, low: str, limit: float
) -> None:
    config = override(make_preset("smoke", "Pong"), {f"{low}.precision": "bfloat16"})
    assert limit_of(part, config) == limit


@needs_reference
@pytest.mark.parametrize("perturbed", [False, True])
def test_the_released_code_computes_the_same_unless_a_weight_differs(
    perturbed: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("diamond.bench.cases.BATCHES", (1,))
    monkeypatch.setattr("diamond.bench.cases.STEPS", (1,))
    if perturbed:
        monkeypatch.setattr(measuring, "open_released", _open_perturbed)
    parts = ("denoiser",) if perturbed else ("environment", "denoiser", "reward_end", "policy")
    arguments = ("--preset", "smoke", "--set", AS_RELEASED, "--reference", str(REFERENCE))
    code = run(*parts, *arguments, "--json")
    document = json.loads(capfd.readouterr().out)
    assert code == (ExitCode.RUN_FAILED if perturbed else ExitCode.DONE)
    assert document["passed"] is not perturbed
    assert {check["part"] for check in document["checks"]} == set(parts) - {"environment"}
    assert all(case["ratio"] > 0 for case in document["cases"])
