"""Players that look at no frame, what they play beside a policy, and what the difference says."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.engine.output_names import RETURNS_FILE, curve_file
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.findings.policy_returns import run_returns
from diamond.makers import trained_parts as training_stages
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.report.figures.learning_curve import learning_figure, learning_runs
from diamond.results.played_episodes import ConstantAction, Played, PlayedEpisode, PlayedGames
from diamond.results.points import LEAST_DISTINCT, player_points, points
from diamond.stages.policy import num_curve_points
from diamond.training.training_loop import TrainingState
from diamond.training.unseeing import (
    MAX_HOLD_STEPS,
    constant_actor,
    frequency_actor,
    held_actor,
    random_actor,
)
from diamond.workers.worker import run_stage
from tests.result_documents import result, three_arms

GAME = "MinAtar/Breakout-v1"
NUM_EPISODES, NUM_POINTS = 12, 2
SETTINGS = (
    f"evaluation.num_episodes={NUM_EPISODES}",
    "evaluation.sticky_too=.1",
    f"evaluation.curve_points={NUM_POINTS}",
    "evaluation.curve_episodes=3",
)
NO_FRAMES = np.zeros((1, 10, 10, 3), np.uint8)


# --- actors -----------------------------------------------------------------------------------


def test_a_held_action_lasts_1_to_8_steps_and_all_are_alike() -> None:
    rng, memory = np.random.default_rng(0), None
    actor, num_actions, num_steps = held_actor(3), 3, 20_000
    taken, left = [], []
    for _ in range(num_steps):
        actions, memory = actor(NO_FRAMES, rng.random(1), memory)
        assert memory is not None
        taken.append(int(actions[0]))
        left.append(int(memory[1][0]))
    begins = [step for step in range(1, num_steps) if left[step - 1] == 0]
    holds = np.diff(begins)
    assert all(len(set(taken[a:b])) == 1 for a, b in pairwise(begins))
    # About 4,400 holds: a share of 1/8 or 1/3 is hit to within .005 and .007; four times that.
    shares = np.bincount(holds, minlength=MAX_HOLD_STEPS + 1)[1:] / len(holds)
    assert shares == pytest.approx([1 / MAX_HOLD_STEPS] * MAX_HOLD_STEPS, abs=0.02)
    drawn = np.bincount([taken[step] for step in begins]) / len(begins)
    assert drawn == pytest.approx([1 / num_actions] * num_actions, abs=0.028)


def test_a_forgotten_hold_begins_a_new_one() -> None:
    actor = held_actor(4)
    _, memory = actor(NO_FRAMES, np.array([0.99, 0.99]), None)
    assert memory is not None and memory[1].tolist() == [7, 7]
    for tensor in memory:
        tensor[1] = 0  # as at the start of an episode
    actions, _ = actor(NO_FRAMES, np.array([0.3, 0.3]), memory)
    assert actions.tolist() == [3, 1]


def test_blind_play_takes_actions_as_often_as_they_were_counted() -> None:
    uniforms = (np.arange(1000) + 0.5) / 1000
    actions, _ = frequency_actor([300, 0, 500, 200])(4)(NO_FRAMES, uniforms, None)
    assert np.bincount(actions, minlength=4).tolist() == [300, 0, 500, 200]


def test_constant_and_random_play() -> None:
    uniforms = (np.arange(6) + 0.5) / 6
    assert constant_actor(2)(3)(NO_FRAMES, uniforms, None)[0].tolist() == [2] * 6
    assert random_actor(3)(NO_FRAMES, uniforms, None)[0].tolist() == [0, 0, 1, 1, 2, 2]


# --- what the episodes say --------------------------------------------------------------------


def played(returns: Sequence[float], num_distinct: int | None = None) -> Played:
    """Episodes of which so many differ, or all."""
    most = len(returns) if num_distinct is None else num_distinct
    return Played(
        episodes=tuple(
            PlayedEpisode(
                total_reward=value, num_steps=1, truncated=False, digest=str(number % most)
            )
            for number, value in enumerate(returns)
        ),
        action_counts=(len(returns),),
    )


@pytest.mark.parametrize("num_distinct", [1, LEAST_DISTINCT - 1, LEAST_DISTINCT, 20])
def test_an_interval_needs_ten_distinct_episodes(num_distinct: int) -> None:
    found = points(played([float(n) for n in range(20)], num_distinct))
    assert (found["mean"], found["n"], found["distinct"]) == (9.5, 20, num_distinct)
    assert (found["lo"] is None) == (found["hi"] is None) == (num_distinct < LEAST_DISTINCT)
    assert (found["reason"] is None) == (num_distinct >= LEAST_DISTINCT)


def test_the_difference_is_that_of_welch() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(3, 1, 20).tolist(), rng.normal(2, 3, 14).tolist()
    found = player_points("blind", PlayedGames(played=played(other)), played(one), sticky=False)
    assert found is not None
    expected = stats.ttest_ind(one, other, equal_var=False)
    bounds = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(np.mean(one) - np.mean(other))
    assert found.difference_lo == pytest.approx(bounds.low)
    assert found.difference_hi == pytest.approx(bounds.high)


def test_a_difference_to_few_distinct_episodes_has_no_interval_but_to_those_of_a_start() -> None:
    returns = [0.0, 1.0] * 10
    few, many = played(returns, 2), played(returns)
    constants = (ConstantAction(played=few, action="noop", screened=0.5),)
    constant = PlayedGames(played=few, constants=constants)
    found = player_points("constant", constant, many, sticky=False)
    assert found is not None
    assert (found.action, found.lo, found.distinct) == ("noop", None, 2)
    assert found.difference_lo is not None
    blind = player_points("blind", PlayedGames(played=few), many, sticky=False)
    assert blind is not None
    assert (blind.difference, blind.difference_lo) == (0, None)
    assert blind.difference_reason == "2 distinct episodes of blind play: an interval needs 10"
    peaked = player_points("constant", constant, few, sticky=False)
    assert peaked is not None and peaked.difference_hi is None
    assert "of the policy" in str(peaked.difference_reason)
    assert player_points("blind", PlayedGames(played=few), many, sticky=True) is None


# --- the stages -------------------------------------------------------------------------------


def plan_of(**changes: object) -> Plan:
    request = Request(("steps=1",), "smoke", (GAME,), 1, "returns", None, settings=SETTINGS)
    return make_plan(dataclasses.replace(request, **changes))  # type: ignore[arg-type]


def make(store: Store, plan: Plan) -> None:
    for spec in plan.stages():
        store.prepare(spec)
        run_stage(store, spec.stage, spec.key, lambda _: None, 0.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("players")
    make(Store(folder), plan_of())
    return folder


def games_of(home: Path, spec: StageSpec) -> PlayedGames:
    path = Store(home).folder("returns", spec.key) / RETURNS_FILE
    return PlayedGames.model_validate_json(path.read_text())


def test_players_know_no_view_no_curve_and_but_for_blind_play_no_policy() -> None:
    plan, other = plan_of(), plan_of(assignments=("policy.gamma=.5",))
    resized = plan_of(assignments=("view.resize=nearest",))
    keys = [{one.player: one.spec.key for one in p.players} for p in (plan, other, resized)]
    assert keys[0].keys() == {"random", "random_held", "constant", "blind"}
    blind = {found.pop("blind") for found in keys}
    assert len(blind) == 3
    assert keys[0] == keys[1] == keys[2]
    fewer = plan_of(settings=(*SETTINGS[:2], "evaluation.curve_points=0"))
    assert keys[0].items() <= {one.player: one.spec.key for one in fewer.players}.items()


def test_the_constant_action_is_screened_and_measured_on_other_episodes(home: Path) -> None:
    games = games_of(home, plan_of().arms[0].runs[0].players["constant"])
    assert len(games.constants) == len({one.action for one in games.constants}) == 3
    means = [one.played.mean for one in games.constants]
    assert games.played == games.constants[0].played
    assert means == sorted(means, reverse=True)
    for one in games.constants:
        assert len(one.played.episodes) == NUM_EPISODES
        assert one.sticky is not None
        assert sorted(one.played.action_counts)[:-1] == [0, 0]
    # Screened in every action: 3 episodes each, whose mean has thirds.
    assert all((3 * one.screened).is_integer() for one in games.constants)


def test_a_policy_plays_with_sticky_actions_too_and_on_the_way(home: Path) -> None:
    games = games_of(home, plan_of().arms[0].runs[0].stages[-1])
    assert games.sticky is not None
    assert len(games.played.episodes) == len(games.sticky.episodes) == NUM_EPISODES
    assert games.sticky.episodes != games.played.episodes
    updates = make_preset("smoke", GAME).policy.updates
    assert [one.updates for one in games.curve] == [0, updates // 2]
    assert all(len(one.played.episodes) == 3 for one in games.curve)


def test_the_result_has_players_sticky_returns_and_a_curve(home: Path) -> None:
    plan = plan_of()
    run = plan.arms[0].runs[0]
    found = run_returns(run, Store(home))
    assert found is not None and found.sticky is not None
    assert [one.player for one in found.players] == ["random", "random_held", "constant", "blind"]
    assert len(found.sticky.players) == 4
    for one in (*found.players, *found.sticky.players):
        assert one.n == NUM_EPISODES
    assert [point.updates for point in found.curve] == [0, 1, run.config.policy.updates]
    assert found.curve[-1].mean == found.mean
    random = found.player("random")
    assert random is not None
    assert random.difference == pytest.approx(found.mean - random.mean)


def test_an_interrupted_training_keeps_the_same_weights_on_the_way(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(until="policy")
    policy = plan.arms[0].runs[0].stages[-1]
    assert policy.stage == "policy"
    store, keep = Store(tmp_path), training_stages._keep

    def stop(context: object, state: TrainingState, curve: tuple[int, ...]) -> None:
        keep(context, state, curve)  # type: ignore[arg-type]
        if state.update == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_stages, "_keep", stop)
    with pytest.raises(KeyboardInterrupt):
        make(store, plan)
    monkeypatch.undo()
    make(store, plan)
    for updates in (0, 1):
        name = curve_file(updates)
        whole = Store(home).folder("policy", policy.key) / name
        assert (store.folder("policy", policy.key) / name).read_bytes() == whole.read_bytes()


def test_a_game_without_sticky_actions_is_refused() -> None:
    with pytest.raises(RequestError, match=r"sticky_too=0\.1: CartPole-v1 is of gymnasium"):
        override(make_preset("smoke", "CartPole-v1"), {"evaluation.sticky_too": "0.1"})


def test_a_curve_has_no_more_points_than_the_policy_has_updates() -> None:
    many = override(make_preset("smoke", GAME), {"evaluation.curve_points": "99"})
    assert num_curve_points(many) == many.policy.updates


def test_equal_stickiness_is_measured_once_and_online_there_are_no_points() -> None:
    own = plan_of(settings=(*SETTINGS, "environment.sticky_actions=.1"))
    (returns,) = (s for s in own.arms[0].runs[0].stages if s.stage == "returns")
    assert "sticky_too" not in returns.config["evaluation"]
    online = plan_of(protocol="online").arms[0].runs[0].stages
    assert "curve_points" not in online[-1].config["evaluation"]


def test_the_figure_has_a_line_for_each_arm_with_a_curve() -> None:
    doc = three_arms()
    assert not learning_runs(result(doc), "Boxing")
    first, other = doc["arms"][0]["runs"][0], doc["arms"][1]["runs"][0]
    point = {"n": 12, "lo": 0.5, "hi": 2.5}
    first["returns"] |= {"curve": [{"updates": u, "mean": 1.0 + u, **point} for u in (0, 5)]}
    other["returns"] |= {"curve": [{"updates": u, "mean": 2.0, "n": 12} for u in (0, 5)]}
    assert learning_runs(result(doc), "Boxing")
    (axes,) = learning_figure(result(doc), "Boxing").axes
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]
    # The arms, random play and the best constant action.
    assert drawn == [
        [1, 6], [2, 2], [-1.2, -1.2], [-0.5, -0.5],
    ]  # fmt: skip
    assert len(axes.collections) == 1  # one arm has intervals
