"""Plans, keys and claims with a family that is named by its place, in this very process."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from diamond.config import plugins
from diamond.config.overrides import field_description, override
from diamond.config.presets import make_preset
from diamond.config.worlds import find_family
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.families.interface import Family, checked
from diamond.plan.claims.claim_arms import arms_of_plan, find_arm
from diamond.plan.make_plan import make_plan
from diamond.plan.match import match_costs
from diamond.plan.path import make_path
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import stages_of
from diamond.plan.variants import Setting, make_variant
from diamond.sweep.declaration import load_sweep
from diamond.sweep.trials import baseline_texts, check_sweep
from tests.commands import TOY_FAMILY

PLACE = "toy_world.family:TOY"


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Family:
    """The record of the toy, whose package is on the path and not installed."""
    monkeypatch.syspath_prepend(TOY_FAMILY)
    return find_family(PLACE)


def plan_of(*words: str, **changes: Any) -> Plan:
    request = Request(words, "smoke", ("Boxing",), 1, None, "a")
    return make_plan(replace(request, **changes))


def keys_of(plan: Plan, name: str) -> dict[str, str]:
    (arm,) = (arm for arm in plan.arms if arm.name == name)
    return {spec.stage: spec.key for spec in arm.runs[0].stages}


def test_its_axes_and_fields_are_known_wherever_the_family_stands() -> None:
    for words in (
        (f"family={PLACE}", "toy_width=4,8"),
        ("toy_width=4,8", f"family={PLACE}"),
        (f"family={PLACE}", "network.width=4,8"),
    ):
        widths = [arm.runs[0].config.world.model_dump() for arm in plan_of(*words).arms[:2]]
        assert [world["network"]["width"] for world in widths] == [4, 8]
    plan = plan_of("toy_width=4,8", settings=(f"family={PLACE}",))
    assert (
        keys_of(plan, "toy_width=4")["toy_network"] != keys_of(plan, "toy_width=8")["toy_network"]
    )
    assert field_description("network.width") == "channels of the hidden layer"


def test_a_setting_stays_in_the_arms_of_its_family() -> None:
    plan = plan_of(f"family=diamond,{PLACE}", settings=("steps=1", "gamma=0.5"))
    first, second = (arm.runs[0].config for arm in plan.arms[:2])
    assert diamond_of(first).sampler.steps == 1
    assert first.policy.gamma == second.policy.gamma == 0.5
    settings = (f"family={PLACE} toy_width=4",)
    kept = plan_of(f"family={PLACE},diamond", settings=settings).arms[0].runs[0].config
    assert kept.world.model_dump()["network"]["width"] == 4


def test_what_a_part_is_is_in_the_key_of_an_online_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: Family
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source, online = tmp_path / "another_of_mine.py", make_preset("smoke", "Boxing", "online")
    found = []
    for text in ("class Net: ...\n", "class Net: pass\n"):
        source.write_text(text)
        config = override(online, {"denoiser.network": "another_of_mine:Net"})
        found.append({spec.stage: spec.key for spec in stages_of(config)}["agent"])
    assert found[0] != found[1]
    plan = plan_of(f"family={PLACE}", protocol="online", goal="agent")
    before = keys_of(plan, f"family={PLACE}")["agent"]
    raised = tuple(replace(stage, numerics=stage.numerics + 1) for stage in toy.stages)
    object.__setattr__(toy, "stages", raised)
    after = keys_of(plan_of(f"family={PLACE}", protocol="online", goal="agent"), f"family={PLACE}")
    object.__setattr__(toy, "stages", tuple(replace(s, numerics=1) for s in raised))
    assert before != after["agent"]


def test_a_family_by_its_place_has_the_numerics_of_its_own_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raised_toy.py").write_text(
        "from dataclasses import replace\n"
        "from toy_world.family import TOY\n"
        "TOY = replace(TOY, stages=tuple(replace(one, numerics=7) for one in TOY.stages))\n"
    )
    plan = plan_of(f"family={PLACE},raised_toy:TOY")
    found = {
        spec.numerics
        for arm in plan.arms
        for spec in arm.runs[0].stages
        if spec.stage == "toy_network"
    }
    assert found == {1, 7}


def test_a_path_flips_the_updates_of_a_part() -> None:
    base = make_preset("smoke", "Boxing", "online")
    ends = []
    for text in ("1", "2"):
        plan = plan_of(
            f"online.updates.denoiser={text}", "steps=2", protocol="online", goal="agent"
        )
        ends.append(Setting(text, tuple((axis, text) for axis in plan.axes[:1])))
    path, variants = make_path(base, *ends)
    assert [factor.name for factor in path.factors] == ["online.updates.denoiser"]
    counts = []
    for variant in variants:
        assert variant.config.online is not None
        counts.append(variant.config.online.updates.parts()["denoiser"])
    assert counts == [1, 2]


def test_a_stage_to_stop_at_is_one_of_every_arm() -> None:
    with pytest.raises(
        RequestError, match=r"--until denoiser: the arm 'family=toy[^\n]*\n.*toy_network"
    ):
        plan_of(f"family=diamond,{PLACE}", until="denoiser")
    with pytest.raises(RequestError, match="no such stage"):
        plan_of("toy_width=4,8", settings=(f"family={PLACE}",), until="reward_end")
    plan = plan_of("toy_width=4,8", settings=(f"family={PLACE}",), until="toy_network")
    assert set(keys_of(plan, "toy_width=4")) == {"frames", "toy_network"}


def test_a_claim_chooses_among_arms_of_several_families() -> None:
    arms = (
        "few: family=diamond formulation=ddpm",
        "EDM: family=diamond formulation=edm",
        f"toy: family={PLACE} toy_width=4",
    )
    found = arms_of_plan(plan_of(arms=arms), "Boxing")
    assert find_arm("formulation=ddpm", found).name == "few"
    assert find_arm("toy_width=4", found).name == "toy"
    assert find_arm(f"family={PLACE}", found).name == "toy"
    with pytest.raises(RequestError, match="no arm has"):
        find_arm("toy_width=8", found)


def test_costs_are_matched_across_families_or_refused(toy: Family) -> None:
    plan = plan_of(f"family=diamond,{PLACE}", match="updates")
    first, second = (arm.runs[0].config for arm in plan.arms[:2])
    # 40 updates of 4 x 2 samples are 40 of 8.
    assert diamond_of(first).denoiser.updates * 8 == 320
    assert second.world.model_dump()["network"]["updates"] * 8 == 320
    base = make_preset("smoke", "Boxing")
    variants = [make_variant(base, Setting("toy", ())), make_variant(base, Setting("other", ()))]
    world = toy.preset("smoke", "Boxing").model_copy(update={"family": PLACE})
    toys = [replace(one, config=base.model_copy(update={"world": world})) for one in variants]
    silent = tuple(replace(stage, is_scored=False) for stage in toy.stages)
    kept = toy.stages
    object.__setattr__(toy, "stages", silent)
    try:
        with pytest.raises(RequestError, match="has 0 such parts"):
            match_costs("updates", toys)
    finally:
        object.__setattr__(toy, "stages", kept)


WRONG: dict[str, tuple[Callable[[Family], Family], str]] = {
    "another name than its entry point": (lambda toy: toy, "its record calls it 'toy'"),
    "a stage of another name": (
        lambda toy: replace(toy, stages=(replace(toy.stages[0], name="net"),)),
        "must begin with toy_",
    ),
    "an axis that all have": (
        lambda toy: replace(toy, axes=(replace(toy.axes[0], name="horizon"),)),
        "there is an axis 'horizon' already",
    ),
    "an axis of ours": (
        lambda toy: replace(toy, axes=(replace(toy.axes[0], name="steps"),)),
        "there is an axis 'steps' already",
    ),
    "a part without section": (
        lambda toy: replace(toy, stages=(replace(toy.stages[0], part="other"),)),
        "its section has no 'other'",
    ),
    "a field that nothing reads": (
        lambda toy: replace(toy, stages=()),
        "a field 'network' that no stage reads",
    ),
    "an interface that is no number": (
        lambda toy: replace(toy, interface="1"),  # type: ignore[arg-type]
        "written for interface '1', this is 2",
    ),
    "an interface to come": (lambda toy: replace(toy, interface=3), "install a newer diamond"),
    "ours": (lambda toy: find_family("diamond"), "as one of ours"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_record_that_does_not_fit_is_refused(kind: str, toy: Family) -> None:
    change, said = WRONG[kind]
    name = "mine" if kind == "another name than its entry point" else "toy"
    with pytest.raises(RequestError, match=said):
        checked(change(toy), name)


def test_two_packages_with_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple(EntryPoint("twice", f"{package}:TOY", "g") for package in ("one", "other"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(RequestError, match="bring a family 'twice' each") as caught:
        plugins.load_entry_point("a group of the test", "twice", "family")
    assert "one:TOY or other:TOY" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("class Net(:\n", "is no Python"), ("class Nat: ...\n", "mean 'Nat'")]
)
def test_a_file_without_the_network_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"net_{abs(hash(text))}"
    (tmp_path / f"{module}.py").write_text(text)
    with pytest.raises(RequestError, match=said):
        plugins.source_of(f"{module}:Net", "denoiser.network")


SEARCH = f"""\
question = "Which family?"
preset = "smoke"
until = "fidelity"
[space]
family = {{ choices = ["diamond", "{PLACE}"] }}
toy_width = {{ int = [4, 8], when = {{ family = ["{PLACE}"] }} }}
[[objectives]]
metric = "l1"
[budget]
trials = 4
"""


def test_a_sweep_searches_over_families(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(SEARCH)
    sweep = load_sweep(str(path))
    assert baseline_texts(sweep) == {"family": "diamond"}
    assert check_sweep(sweep).arms
    path.write_text(SEARCH + '[pruner]\nname = "median"\nat = [10]\n')
    with pytest.raises(RequestError, match="which the family diamond alone has"):
        check_sweep(load_sweep(str(path)))
