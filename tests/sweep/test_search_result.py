"""What is told of a sweep: its front, the time at work, the importance of parameters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial

from diamond.engine.stage_manifest import Machine as MadeOn
from diamond.engine.stage_manifest import read_manifest, write_manifest
from diamond.families.diamond.config import diamond_of
from diamond.results.arm_model import Machine
from diamond.results.search import Importance
from diamond.sweep import trial_values
from diamond.sweep.front import Point, pareto_front, spread
from diamond.sweep.importance import MIN_TRIALS, importance_of
from diamond.sweep.objectives import Aim
from diamond.sweep.ownership import union_seconds
from diamond.sweep.search_result import machine_notes, sweep_result
from tests.sweeps import Bench, pretend_values, pretended, text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return pretended(tmp_path, monkeypatch)


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
    found = importance_of(study_of(60, lambda x, z: (x - 0.3) ** 2 + 0.01 * z), 0, 20)
    assert found.reason is None
    rows = found.rows
    assert [row.name for row in rows] == ["x", "z"]
    assert sum(row.value for row in rows) == pytest.approx(1)
    assert rows[0].value > 0.7
    bounds = [(row.lo or 0.0, row.hi or 0.0) for row in rows]
    for lo, hi in bounds:
        assert 0 <= lo <= hi <= 1
    assert bounds[0][0] > bounds[1][1]


def test_the_importance_of_too_few_trials_or_a_constant_is_not_told() -> None:
    few = study_of(MIN_TRIALS - 1, lambda x, z: x)
    assert importance_of(few, 0) == Importance(
        objective=0, reason="9 complete trials are too few; at least 10 are needed"
    )
    same = study_of(30, lambda x, z: 2.0)
    assert importance_of(same, 0) == Importance(
        objective=0, reason="the objective is the same in all trials"
    )


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
    pretend_values(
        monkeypatch,
        lambda c, _: None if (steps := diamond_of(c).sampler.steps) == 9 else steps,
    )
    bench.run()
    found = importance_of(bench.study, 0, resamples=5)
    assert found.reason is None
    rows = found.rows
    assert rows[0].name == "steps"
    assert "FAIL" in bench.states()


def test_one_bad_trial_among_the_rest_says_nothing_alarming(bench: Bench) -> None:
    study = study_of(20, lambda x, z: float(x > 0.9))
    found = importance_of(study, 0, resamples=10)
    assert found.reason is None
    rows = found.rows
    assert sum(row.value for row in rows) == pytest.approx(1)


# --- machines -----------------------------------------------------------------------------------


def test_trials_of_several_kinds_of_machines_are_noted() -> None:
    one, twin, other = (
        Machine(device="cpu", name=name, instructions="AVX2", host=host)
        for name, host in (("Old 1", "n1"), ("Old 1", "n2"), ("New 2", "n3"))
    )
    assert machine_notes({one, twin, Machine(device="cpu")}) == []
    (note,) = machine_notes({one, twin, other})
    assert "(New 2 (AVX2), Old 1 (AVX2)): single frames may differ" in note


def test_a_sweep_says_what_its_stages_were_made_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_values, "read_scores", lambda *_: None)
    run = bench.run()
    folder = next(bench.home.glob("stages/rollouts/*"))

    def told() -> tuple[list[str], str | None]:
        found = sweep_result(run, "storage.journal", bench.home, None)
        return [note for note in found.notes if "machines" in note], found.provenance.device

    assert told() == ([], "cpu")
    manifest = read_manifest(folder)
    assert manifest is not None
    other: MadeOn = {"name": "A GPU", "instructions": None, "host": "n2"}
    write_manifest(folder, {**manifest, "device": "cuda", "machine": other})
    (note,), device = told()
    assert "several kinds of machines (A GPU, a processor (AVX2))" in note
    assert device == "cpu, cuda"
