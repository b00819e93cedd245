"""What a trial is worth, against sums written out, on scores that are given."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from diamond.engine.store import Store
from diamond.families.baselines import COPY_LAST
from diamond.plan.plan import Plan, Run
from diamond.sweep import trial_values as scoring
from diamond.sweep.declaration import SweepOptions, load_sweep
from diamond.sweep.objectives import QUANTITY_OF, Measure
from diamond.sweep.trial_values import run_value, trial_interval, trial_value
from diamond.sweep.trials import instances, trial_plan

Scores = dict[str, NDArray[np.float64]]
STORE = Store(Path("nowhere"))
STARTS, HORIZON = 12, 10


def plan_of(tmp_path: Path, games: tuple[str, ...] = ("Boxing",), seeds: int = 1) -> Plan:
    path = tmp_path / "search.toml"
    path.write_text(
        'question = "?"\npreset = "smoke"\nuntil = "fidelity"\n[space]\nsteps = { int = [1, 4] }\n'
        '[[objectives]]\nmetric = "l1"\n[budget]\ntrials = 1\n'
    )
    sweep = load_sweep(str(path), SweepOptions(games=games, seeds=seeds))
    return trial_plan(sweep, "trial 0", {"steps": "2"})


def scored(run: Run, draw: int = 0) -> Scores:
    """Scores that hang on game, seed, family and `draw` alone; some are not defined."""
    key = [len(run.config.game), run.config.seed, len(run.config.world.family), draw]
    generator = np.random.Generator(np.random.PCG64(key))
    names = ("l1", "l1_fg", "mse_fg", "core_ratio", "core_ratio_real")
    found = {name: generator.uniform(0.1, 0.9, size=(STARTS, HORIZON)) for name in names}
    for values in found.values():
        values[generator.random(values.shape) < 0.1] = np.nan
    return found


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Run], Scores | None]], None]:
    """Say which scores a run has."""

    def give(of: Callable[[Run], Scores | None]) -> None:
        monkeypatch.setattr(scoring, "read_scores", lambda run, store: of(run))

    return give


def measure(name: str, at: int | None = None) -> Measure:
    return Measure(QUANTITY_OF[name], at)


def copy_of(plan: Plan) -> Run:
    return next(arm.runs[0] for arm in plan.arms if arm.name == COPY_LAST.title)


@pytest.mark.parametrize("at", [None, 3])
def test_a_metric_is_its_mean_over_time_then_starts(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path, at: int | None
) -> None:
    given(scored)
    plan = plan_of(tmp_path)
    run = instances(plan)[0]
    values = scored(run)["l1"]
    rows = [row[~np.isnan(row)].mean() for row in values] if at is None else values[:, at - 1]
    assert run_value(plan, run, STORE, measure("l1", at)) == pytest.approx(np.nanmean(rows))


def test_where_the_real_frames_are_best_the_distance_to_them_counts(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path
) -> None:
    given(scored)
    plan = plan_of(tmp_path)
    found = scored(instances(plan)[0])
    means = [
        np.mean([np.nanmean(row) for row in found[name]])
        for name in ("core_ratio", "core_ratio_real")
    ]
    value = run_value(plan, instances(plan)[0], STORE, measure("core_ratio"))
    assert value == pytest.approx(abs(means[0] - means[1]))


@pytest.mark.parametrize("at", [None, 4])
@pytest.mark.parametrize("name", ["l1_fg", "mse_fg"])
def test_skill_pools_the_starts_of_a_time_step(
    given: Callable[[Callable[[Run], Scores | None]], None],
    tmp_path: Path,
    name: str,
    at: int | None,
) -> None:
    given(scored)
    plan = plan_of(tmp_path)
    own, copy = scored(instances(plan)[0])[name], scored(copy_of(plan))[name]
    skills = []
    for step in range(HORIZON):
        pairs = [
            (a, b)
            for a, b in zip(own[:, step], copy[:, step], strict=True)
            if not np.isnan(a) and not np.isnan(b)
        ]
        skills.append(1 - sum(a for a, _ in pairs) / sum(b for _, b in pairs))
    expected = np.mean(skills) if at is None else skills[at - 1]
    value = run_value(plan, instances(plan)[0], STORE, measure(f"skill_copy_{name}", at))
    assert value == pytest.approx(expected)


def test_what_does_as_well_as_the_copy_has_no_skill_and_a_perfect_model_has_one(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path)
    copy = scored(copy_of(plan))
    given(lambda run: copy)
    assert run_value(plan, instances(plan)[0], STORE, measure("skill_copy_l1_fg")) == 0
    perfect = copy | {"l1_fg": np.zeros((STARTS, HORIZON))}
    given(lambda run: perfect if run.config.world.family == "diamond" else copy)
    assert run_value(plan, instances(plan)[0], STORE, measure("skill_copy_l1_fg")) == 1


def test_a_trial_gives_every_game_the_same_weight_and_none_may_be_missing(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path
) -> None:
    given(scored)
    plan = plan_of(tmp_path, ("Boxing", "Breakout"), 2)
    runs, l1 = instances(plan), measure("l1")
    assert [(run.config.seed, run.config.game) for run in runs] == [
        (0, "Boxing"),
        (0, "Breakout"),
        (1, "Boxing"),
        (1, "Breakout"),
    ]
    each = {
        game: [run_value(plan, run, STORE, l1) for run in runs if run.config.game == game]
        for game in ("Boxing", "Breakout")
    }
    means = [np.mean(np.array(values, dtype=float)) for values in each.values()]
    assert trial_value(plan, runs, STORE, l1) == pytest.approx(np.mean(means))
    three = [np.mean(np.array(each["Boxing"], dtype=float)), each["Breakout"][0]]
    assert trial_value(plan, runs[:3], STORE, l1) == pytest.approx(np.mean(np.array(three)))
    given(lambda run: None if run.config.seed == 1 else scored(run))
    assert trial_value(plan, runs, STORE, l1) is None


def test_intervals_of_one_model_cover_as_they_say(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path
) -> None:
    # Errors of both are drawn with mean .5, so that the true skill is 0; 200 sweeps of one trial.
    # With 12 starts a percentile bootstrap covers less than its 95 %: 80 % is the least here.
    plan = plan_of(tmp_path)
    skill, hits = measure("skill_copy_l1_fg"), 0
    for draw in range(200):
        given(partial(scored, draw=draw))
        found = trial_interval(plan, STORE, skill)
        assert found is not None
        value = run_value(plan, instances(plan)[0], STORE, skill)
        assert value == pytest.approx(found.mean)
        assert found.lo < found.hi
        hits += found.lo <= 0 <= found.hi
    assert 0.8 <= hits / 200 <= 1


def test_over_seeds_the_interval_is_that_of_their_means(
    given: Callable[[Callable[[Run], Scores | None]], None], tmp_path: Path
) -> None:
    given(scored)
    plan = plan_of(tmp_path, seeds=3)
    values = [run_value(plan, run, STORE, measure("l1")) for run in instances(plan)]
    known = np.array(values, dtype=float)
    found = trial_interval(plan, STORE, measure("l1"))
    assert found is not None
    half = 4.302652729911275 * known.std(ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom
    assert (found.lo, found.hi) == pytest.approx((known.mean() - half, known.mean() + half))
    assert found.n == 3
