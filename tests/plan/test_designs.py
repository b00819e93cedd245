"""Designs: which arms a request makes, their names and baseline, and what is refused."""

import dataclasses
import time
from pathlib import Path

import pytest

from diamond.config.base import canonical
from diamond.engine.run_identity import aggregate_key, run_key_of
from diamond.engine.study_history import check_history, known_aggregates, record_plan
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.levels import calls_per_sample
from diamond.families.diamond.stages import update_multiplications
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Arm, Plan
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.request import Request

REQUEST = Request((), "smoke", ("Boxing",), 1, "fidelity", None)
ENDS: dict[str, object] = {
    "design": "path",
    "path_from": ("formulation=ddpm",),
    "path_to": ("formulation=edm",),
}
ZIP: dict[str, object] = {"design": "zip"}
ONLINE: dict[str, object] = {"protocol": "online", "until": None}


def plan_of(*assignments: str, **changes: object) -> Plan:
    return make_plan(dataclasses.replace(REQUEST, assignments=assignments, **changes))  # type: ignore[arg-type]


def own(plan: Plan) -> list[Arm]:
    return [arm for arm in plan.arms if arm.kind == "arm"]


def names(plan: Plan) -> list[str]:
    return [arm.name for arm in own(plan)]


# --- designs ----------------------------------------------------------------------------------


def test_one_factor_at_a_time_changes_one_value_of_the_baseline() -> None:
    plan = plan_of("steps=1,3,5", "sampler.order=1,2", "policy.gamma=0.9", design="ofat")
    assert names(plan) == [
        "steps=1 sampler.order=1 policy.gamma=0.9",
        "steps=3",
        "steps=5",
        "sampler.order=2",
    ]
    first, *others = (arm.runs[0].config for arm in own(plan))
    samplers = [diamond_of(config).sampler for config in (first, *others)]
    assert [(sampler.steps, sampler.order) for sampler in samplers] == [
        (1, 1), (3, 1), (5, 1), (1, 2),
    ]  # fmt: skip
    assert {c.policy.gamma for c in (first, *others)} == {0.9}
    assert own(plan)[3].axis_values == {"steps": "1", "sampler.order": "2", "policy.gamma": "0.9"}


def test_values_side_by_side_may_repeat() -> None:
    plan = plan_of("steps=1,1,3", "sampler.order=1,2,2", design="zip")
    assert names(plan) == [
        "steps=1 sampler.order=1",
        "steps=1 sampler.order=2",
        "steps=3 sampler.order=2",
    ]


def test_arms_written_out_stand_alone_or_beside_a_design() -> None:
    texts = ("as it is:", "slow one: steps=8  sampler.order=2")
    alone = plan_of(arms=texts)
    assert (names(alone), alone.design) == (["as it is", "slow one"], "arms")
    assert alone.study == "arms-boxing-smoke-static"
    sampler = diamond_of(own(alone)[1].runs[0].config).sampler
    assert (sampler.steps, sampler.order) == (8, 2)
    beside = plan_of("steps=1,2", arms=texts)
    assert names(beside) == ["steps=1", "steps=2", "as it is", "slow one"]
    assert beside.study == plan_of("steps=1,2").study
    brackets = plan_of(arms=("wide: denoiser.channels=[8, 16] steps=2",))
    assert diamond_of(own(brackets)[0].runs[0].config).denoiser.channels == (8, 16)


@pytest.mark.parametrize("games", [("Boxing",), ("Pong", "Boxing")])
def test_the_first_arm_of_a_game_is_its_baseline(games: tuple[str, ...]) -> None:
    plan = plan_of("steps=3,1", games=games, arms=("last: steps=9",))
    for game in games:
        marked = [arm.name for arm in plan.arms if arm.game == game and arm.is_baseline]
        assert marked == ["steps=3"]
        assert (plan.baseline(game).name, plan.baseline(game).game) == ("steps=3", game)


def test_seeds_are_paired_but_those_of_an_aa_arm() -> None:
    plan = plan_of("steps=1,3", num_seeds=3, aa=True)
    seeds = {arm.name: [run.config.seed for run in arm.runs] for arm in own(plan)}
    assert seeds == {"steps=1": [0, 1, 2], "steps=3": [0, 1, 2], AA_NAME: [3, 4, 5]}
    assert [arm.aa for arm in own(plan)] == [False, False, True]
    again, baseline = own(plan)[2], plan.baseline("Boxing")
    assert not again.is_baseline
    for run, other in zip(again.runs, baseline.runs, strict=True):
        assert run.config.model_copy(update={"seed": other.config.seed}) == other.config
        # The real frames are those of all arms, what is trained is its own.
        keys = {s.stage: s.key for s in run.stages}
        others = {s.stage: s.key for s in other.stages}
        shared = {stage for stage in keys if keys[stage] == others[stage]}
        assert shared == {"references", "frames", "inverse_dynamics"}


# --- what a study is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignments", "changes", "study"),
    [
        (("steps=1,3",), {}, "steps-boxing-smoke-static"),
        (("steps=1,3",), {"design": "ofat"}, "ofat-steps-boxing-smoke-static"),
        (("steps=1", "sampler.rho=1"), ZIP, "zip-steps-sampler.rho-boxing-smoke-static"),
        (("steps=1,3",), {"aa": True, "num_seeds": 2}, "steps-boxing-smoke-static"),
        (("sampler.rho=7,2",), {"match": "nfe"}, "sampler.rho-match-nfe-boxing-smoke-static"),
        ((), ENDS, "path-ddpm-to-edm-boxing-smoke-static"),
        (
            (),
            ENDS | {"path_from": ("formulation=ddpm steps=5", "denoiser.channels=[8,8]")},
            "path-ddpm+steps=5+denoiser.channels=_8_8_-to-edm-boxing-smoke-static",
        ),
        (("steps=1",), {"name": "mine", "design": "ofat"}, "mine"),
    ],
)  # fmt: skip
def test_a_study_is_named_by_its_design_without_values(
    assignments: tuple[str, ...], changes: dict[str, object], study: str
) -> None:
    assert plan_of(*assignments, **changes).study == study


def test_an_arm_keeps_its_meaning_and_a_new_value_adds_one(tmp_path: Path) -> None:
    record_plan(plan_of("steps=1,3", "sampler.order=1,2", design="ofat"), tmp_path, "diamond")
    check_history(
        plan_of("steps=1,3,9", "sampler.order=1,2", design="ofat", arms=("new: steps=7",)), tmp_path
    )
    with pytest.raises(RequestError) as caught:
        check_history(plan_of("steps=2,3", "sampler.order=1,2", design="ofat"), tmp_path)
    text = str(caught.value)
    assert "'sampler.order=2'" in text
    assert "sampler.steps: was 1, now 2" in text
    assert "--name" in text


def test_the_baseline_of_a_study_never_changes(tmp_path: Path) -> None:
    record_plan(plan_of("steps=1,3"), tmp_path, "diamond")
    check_history(plan_of("steps=1,9,3"), tmp_path)
    check_history(plan_of("steps=3"), tmp_path)  # alone it is compared with nothing
    with pytest.raises(RequestError, match="was 'steps=1', now it is 'steps=3'"):
        check_history(plan_of("steps=3,1"), tmp_path)


def test_a_baseline_that_is_written_in_another_way_is_the_same(tmp_path: Path) -> None:
    record_plan(plan_of("steps=1,3"), tmp_path, "diamond")
    check_history(plan_of("steps=1.0,3"), tmp_path)
    check_history(plan_of("steps=01,3e0"), tmp_path)


def test_the_seeds_of_an_aa_arm_follow_the_number_of_seeds(tmp_path: Path) -> None:
    record_plan(plan_of("steps=1,3", num_seeds=2, aa=True), tmp_path, "diamond")
    more = plan_of("steps=1,3", num_seeds=4, aa=True)
    check_history(more, tmp_path)
    record_plan(more, tmp_path, "diamond")
    again = own(more)[2]
    own_keys = [run_key_of(more.study, canonical(run.config)) for run in again.runs]
    assert aggregate_key(own_keys) in known_aggregates(more, tmp_path)


# --- equal cost -------------------------------------------------------------------------------


def test_matched_updates_train_on_as_many_samples() -> None:
    plan = plan_of(
        "denoiser.autoregressive_passes=1,2",
        "denoiser.batch_size=4,8",
        design="grid",
        match="updates",
    )
    configs = [diamond_of(arm.runs[0].config).denoiser for arm in own(plan)]
    totals = [c.updates * c.batch_size * c.autoregressive_passes for c in configs]
    assert totals == [40 * 4] * 4
    assert [c.updates for c in configs] == [40, 20, 20, 10]
    matched = [(one.field, one.old, one.new) for one in own(plan)[3].matched]
    assert matched == [("denoiser.updates", 40, 10)]
    assert own(plan)[0].matched == ()


def test_matched_calls_of_the_denoiser_are_equal() -> None:
    plan = plan_of("sampler.order=1,2", match="nfe")  # 3 steps of Euler, 2 of Heun
    samplers = [diamond_of(arm.runs[0].config).sampler for arm in own(plan)]
    assert [s.steps for s in samplers] == [3, 2]
    assert {calls_per_sample(s.steps, s.order) for s in samplers} == {3}
    reverse = plan_of("sampler.order=2,1", match="nfe")
    assert [diamond_of(arm.runs[0].config).sampler.steps for arm in own(reverse)] == [3, 5]


def test_matched_seconds_of_training_are_equal_but_for_rounding() -> None:
    plan = plan_of("denoiser.channels=[16,16],[8,8],[32,16]", match="seconds")
    configs = [arm.runs[0].config for arm in own(plan)]
    costs = [diamond_of(c).denoiser.updates * update_multiplications(c) for c in configs]
    for config, cost in zip(configs, costs, strict=True):
        one_update = update_multiplications(config)
        assert abs(cost - costs[0]) <= one_update / 2
    assert diamond_of(configs[1]).denoiser.updates > 40 > diamond_of(configs[2]).denoiser.updates


def test_online_every_count_of_denoiser_updates_is_scaled() -> None:
    plan = plan_of(
        "denoiser.batch_size=8,16", match="updates", preset="tiny", protocol="online", until=None
    )
    one, other = (arm.runs[0].config.online for arm in own(plan))
    assert one is not None
    assert other is not None
    for name in ("first_updates", "updates"):
        few, many = (getattr(online, name).parts() for online in (other, one))
        assert few == many | {"denoiser": many["denoiser"] // 2}


# --- what is refused --------------------------------------------------------------------------

REFUSED: list[tuple[tuple[str, ...], dict[str, object], str]] = [
    (("steps=1,3", "sampler.order=1"), {"design": "zip"}, "steps has 2, sampler.order has 1"),
    (("steps=1,1",), {"design": "zip"}, "two arms are called 'steps=1'"),
    (("steps=1,1",), {"design": "ofat"}, "repeats the value"),
    (("formulation=edm", "denoiser.target=edm,eps"), {"design": "ofat"}, "sets denoiser.target"),
    ((), {"design": "ofat", "arms": ("a: steps=1",)}, "nothing to vary"),
    ((), {"arms": (": steps=1",)}, "an arm is written 'name: axis=value axis=value'"),
    ((), {"arms": ("steps=1",)}, "an arm is written 'name: axis=value axis=value'"),
    ((), {"arms": ("a=1: steps=1",)}, "has a '|' or an '='"),
    ((), {"arms": ("a: steps=1", "a: steps=2")}, "two arms are called 'a'"),
    ((), {"arms": ("copy last frame: steps=1",)}, "two arms are called 'copy last frame'"),
    ((), {"arms": (f"{AA_NAME}: steps=1",), "aa": True, "num_seeds": 2}, "two arms are called"),
    (("steps=1",), {"arms": ("a: steps=1",)}, "'steps=1' and 'a' are the same run"),
    ((), {"arms": ("a: steps=1,3",)}, "'steps=1,3' has 2 values"),
    ((), {"arms": ("a: steps=1 steps=2",)}, "sets steps twice"),
    ((), {"arms": ("a: steps=1 sampler.steps=2",)}, "two axes set sampler.steps"),
    ((), {"arms": ("a: stpes=1",)}, "Did you mean 'steps'"),
    ((), {"arms": ("a: denoiser.channels=[8",)}, "brackets do not match"),
    (("steps=1,3",), {"aa": True}, "add --seeds 3"),
    (("steps=1,3",), {"match": "nfe"}, "'steps=3' sets sampler.steps=3"),
    (("denoiser.updates=9,8",), {"match": "updates"}, "sets denoiser.updates=8"),
    (("denoiser.batch_size=4,999",), {"match": "updates"}, "no update left"),
    (("sampler.order=1,2", "steps=2"), {"match": "nfe"}, "an odd number"),
    (("denoiser.batch_size=4,3",), {"match": "updates", **ONLINE}, "not within 5%"),
    ((), ENDS | {"path_to": ()}, "--design path needs --to"),
    ((), ENDS | {"path_from": (" ",)}, "--design path needs --from"),
    (("steps=1,3",), ENDS, "takes no axes: 'steps=1,3'"),
    ((), {"path_from": ("steps=1",)}, "add --design path"),
    ((), ENDS | {"path_from": ("formulation=edm",)}, "are the same run on Boxing"),
    ((), ENDS | {"path_from": ("resolution=48",)}, "sees 48 x 48 pixels"),
    ((), ENDS | {"path_from": ("sampler.sigma_max=300",)}, "begins at noise level 300"),
    ((), ENDS | {"path_to": ("sampler.sigma_max=70",)}, "--to 'sampler.sigma_max=70'"),
    ((), ENDS | {"path_from": ("formulation=ddmp",)}, "Did you mean 'ddpm'"),
    ((), ENDS | {"path_to": ("formulation=edm steps=1,2",)}, "--to: 'steps=1,2' has 2 values"),
]  # fmt: skip


@pytest.mark.parametrize(("assignments", "changes", "message"), REFUSED)
def test_what_does_not_fit_a_design_is_refused(
    assignments: tuple[str, ...], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        plan_of(*assignments, **changes)
    assert message in str(caught.value)


def test_many_arms_are_planned_while_one_waits() -> None:
    values = ",".join(str(number / 1000) for number in range(200))
    began = time.process_time()
    plan = plan_of(f"sampler.churn={values}", num_seeds=5, until=None)
    num_stages = len(plan.stages())
    # Some 1 s on an idle core; a plan that looks at every pair of its 8,000 stages takes minutes.
    assert time.process_time() - began < 10
    # Players that look at no frame: three of the game, and a blind one for each policy.
    assert num_stages == 3 + 2 * 5 + 5 * 1000 + 2 * 2 + 3 + 1000
