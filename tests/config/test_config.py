"""Presets, overrides and canonical JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from diamond.config.base import Record, canonical, canonical_json, content_hash
from diamond.config.game_names import GAMES, GAMES_WITH_EXPERT
from diamond.config.overrides import (
    AXIS_FIELDS,
    BLOCK_FIELDS,
    SHARED_SECTIONS,
    check_field,
    field_description,
    get_field,
    override,
)
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from tests.plan.test_stage_keys import FIELDS, OF_OTHER_GAMES, ONLINE, SMOKE, keys_of, section_of

VARIABLE_FIELDS = tuple(
    name for name in FIELDS if name not in BLOCK_FIELDS and section_of(name) not in SHARED_SECTIONS
)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_for_every_game(preset: str, game: str) -> None:
    config = make_preset(preset, game)
    # `model_copy` does not validate: read the values back through the validators.
    assert RunConfig.model_validate(config.model_dump()) == config
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    assert (config.preset, config.game, config.world.family) == (preset, game, "diamond")
    expected = "expert" if game in GAMES_WITH_EXPERT else "random_held"
    assert config.frames.play.collector == config.references.play.collector == expected


def test_games_are_the_26_of_atari_100k() -> None:
    assert len(GAMES) == len(set(GAMES)) == 26
    assert set(GAMES_WITH_EXPERT) <= set(GAMES)


# arXiv 2405.12399, appendices D and E, and the configs of its released code, typed by hand.
PAPER: dict[str, Any] = {
    "environment.frame_skip": 4,
    "environment.max_noops": 30,
    "environment.actions": None,
    "view.height": 64,
    "view.width": 64,
    "view.crop": None,
    "frames.num_frames": 100_000,
    "denoiser.history": 4,
    "denoiser.channels": (64, 64, 64, 64),
    "denoiser.depths": (2, 2, 2, 2),
    "denoiser.cond_channels": 256,
    "denoiser.patch": 1,
    "denoiser.middle_attention": True,
    "denoiser.sigma_data": 0.5,
    "denoiser.offset_noise": 0.3,
    "denoiser.noise_loc": -0.4,
    "denoiser.noise_scale": 1.2,
    "denoiser.noise_min": 0.002,
    "denoiser.noise_max": 20,
    "denoiser.autoregressive_passes": 2,
    "denoiser.quantizer": "floor",
    "denoiser.ema": 0,
    "denoiser.optimizer.lr": 1e-4,
    "denoiser.optimizer.eps": 1e-8,
    "denoiser.optimizer.weight_decay": 1e-2,
    "denoiser.optimizer.warmup_updates": 100,
    "denoiser.optimizer.schedule": "constant",
    "denoiser.optimizer.max_grad_norm": 1,
    "denoiser.batch_size": 32,
    "denoiser.final_frames": "left_out",
    # A first epoch of 10000 and 1000 epochs of 400.
    "denoiser.updates": 410_000,
    "reward_end.channels": (32, 32, 32, 32),
    "reward_end.depths": (2, 2, 2, 2),
    "reward_end.cond_channels": 128,
    "reward_end.lstm_size": 512,
    "reward_end.sequence_steps": 19,
    "reward_end.optimizer.weight_decay": 1e-2,
    "reward_end.optimizer.max_grad_norm": 100,
    "reward_end.batch_size": 32,
    "sampler.steps": 3,
    "sampler.sigma_min": 0.002,
    "sampler.sigma_max": 5,
    "sampler.rho": 7,
    "sampler.order": 1,
    "sampler.churn": 0,
    "sampler.init_noise": "unit",
    "sampler.quantizer": "floor",
    "policy.channels": (32, 32, 64, 64),
    "policy.lstm_size": 512,
    "policy.horizon_steps": 15,
    "policy.burn_in_frames": 4,
    "policy.gamma": 0.985,
    "policy.lambda_": 0.95,
    "policy.entropy_weight": 0.001,
    "policy.optimizer.lr": 1e-4,
    "policy.optimizer.weight_decay": 0,
    "policy.optimizer.max_grad_norm": 100,
    "policy.batch_size": 32,
    "evaluation.num_episodes": 100,
}


@pytest.mark.parametrize(("field", "value"), PAPER.items())
def test_paper_preset_has_the_numbers_of_the_paper(field: str, value: Any) -> None:
    assert get_field(make_preset("paper", "Boxing"), field) == value


def test_unknown_preset_and_game_give_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown preset 'papr'. Did you mean 'paper'\?"):
        make_preset("papr", "Boxing")
    with pytest.raises(RequestError, match=r"unknown game 'boxing'. Did you mean 'Boxing'\?"):
        make_preset("tiny", "boxing")


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_description(field: str) -> None:
    assert len(field_description(field)) > 8


def test_override_sets_the_field_and_nothing_else() -> None:
    after = override(SMOKE, {"denoiser.channels": "[8,8]", "sampler.order": "2"})
    assert diamond_of(after).denoiser.channels == (8, 8)
    assert diamond_of(after).sampler.order == 2
    back = after.model_dump() | {}
    world = back["world"]
    world["denoiser"]["channels"], world["sampler"]["order"] = (16, 16), 1
    assert RunConfig.model_validate(back) == SMOKE


def test_override_reads_text_numbers_alike() -> None:
    first = override(SMOKE, {"denoiser.optimizer.lr": "1"})
    second = override(SMOKE, {"denoiser.optimizer.lr": "1.0"})
    assert keys_of(first) == keys_of(second)


@pytest.mark.parametrize("field", [*VARIABLE_FIELDS, *sorted(OF_OTHER_GAMES - AXIS_FIELDS.keys())])
def test_a_bad_value_is_named_with_its_field(field: str) -> None:
    config = ONLINE if field.startswith("online.") else SMOKE
    if field in OF_OTHER_GAMES:
        minatar = field == "environment.trail"
        config = make_preset("smoke", "MinAtar/Breakout-v1" if minatar else "CarRacing-v3")
    with pytest.raises(RequestError) as caught:
        override(config, {field: "nonsense"})
    text = str(caught.value)
    assert f"{field}='nonsense': " in text
    assert ("should match" if field == "denoiser.network" else "should be") in text


@pytest.mark.parametrize(
    ("field", "text", "rule"),
    [
        ("sampler.steps", "0", "sampler.steps=0: input should be greater than or equal to 1"),
        ("sampler.steps", "1001", "sampler.steps=1001: input should be less than or equal to 1000"),
        ("sampler.steps", "2.5", "sampler.steps=2.5: input should be a valid integer"),
        ("sampler.steps", "true", "sampler.steps='true': input should be a valid integer"),
        ("sampler.rho", "true", "sampler.rho='true': input should be a valid number"),
        ("sampler.rho", "NaN", "sampler.rho=nan: input should be a finite number"),
        ("sampler.order", "3", "sampler.order=3: input should be 1 or 2"),
        ("sampler.steps", "9" * 5000, "sampler.steps="),
        ("sampler.steps", "[" * 100_000, "sampler.steps="),
        ("denoiser.channels", "[16,0]", "denoiser.channels=0: input should be greater than"),
        ("sampler.sigma_min", "11", "sigma_min 11.0 must be below sigma_max 5.0"),
        ("denoiser.depths", "[1]", "channels (16, 16) and depths (1,) differ in length"),
        (
            "denoiser.history",
            "3",
            "not a multiple of history 3; allowed with it: history 1, 2, 4, 8, 16",
        ),
        ("denoiser.noise_min", "30", "noise_min 30.0 must be below noise_max 20.0"),
        ("view.crop", "[5,4,0,9]", "crop (5, 4, 0, 9) must be top < bottom"),
        ("view.crop", "[0,210,0,161]", "must be within the screen of 210 x 160 pixels"),
        ("view.height", "33", "view.height=33 is not a multiple of denoiser.patch=2"),
        ("policy.burn_in_frames", "17", "policy.burn_in_frames=17 is above the 16 context frames"),
        ("policy.channels", "[8,8,8,8,8,8]", "is too small for 6 policy blocks"),
        ("frames.play.collector", "expert", "Boxing has no scripted expert, only Breakout, Pong"),
        ("frames.play.collector", "policy", "with the axis collector=CHECKPOINT"),
    ],
)
def test_a_broken_rule_is_named(field: str, text: str, rule: str) -> None:
    with pytest.raises(RequestError) as caught:
        override(SMOKE, {field: text})
    message = str(caught.value)
    assert rule in message
    assert f"({field}={text})" in message


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("sampler.step", "sampler.steps"),
        ("denoiser.chanels", "denoiser.channels"),
        ("frames.play.colector", "frames.play.collector"),
        ("policy.lambda", "policy.lambda_"),
    ],
)
def test_an_unknown_field_gives_the_nearest(wrong: str, match: str) -> None:
    with pytest.raises(RequestError, match=rf"unknown axis '{wrong}'. Did you mean '{match}'\?"):
        check_field(wrong)


def test_a_section_is_not_a_field() -> None:
    with pytest.raises(RequestError, match="unknown axis 'sampler'"):
        check_field("sampler")


@pytest.mark.parametrize(
    ("block", "flag"),
    [
        ("game", "--game A,B"),
        ("games", "--game A,B"),
        ("seed", "--seeds N"),
        ("seeds", "--seeds N"),
        ("preset", "--preset"),
    ],
)
def test_blocks_are_refused_with_their_flag(block: str, flag: str) -> None:
    with pytest.raises(RequestError, match=flag):
        check_field(block)


@pytest.mark.parametrize(
    "field", ["references.num_starts", "inverse_dynamics.updates", "rollouts.num_starts"]
)
def test_what_arms_are_scored_against_is_refused(field: str) -> None:
    with pytest.raises(RequestError, match=f"{field} cannot be an axis"):
        check_field(field)


class Old(Record):
    width: int
    name: str


class New(Record):
    """`Old` with fields in another order and two later ones that have a neutral value."""

    name: str
    churn: float = Field(json_schema_extra={"neutral": 0.0})
    levels: tuple[int, ...] | None = Field(json_schema_extra={"neutral": None})
    width: int


class Outer(Record):
    inner: New


def test_a_field_at_its_neutral_value_keeps_the_hash() -> None:
    old = Old(width=3, name="é")
    new = New(name="é", churn=0.0, levels=None, width=3)
    assert canonical(new) == {"name": "é", "width": 3}
    assert content_hash(canonical(new)) == content_hash(canonical(old))
    assert canonical(Outer(inner=new)) == {"inner": {"name": "é", "width": 3}}


@pytest.mark.parametrize("update", [{"churn": 0.5}, {"levels": (1,)}, {"width": 4}])
def test_any_other_value_changes_the_hash(update: dict[str, Any]) -> None:
    new = New(name="é", churn=0.0, levels=None, width=3)
    assert content_hash(canonical(new.model_copy(update=update))) != content_hash(canonical(new))


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 2.5], "a": {"d": None, "c": "é"}}) == (
        '{"a":{"c":"\\u00e9","d":null},"b":[1,2.5]}'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=3), max_size=6))
def test_hash_does_not_depend_on_order(data: dict[str, int | str]) -> None:
    backwards = dict(reversed(list(data.items())))
    assert content_hash(data) == content_hash(backwards)


@pytest.mark.parametrize("preset", PRESETS)
def test_online_presets_are_valid(preset: str) -> None:
    config = make_preset(preset, "Pong", "online")
    assert RunConfig.model_validate(config.model_dump()) == config
    assert config.online is not None
    collecting, every = config.online.num_epochs(config.online.initial.max_env_steps)
    assert 0 < collecting < every


# arXiv:2405.12399, appendix E, and the released configuration.
PAPER_ONLINE: dict[str, Any] = {
    "environment": "imagination",
    "env_steps": 100_000,
    "initial.min_env_steps": 5_000,
    "initial.max_env_steps": 10_000,
    "initial.minority_rewards": 10,
    "epoch_env_steps": 100,
    "final_epochs": 50,
    "max_episode_steps": 27_000,
    "epsilon": 0.01,
    "recency_weights": (0.1, 0.1, 0.1, 0.7),
    "first_updates.denoiser": 10_000,
    "first_updates.reward_end": 10_000,
    "first_updates.policy": 5_000,
    "updates.denoiser": 400,
    "updates.reward_end": 400,
    "updates.policy": 400,
    "test.every_epochs": 10,
    "test.num_episodes": 4,
}


def test_paper_online_has_the_published_numbers() -> None:
    config = make_preset("paper", "Boxing", "online")
    assert {f"online.{name}" for name in PAPER_ONLINE} == {f for f in FIELDS if f[:7] == "online."}
    for name, value in PAPER_ONLINE.items():
        assert get_field(config, f"online.{name}") == value
    assert config.online is not None
    # 5,000 env steps and 950 epochs of 100 more; then 50 without collection.
    assert config.online.num_epochs(5_000) == (950, 1_000)
    assert config.evaluation.num_episodes == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"initial.min_env_steps": "90"}, "min_env_steps 90 <= max_env_steps 80"),
        ({"initial.max_env_steps": "120"}, "<= env_steps 100 must hold"),
        ({"epoch_env_steps": "30"}, "not a whole number of epochs of 30 env steps"),
        ({"recency_weights": "[0.5,0.4]"}, "must sum to 1"),
        ({"environment": "dream"}, "'imagination' or 'real'"),
        ({"max_episode_steps": "1"}, "max_episode_steps=1: training segments"),
        ({"epsilon": "1.5"}, "less than or equal to 1"),
        ({"updates.policy": "0", "first_updates.policy": "0"}, "no updates"),
    ],
)
def test_online_values_that_contradict_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        override(ONLINE, {f"online.{name}": text for name, text in values.items()})
