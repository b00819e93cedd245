"""The stage keys that follow from a config, and what changes them."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.config.base import canonical
from diamond.config.environments import (
    AtariConfig,
    GymnasiumConfig,
    MinAtarConfig,
    RecordingConfig,
)
from diamond.config.metric_table import METRICS
from diamond.config.overrides import field_names, override, place_of
from diamond.config.presets import make_preset
from diamond.config.run import ImportedConfig, RunConfig
from diamond.families.baselines import COPY_LAST, MEDIAN_BACKGROUND
from diamond.plan import stage_keys
from diamond.plan.plan_arms import baseline_config
from diamond.plan.stage_keys import StageName, first_stage_of_field, stages_of
from diamond.stages.registry import find_stage_record, stages_of_protocol, stages_of_run


def section_of(field: str) -> str:
    return field.partition(".")[0]


SMOKE = make_preset("smoke", "Boxing")
ONLINE = make_preset("smoke", "Boxing", "online")
OF_OTHER_GAMES = frozenset(
    f"environment.{name}"
    for kind in (MinAtarConfig, GymnasiumConfig, RecordingConfig)
    for name in kind.model_fields.keys() - AtariConfig.model_fields.keys()
)
FIELDS = tuple(name for name in field_names() if name not in OF_OTHER_GAMES)
STAGES = stages_of_protocol("static")

ALL = frozenset(STAGES)
SCORED: frozenset[StageName] = frozenset({"rollouts", "fidelity", "policy_fidelity"})
PLAYED: frozenset[StageName] = frozenset({"policy", "policy_fidelity", "returns"})
JUDGE: frozenset[StageName] = frozenset({"inverse_dynamics"})
REFERENCES: frozenset[StageName] = frozenset({"references"})
DENOISER: frozenset[StageName] = frozenset({"denoiser"})
REWARD_END: frozenset[StageName] = frozenset({"reward_end"})
# By hand (docs/decisions/0010): the stages that a section reaches.
REACHED: dict[str, frozenset[StageName]] = {
    "preset": frozenset(),
    "recipe": frozenset(),
    "game": ALL,
    "seed": DENOISER | REWARD_END | SCORED | PLAYED,
    "data_seed": ALL,
    "environment": ALL,
    "view": ALL - REFERENCES,
    "references": REFERENCES | SCORED,
    "frames": ALL - REFERENCES - JUDGE,
    "denoiser": DENOISER | SCORED | PLAYED,
    "reward_end": REWARD_END | SCORED | PLAYED,
    "sampler": SCORED | PLAYED,
    "policy": PLAYED,
    "evaluation": frozenset({"returns"}),
    "rollouts": SCORED,
    "inverse_dynamics": JUDGE | {"fidelity"},
    "fidelity": frozenset({"fidelity"}),
}
OF_CURVE: dict[str, frozenset[StageName]] = {
    "evaluation.curve_points": PLAYED,  # the policy's stage keeps its weights on the way
    "evaluation.curve_episodes": frozenset(),  # smoke has no points
}
OF_PACKAGES = frozenset({"denoiser.network", "fidelity.metrics", "frames.recorded"})
"""Their keys follow from what is there: `tests/families/`, `tests/fidelity/test_own_metrics.py`,
`tests/plan/test_recorded_plans.py`."""
ALTERABLE = tuple(
    name for name in FIELDS if section_of(name) in REACHED and name not in OF_PACKAGES
)


def alter(value: Any) -> Any:
    """Another value of the same kind; ranges do not matter to keys."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, 1)
        case _:
            return (1, 2, 3, 4)


def altered(config: RunConfig, dotted: str) -> RunConfig:
    """The config with one field altered, without validation."""

    def walk(record: Any, parts: list[str]) -> Any:
        old = getattr(record, parts[0])
        new = alter(old) if len(parts) == 1 else walk(old, parts[1:])
        return record.model_copy(update={parts[0]: new})

    changed = walk(config, place_of(config, dotted))
    assert isinstance(changed, RunConfig)
    return changed


def reached(field: str) -> frozenset[StageName]:
    return OF_CURVE.get(field, REACHED[section_of(field)])


def keys_of(config: RunConfig) -> dict[StageName, str]:
    return {spec.stage: spec.key for spec in stages_of(config)}


def changed_stages(before: RunConfig, after: RunConfig) -> frozenset[StageName]:
    old, new = keys_of(before), keys_of(after)
    assert old.keys() == new.keys()
    return frozenset(stage for stage in old if old[stage] != new[stage])


def test_golden_keys_of_smoke() -> None:
    """Keys name results on disk: a change here makes all results of users anew.

    If the change is meant (a preset's recipe, raised numerics of a stage, a new field without a
    neutral value), note it in CHANGELOG.md under Numerics and put the new keys here:
    python -c "from tests.plan.test_stage_keys import *; print(keys_of(SMOKE))".
    """
    assert keys_of(SMOKE) == {
        "references": "56b7043d2a1653889f78",
        "frames": "cfa96867a123c86236f4",
        "denoiser": "c2c93348b4dcd97061cd",
        "reward_end": "754d8f121ada8c3da6dd",
        "inverse_dynamics": "cd5015dbba65505b9f27",
        "rollouts": "738bec93075af783e633",
        "fidelity": "639ab1730962b311e1e4",
        "policy": "4b5d9b706bbea8ef2bb6",
        "policy_fidelity": "d357dc8ceee73171ebb6",
        "returns": "a83208709864e0931e7e",
    }


def test_without_samples_and_counterfactuals_the_keys_are_those_from_before_them() -> None:
    before = SMOKE.model_copy(
        update={
            "references": SMOKE.references.model_copy(update={"counterfactuals": None}),
            "rollouts": SMOKE.rollouts.model_copy(update={"samples": None}),
        }
    )
    keys = keys_of(before)
    assert keys["references"] == "dbbe1e377222d706189e"
    assert keys["rollouts"] == "4f9d133867700e3e6f71"


@pytest.mark.parametrize("field", ALTERABLE)
def test_a_field_changes_the_stages_it_reaches_and_no_other(field: str) -> None:
    changed = changed_stages(SMOKE, altered(SMOKE, field))
    assert changed == reached(field)
    if changed and field not in {"seed", "data_seed"}:
        assert first_stage_of_field(field) == next(stage for stage in STAGES if stage in changed)


def test_golden_keys_of_smoke_online() -> None:
    """As above, for the online protocol; references are those of the static one."""
    assert keys_of(ONLINE) == {
        "references": "56b7043d2a1653889f78",
        "agent": "1169751cf6dfb2597d50",
        "inverse_dynamics": "cd5015dbba65505b9f27",
        "rollouts": "e93830f2f2a420c04cad",
        "fidelity": "05b2bf9dba879516bfe6",
        "policy_fidelity": "57c5264e7d880ef4b721",
        "returns": "eb6240ddb80578131aa9",
    }


SCORED_ONLINE: frozenset[StageName] = SCORED | {"agent", "returns"}


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("seed", SCORED_ONLINE),
        ("online.epsilon", SCORED_ONLINE),
        ("online.updates.policy", SCORED_ONLINE),
        ("denoiser.history", SCORED_ONLINE),
        ("sampler.steps", SCORED_ONLINE),
        ("policy.gamma", SCORED_ONLINE),
        ("evaluation.num_episodes", frozenset({"returns"})),
        ("rollouts.num_starts", SCORED),
        ("references.num_starts", REFERENCES | SCORED),
        ("frames.num_frames", frozenset()),
    ],
)
def test_online_a_field_changes_the_agent_and_what_reads_it(
    field: str, changed: frozenset[StageName]
) -> None:
    assert changed_stages(ONLINE, altered(ONLINE, field)) == changed


def test_an_agent_of_the_real_game_does_not_depend_on_a_world_model() -> None:
    real = override(ONLINE, {"online.environment": "real"})
    assert set(keys_of(real)) == {"agent", "returns"}
    for field in (
        "denoiser.history",
        "reward_end.lstm_size",
        "sampler.steps",
        "rollouts.num_starts",
    ):
        assert keys_of(altered(real, field)) == keys_of(real)
    for field in ("policy.gamma", "online.final_epochs", "seed", "view.height"):
        assert keys_of(altered(real, field)) != keys_of(real)


def test_every_field_is_covered() -> None:
    """Those left out decide which stages there are, belong to the other protocol or to packages."""
    left_out = {name for name in FIELDS if name.split(".")[0] not in REACHED}
    assert set(FIELDS) - set(ALTERABLE) == left_out | OF_PACKAGES
    assert {name.split(".")[0] for name in left_out} == {"imported", "protocol", "online"}


@given(st.sets(st.sampled_from(ALTERABLE), max_size=5))
def test_fields_together_change_the_union(fields: set[str]) -> None:
    after = SMOKE
    for field in fields:
        after = altered(after, field)
    expected: frozenset[StageName] = frozenset().union(*map(reached, fields))
    assert changed_stages(SMOKE, after) == expected


def test_keys_are_hashes_of_canonical_json_whatever_was_hashed_before() -> None:
    """Sections are written once for all runs that share them; 1 and 1.0 are equal and not one."""
    policy = SMOKE.policy
    for gamma in (1, 1.0, 0.5):
        config = SMOKE.model_copy(update={"policy": policy.model_copy(update={"gamma": gamma})})
        for spec in (*stages_of(config), *stages_of(config.model_copy(update={"seed": 3}))):
            identity = {
                "stage": spec.stage,
                "config": spec.config,
                "upstream": spec.upstream,
                "seed": spec.seed,
                "numerics": find_stage_record(spec.stage).numerics,
            }
            text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
            assert spec.key == sha256(text.encode()).hexdigest()[:20]
    whole, decimal = (
        SMOKE.model_copy(update={"policy": policy.model_copy(update={"gamma": gamma})})
        for gamma in (1, 1.0)
    )
    assert whole == decimal
    assert keys_of(whole)["policy"] != keys_of(decimal)["policy"]


def test_preset_name_is_part_of_no_key() -> None:
    assert keys_of(SMOKE) == keys_of(SMOKE.model_copy(update={"preset": "another"}))


def test_steps_share_what_does_not_sample() -> None:
    runs = [keys_of(override(SMOKE, {"sampler.steps": text})) for text in ("1", "3", "10")]
    for stage in STAGES:
        shared = stage in {"references", "inverse_dynamics", "frames", "denoiser", "reward_end"}
        assert len({run[stage] for run in runs}) == (1 if shared else 3)


def test_baselines_have_keys_of_their_own_and_ignore_what_is_trained() -> None:
    last = baseline_config(SMOKE, COPY_LAST)
    median = baseline_config(SMOKE, MEDIAN_BACKGROUND)
    assert set(keys_of(last)) == {"references", "inverse_dynamics", "rollouts", "fidelity"}
    assert keys_of(last)["references"] == keys_of(SMOKE)["references"]
    assert len({keys_of(config)["rollouts"] for config in (last, median, SMOKE)}) == 3
    for field in ("policy.gamma", "frames.num_frames", "seed"):
        assert keys_of(altered(last, field)) == keys_of(last)
    for field in ("view.height", "rollouts.horizon_steps", "references.num_starts", "data_seed"):
        assert keys_of(altered(last, field)) != keys_of(last)


def test_all_arms_protocols_and_baselines_have_one_judge() -> None:
    judge = keys_of(SMOKE)["inverse_dynamics"]
    played = SMOKE.frames.play.model_copy(update={"max_hold_steps": 3})
    others = [
        ONLINE,
        baseline_config(SMOKE, COPY_LAST),
        SMOKE.model_copy(update={"frames": SMOKE.frames.model_copy(update={"play": played})}),
        *(altered(SMOKE, name) for name in ("frames.num_frames", "denoiser.history", "seed")),
        *(altered(SMOKE, name) for name in ("reward_end.updates", "policy.gamma", "sampler.steps")),
    ]
    assert {keys_of(config)["inverse_dynamics"] for config in others} == {judge}
    for name in ("game", "environment.frame_skip", "view.height", "data_seed"):
        assert keys_of(altered(SMOKE, name))["inverse_dynamics"] != judge


def test_the_judge_of_the_presets_is_no_part_of_what_a_run_is() -> None:
    """Studies from before there was a judge go on; its stage holds the whole recipe."""
    tiny = make_preset("tiny", "Boxing")
    assert "inverse_dynamics" not in canonical(tiny)
    (judge,) = (spec for spec in stages_of(tiny) if spec.stage == "inverse_dynamics")
    assert judge.config["inverse_dynamics"] == canonical(tiny.inverse_dynamics)
    assert tiny == RunConfig.model_validate(canonical(tiny))


@pytest.mark.parametrize(
    ("stage", "numerics", "columns"),
    # action_r2 needs continuous actions: no study from before has a run that it could score.
    [("fidelity", 3, "6e753634"), ("policy_fidelity", 2, "d7b0fcdb")],
)
def test_finished_studies_get_a_new_metric(stage: StageName, numerics: int, columns: str) -> None:
    """A stage that scored before a metric was there is made again by its next `numerics` alone.

    No stage of before `action_r2` had actions of several numbers: that one raised nothing.
    """
    names = sorted(name for one in METRICS if one.stage == stage for name in one.columns)
    digest = sha256(" ".join(names).encode()).hexdigest()[:8]
    assert (find_stage_record(stage).numerics, digest) == (numerics, columns), (
        f"the metrics of {stage} are others: raise `numerics` of its record, then write both here"
    )


def test_what_reads_training_frames_is_left_out_of_a_run_that_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = replace(find_stage_record("references"), name="looks_at_frames", reads=("frames",))
    with_extra = (*stages_of_run(SMOKE), extra)
    monkeypatch.setattr(stage_keys, "stages_of_run", lambda config: with_extra)
    weights = dict.fromkeys(("denoiser", "reward_end", "policy"), "0" * 64)
    imported = SMOKE.model_copy(update={"imported": ImportedConfig(num_actions=4, weights=weights)})
    left = {stage.name for stage in stage_keys._stages_of(imported)}
    assert {stage.name for stage in with_extra} - left == {"frames", "looks_at_frames"}
