"""Human-normalised scores: which runs have them, and their aggregates over games."""

import pytest

from diamond.config.presets import make_preset
from diamond.config.published_scores import published
from diamond.findings.policy_returns import hns_over_games, run_hns
from diamond.results.arm_model import Arm, ArmKind, Run
from diamond.results.metric_model import Estimate
from diamond.results.returns_model import Returns


def test_random_play_is_zero_and_the_human_reference_one() -> None:
    facts = published()
    for game in ("Boxing", "Pong"):
        config = make_preset("paper", game)
        assert run_hns(config, facts.random[game], any_cut=False) == 0
        assert run_hns(config, facts.human[game], any_cut=False) == pytest.approx(1)


def test_only_the_whole_game_is_normalised() -> None:
    # The ring of Boxing alone, and six of its actions.
    assert run_hns(make_preset("tiny", "Boxing"), 50.0, any_cut=False) is None
    # An episode cut at 2,000 env steps, and one that ended before.
    assert run_hns(make_preset("tiny", "Pong"), 10.0, any_cut=True) is None
    assert run_hns(make_preset("tiny", "Pong"), 10.0, any_cut=False) is not None
    # The published scores are cut at 27,000 env steps as well.
    assert run_hns(make_preset("paper", "Pong"), 10.0, any_cut=True) is not None
    paper = make_preset("paper", "Pong")
    emulator = paper.environment.model_copy(update={"frame_skip": 2})
    assert run_hns(paper.model_copy(update={"environment": emulator}), 10.0, any_cut=False) is None


def arm(name: str, game: str, *hns: float | None, kind: ArmKind = "arm") -> Arm:
    found = [None if score is None else Returns(mean=0.0, n=1, hns=score) for score in hns]
    runs = tuple(Run(seed=seed, returns=returns) for seed, returns in enumerate(found))
    return Arm(name=name, kind=kind, game=game, runs=runs)


def test_aggregates_over_games_by_hand() -> None:
    rows = hns_over_games(
        [
            arm("a", "Boxing", 0.0, 2.0),
            arm("b", "Boxing", 1.0, 1.0),
            arm("a", "Pong", 4.0, 6.0),
            arm("b", "Pong", 1.0, None),
            arm("copy last frame", "Pong", kind="baseline"),
            arm("a", "Alien", 0.5, 0.5),
        ]
    )
    assert [row.arm for row in rows] == ["a"]  # b has one game with all of its runs
    (row,) = rows
    assert row.games == ("Boxing", "Pong", "Alien")
    assert row.num_runs == 2
    assert row.per_game == {"Boxing": 1.0, "Pong": 5.0, "Alien": 0.5}
    values = {name: found.mean for name, found in row.aggregates.items()}
    assert values["mean"] == pytest.approx(6.5 / 3)
    assert values["median"] == pytest.approx(1.0)
    # Pooled: 0, .5, .5, 2, 4, 6; a quarter of six is one at each end.
    assert values["iqm"] == pytest.approx((0.5 + 0.5 + 2 + 4) / 4)
    assert values["optimality_gap"] == pytest.approx(1 - (0 + 0.5 + 0.5 + 1 + 1 + 1) / 6)
    for found in row.aggregates.values():
        assert found.lo is not None and found.hi is not None
        assert found.lo <= found.mean <= found.hi


def test_arms_are_aggregated_over_the_same_games() -> None:
    arms = [arm("a", game, 1.0) for game in ("Boxing", "Pong", "Alien")]
    rows = hns_over_games([*arms, arm("b", "Boxing", 2.0), arm("b", "Alien", 4.0)])
    assert [(row.arm, row.games) for row in rows] == [
        ("a", ("Boxing", "Alien")),
        ("b", ("Boxing", "Alien")),
    ]
    assert hns_over_games([*arms, arm("b", "Boxing", 2.0), arm("b", "Krull", 4.0)]) == ()


def test_one_run_has_no_interval() -> None:
    (row,) = hns_over_games([arm("a", "Boxing", 1.0), arm("a", "Pong", 3.0)])
    assert row.aggregates["mean"] == Estimate(mean=2.0, n=1)


def test_one_game_is_no_aggregate() -> None:
    assert hns_over_games([arm("a", "Boxing", 1.0, 2.0)]) == ()
