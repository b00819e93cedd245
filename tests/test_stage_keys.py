"""The stage keys that follow from a config, and what changes them."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.ablation.stages import (
    NUMERICS,
    PROTOCOL_STAGES,
    StageName,
    first_stage_of_field,
    stages_of,
)
from diamond.config.overrides import (
    field_names,
    override,
)
from diamond.config.presets import make_preset
from diamond.config.run import RunConfig


def section_of(field: str) -> str:
    return field.partition(".")[0]


SMOKE = make_preset("smoke", "Boxing")
ONLINE = make_preset("smoke", "Boxing", "online")
FIELDS = tuple(field_names())
STAGES = PROTOCOL_STAGES["static"]

ALL = frozenset(STAGES)
SCORED: frozenset[StageName] = frozenset({"rollouts", "fidelity"})
PLAYED: frozenset[StageName] = frozenset({"policy", "returns"})
REFERENCES: frozenset[StageName] = frozenset({"references"})
DENOISER: frozenset[StageName] = frozenset({"denoiser"})
OUTCOME: frozenset[StageName] = frozenset({"outcome"})
# Read off the drawing in DESIGN.md section 4, by hand: the stages that a section reaches.
REACHED: dict[str, frozenset[StageName]] = {
    "preset": frozenset(),
    "game": ALL,
    "seed": DENOISER | OUTCOME | SCORED | PLAYED,
    "data_seed": ALL,
    "emulator": ALL,
    "view": ALL - REFERENCES,
    "references": REFERENCES | SCORED,
    "frames": ALL - REFERENCES,
    "denoiser": DENOISER | SCORED | PLAYED,
    "outcome": OUTCOME | SCORED | PLAYED,
    "sampler": SCORED | PLAYED,
    "policy": PLAYED,
    "evaluation": frozenset({"returns"}),
    "rollouts": SCORED,
}
ALTERABLE = tuple(name for name in FIELDS if section_of(name) in REACHED)


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

    changed = walk(config, dotted.split("."))
    assert isinstance(changed, RunConfig)
    return changed


def keys_of(config: RunConfig) -> dict[StageName, str]:
    return {spec.stage: spec.key for spec in stages_of(config)}


def changed_stages(before: RunConfig, after: RunConfig) -> frozenset[StageName]:
    old, new = keys_of(before), keys_of(after)
    assert old.keys() == new.keys()
    return frozenset(stage for stage in old if old[stage] != new[stage])


def test_golden_keys_of_smoke() -> None:
    """Keys name results on disk: a change here makes all results of users anew.

    If the change is meant (a preset's recipe, a raised number in NUMERICS, a new field without a
    neutral value), note it in CHANGELOG.md under Numerics and put the new keys here:
    python -c "from tests.test_stage_keys import *; print(keys_of(SMOKE))".
    """
    assert keys_of(SMOKE) == {
        "references": "6e011a81abac1caea1ed",
        "frames": "f5bb245460d79df1f378",
        "denoiser": "41e593944a5c2e5d009f",
        "outcome": "9fae68cde9a68bd1974a",
        "rollouts": "e5bf4a718b296299bd4f",
        "fidelity": "ecd69f3cfcca1d3ef69a",
        "policy": "1cc91191b42ddd82695a",
        "returns": "7b1e7d7eb4d35aa357aa",
    }


@pytest.mark.parametrize("field", ALTERABLE)
def test_a_field_changes_the_stages_it_reaches_and_no_other(field: str) -> None:
    changed = changed_stages(SMOKE, altered(SMOKE, field))
    assert changed == REACHED[section_of(field)]
    if changed and field not in {"seed", "data_seed"}:
        assert first_stage_of_field(field) == next(stage for stage in STAGES if stage in changed)


def test_golden_keys_of_smoke_online() -> None:
    """As above, for the online protocol; references are those of the static one."""
    assert keys_of(ONLINE) == {
        "references": "6e011a81abac1caea1ed",
        "agent": "92157d4accc393bd872d",
        "rollouts": "0d4237849b85d10c93e1",
        "fidelity": "93b9105cfb25719b9d91",
        "returns": "1607056449144085f1ed",
    }


SCORED_ONLINE: frozenset[StageName] = frozenset({"agent", "rollouts", "fidelity", "returns"})


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
    for field in ("denoiser.history", "outcome.lstm_size", "sampler.steps", "rollouts.num_starts"):
        assert keys_of(altered(real, field)) == keys_of(real)
    for field in ("policy.gamma", "online.final_epochs", "seed", "view.height"):
        assert keys_of(altered(real, field)) != keys_of(real)


def test_every_field_is_covered() -> None:
    """The only fields left out decide which stages there are, or belong to the other protocol."""
    left_out = {name for name in FIELDS if name.split(".")[0] not in REACHED}
    assert set(FIELDS) - set(ALTERABLE) == left_out
    assert {name.split(".")[0] for name in left_out} == {"family", "imported", "protocol", "online"}


@given(st.sets(st.sampled_from(ALTERABLE), max_size=5))
def test_fields_together_change_the_union(fields: set[str]) -> None:
    after = SMOKE
    for field in fields:
        after = altered(after, field)
    expected: frozenset[StageName] = frozenset().union(*(REACHED[section_of(f)] for f in fields))
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
                "numerics": NUMERICS[spec.stage],
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
        shared = stage in {"references", "frames", "denoiser", "outcome"}
        assert len({run[stage] for run in runs}) == (1 if shared else 3)


def test_baselines_have_keys_of_their_own_and_ignore_what_is_trained() -> None:
    last = SMOKE.model_copy(update={"family": "copy_last"})
    median = SMOKE.model_copy(update={"family": "median_background"})
    assert set(keys_of(last)) == {"references", "rollouts", "fidelity"}
    assert keys_of(last)["references"] == keys_of(SMOKE)["references"]
    assert len({keys_of(config)["rollouts"] for config in (last, median, SMOKE)}) == 3
    for field in ("sampler.steps", "denoiser.updates", "policy.gamma", "frames.num_frames", "seed"):
        assert keys_of(altered(last, field)) == keys_of(last)
    for field in ("view.height", "rollouts.horizon_steps", "references.num_starts", "data_seed"):
        assert keys_of(altered(last, field)) != keys_of(last)
