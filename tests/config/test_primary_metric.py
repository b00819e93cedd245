"""Which metric a study compares its arms in, and the return as one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from diamond.config.metric_table import RETURN, is_set, stage_of
from diamond.errors import RequestError
from diamond.plan.claims.claim_arms import check_claims
from diamond.plan.declarations import Declared, Given, read_declaration
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.report.answer.answers import answered
from diamond.report.console import result_table
from diamond.results.comparisons import Scored, comparison_rows, corrected
from diamond.results.metric_model import Estimate, Metric
from diamond.results.played_episodes import Played, PlayedEpisode, PlayedGames
from diamond.results.rollout_estimates import load_scores
from tests.result_documents import result, three_arms

CELLS = "MinAtar/Breakout-v1"
REQUEST = Request(("steps=1,3",), "smoke", (CELLS,), 1, None, None)
DECLARATION = 'question = "q?"\nprimary = "return"\naxes.steps = [1, 3]\npreset = "smoke"\n'


def plan_of(*assignments: str, **changes: object) -> Plan:
    found = {"assignments": assignments} if assignments else {}
    return make_plan(dataclasses.replace(REQUEST, **(found | changes)))  # type: ignore[arg-type]


def test_the_primary_metric_belongs_to_the_games() -> None:
    assert plan_of().primary_metric == "cell_accuracy_changed"
    assert plan_of(games=("Boxing",)).primary_metric == "core_ratio"
    assert plan_of(games=(CELLS, "Boxing")).primary_metric == "core_ratio"
    assert plan_of(settings=("view.colour=grey",)).primary_metric == "core_ratio"


def test_where_policies_alone_differ_it_is_the_return() -> None:
    assert plan_of("policy.gamma=.9,.99").primary_metric == "return"
    assert plan_of("policy.gamma=.9,.99", "steps=1,3").primary_metric == "cell_accuracy_changed"
    assert plan_of("policy.gamma=.9").primary_metric == "cell_accuracy_changed"
    stopped = plan_of("policy.gamma=.9,.99", until="policy_fidelity")
    assert stopped.primary_metric == "cell_accuracy_changed"
    online = plan_of("policy.gamma=.9,.99", protocol="online")
    assert online.primary_metric == "cell_accuracy_changed"


def test_a_declaration_may_name_the_return_where_policies_play() -> None:
    declaration = read_declaration(DECLARATION, Path("mine.toml"))
    declared = Declared(Path("/x/mine.toml"), declaration)
    plan = make_plan(Request(**declared.request(Given())))
    assert plan.primary_metric == "return"
    assert check_claims(plan) == []
    with pytest.raises(RequestError, match="the study stops after fidelity and plays nothing"):
        check_claims(make_plan(Request(**declared.request(Given(until="fidelity")))))


def test_returns_are_scores_of_a_run(tmp_path: Path) -> None:
    episodes = tuple(
        PlayedEpisode(total_reward=value, num_steps=1, truncated=False, digest="")
        for value in (1.0, 2.0, 6.0)
    )
    games = PlayedGames(played=Played(episodes=episodes, action_counts=(3,)))
    path = tmp_path / "returns.json"
    path.write_text(games.model_dump_json())
    assert load_scores((path,)) == {"return": np.array([[3.0]])}
    assert is_set(RETURN.name) and stage_of(RETURN.name) == "returns"


def scored(name: str, *returns: float) -> Scored:
    runs = {seed: {"return": np.array([[value]])} for seed, value in enumerate(returns)}
    return Scored(name, "arm", runs, len(returns), model=name)


def test_returns_are_compared_over_seeds_and_one_seed_decides_nothing() -> None:
    many = comparison_rows(scored("b", 5, 6, 7), scored("a", 1, 2.1, 2.9), "Boxing", "return")
    (row,) = corrected(many)
    assert (row.metric, row.family, row.unit, row.n) == ("return", "primary", "seed", 3)
    assert row.difference == pytest.approx(4)
    assert row.decision == "shown"
    (one,) = corrected(comparison_rows(scored("b", 5), scored("a", 1), "Boxing", "return"))
    assert (one.difference, one.lo, one.decision) == (4, None, "undefined")


def test_the_sentence_names_the_better_return() -> None:
    doc = result(three_arms())
    metric = Metric(**{name: getattr(RETURN, name) for name in ("name", "label", "unit", "kind")},
                    direction="higher")  # fmt: skip
    values = {"steps=1": 1.0, "steps=3": 5.0, "steps=10": 2.0}
    arms = tuple(
        arm.model_copy(update={"metrics": {"return": {"mean": Estimate(mean=values[arm.name])}}})
        if arm.name in values
        else arm
        for arm in doc.arms
    )
    (row,) = corrected(
        comparison_rows(
            scored("steps=3", 5, 6, 7), scored("steps=1", 1, 2.1, 2.9), "Boxing", "return"
        )
    )
    told = doc.model_copy(
        update={
            "arms": arms, "comparisons": (row,), "metrics": (metric,), "primary_metric": "return",
        }
    )  # fmt: skip
    found = answered(told).answers[0].found
    assert found.head.startswith("With 3 denoising steps the policy earns more than with 1")
    assert "1.00 with 1, 5.00 with 3" in found.text
    assert "mean of the episodes" in found.text
    heads = [column for column in result_table(told, "Boxing").columns if "return" in column]
    assert len(heads) == 1  # the column of returns, not another one of the metric
