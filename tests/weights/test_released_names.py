"""Names of released agents: both ways, strict, and errors that name the tensor."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from diamond.config.presets import make_preset
from diamond.errors import WeightsError
from diamond.families.diamond.config import DenoiserConfig, diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.rng import seeded_init
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY
from diamond.weights.released_names import from_released, to_released

PAPER = make_preset("paper", "Breakout")
SMOKE = make_preset("smoke", "Breakout")


def networks(preset: str, num_actions: int = 4) -> dict[str, nn.Module]:
    config, shape = make_preset(preset, "Breakout"), {"num_actions": num_actions}
    shape |= {"height": config.view.height, "width": config.view.width}
    with seeded_init(0, Purpose.DENOISER_INIT):
        return {
            "denoiser": DENOISER.build(diamond_of(config).denoiser, shape),
            "reward_end": REWARD_END.build(diamond_of(config).reward_end, shape),
            "policy": POLICY.build(config.policy, shape),
        }


def states(nets: dict[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    return {part: dict(net.state_dict()) for part, net in nets.items()}


@pytest.fixture(scope="module")
def smoke_agent() -> dict[str, Tensor]:
    return to_released(states(networks("smoke")))


@pytest.mark.parametrize("preset", ["smoke", "small", "paper"])
def test_there_and_back_keeps_every_tensor(preset: str) -> None:
    nets = networks(preset)
    before = states(nets)
    agent = to_released(before)
    assert len(agent) == sum(len(state) for state in before.values())
    after = from_released(agent)
    assert set(after) == {"denoiser", "reward_end", "policy"}
    for part, net in nets.items():
        assert all(after[part][name] is tensor for name, tensor in before[part].items())
        net.load_state_dict(after[part], strict=True)
    assert to_released(after).keys() == agent.keys()


def test_a_denoiser_of_another_depth_keeps_its_levels_apart() -> None:
    with seeded_init(0, Purpose.DENOISER_INIT):
        config = DenoiserConfig.model_validate(
            diamond_of(SMOKE).denoiser.model_dump()
            | {"channels": (8, 16, 24), "depths": (1, 3, 2), "middle_attention": True}
        )
        other = DENOISER.build(config, {"num_actions": 3})
    parts = states(networks("smoke")) | {"denoiser": dict(other.state_dict())}
    agent = to_released(parts)
    assert "denoiser.inner_model.unet.mid_blocks.resblocks.1.attn.qkv_proj.bias" in agent
    assert "denoiser.inner_model.unet.d_blocks.1.resblocks.2.conv1.weight" in agent
    assert "denoiser.inner_model.unet.upsamples.2.conv.weight" in agent
    other.load_state_dict(from_released(agent)["denoiser"], strict=True)


def test_names_of_the_released_modules() -> None:
    """Written by hand from the released modules, one for each rule."""
    ours = from_released(to_released(states(networks("paper"))))
    agent = to_released(ours)
    same = {
        "denoiser.inner_model.noise_emb.weight": ("denoiser", "net.noise_features.weight"),
        "denoiser.inner_model.act_emb.0.weight": ("denoiser", "net.action_embedding.weight"),
        "denoiser.inner_model.cond_proj.2.bias": ("denoiser", "net.cond.2.bias"),
        "denoiser.inner_model.norm_out.norm.bias": ("denoiser", "net.norm_out.bias"),
        "denoiser.inner_model.unet.u_blocks.3.resblocks.2.proj.weight": (
            "denoiser",
            "net.unet.up.3.2.skip.weight",
        ),
        "denoiser.inner_model.unet.downsamples.1.conv.bias": (
            "denoiser",
            "net.unet.downsamples.0.conv.bias",
        ),
        "denoiser.inner_model.unet.mid_blocks.resblocks.1.attn.norm.norm.weight": (
            "denoiser",
            "net.unet.middle.1.attention.norm.weight",
        ),
        "rew_end_model.act_emb.weight": ("reward_end", "action_embedding.weight"),
        "rew_end_model.encoder.blocks.3.resblocks.1.conv2.weight": (
            "reward_end",
            "encoder.levels.3.1.conv2.weight",
        ),
        "rew_end_model.encoder.blocks.4.resblocks.0.attn.out_proj.weight": (
            "reward_end",
            "encoder.last.0.attention.out.weight",
        ),
        "rew_end_model.encoder.downsamples.3.conv.weight": (
            "reward_end",
            "encoder.downsamples.2.conv.weight",
        ),
        "rew_end_model.lstm.weight_hh_l0": ("reward_end", "lstm.weight_hh_l0"),
        "actor_critic.encoder.encoder.5.f.0.norm.weight": ("policy", "encoder.5.norm.weight"),
        "actor_critic.encoder.encoder.5.skip_projection.bias": ("policy", "encoder.5.skip.bias"),
        "actor_critic.encoder.encoder.7.f.2.weight": ("policy", "encoder.7.conv.weight"),
        "actor_critic.critic_linear.bias": ("policy", "critic.bias"),
    }
    parts: dict[str, dict[str, Tensor]] = dict(ours.items())
    for released, (part, name) in same.items():
        assert agent[released] is parts[part][name], released


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("denoiser.inner_model.conv_inn.weight", "the nearest name is 'denoiser.inner_model.conv"),
        ("rew_end_model.encoder.blocks.1.resblocks.0.conv3.bias", "'rew_end_model.encoder.blocks"),
        ("actor_critic.encoder.encoder.2.f.2.bias", "of the policy"),
        ("optimizer.step", "it begins with one of denoiser.inner_model."),
    ],
)
def test_an_unknown_name_is_named(smoke_agent: dict[str, Tensor], name: str, said: str) -> None:
    with pytest.raises(WeightsError, match="unknown tensor") as caught:
        from_released(smoke_agent | {name: torch.zeros(1)})
    assert repr(name) in str(caught.value)
    assert said in str(caught.value)
    assert "expected: " in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "denoiser.inner_model.noise_emb.weight",
        "denoiser.inner_model.unet.u_blocks.0.resblocks.1.proj.bias",
        "denoiser.inner_model.unet.upsamples.1.conv.weight",
        "rew_end_model.encoder.blocks.2.resblocks.1.attn.qkv_proj.weight",
        "rew_end_model.lstm.bias_hh_l0",
        "actor_critic.encoder.encoder.3.f.0.norm.bias",
        "actor_critic.actor_linear.weight",
    ],
)
def test_a_missing_name_is_named(smoke_agent: dict[str, Tensor], name: str) -> None:
    rest = {other: tensor for other, tensor in smoke_agent.items() if other != name}
    with pytest.raises(WeightsError, match="missing tensor") as caught:
        from_released(rest)
    assert repr(name) in str(caught.value)
    assert "expected: all of" in str(caught.value)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("inner_model.", "inner_model._orig_mod.module."),
        lambda name: f"_orig_mod.{name}" if name.startswith("actor") else name,
    ],
    ids=["module", "_orig_mod", "both", "inside", "in a part"],
)
def test_names_of_wrappers_are_taken_off(
    smoke_agent: dict[str, Tensor], wrap: Callable[[str], str]
) -> None:
    wrapped = {wrap(name): tensor for name, tensor in smoke_agent.items()}
    assert wrapped.keys() != smoke_agent.keys()
    found, expected = from_released(wrapped), from_released(smoke_agent)
    for part, state in expected.items():
        assert found[part].keys() == state.keys()
        assert all(found[part][name] is tensor for name, tensor in state.items())


def test_a_tensor_may_not_be_there_with_and_without_its_wrapper(
    smoke_agent: dict[str, Tensor],
) -> None:
    name = "actor_critic.actor_linear.bias"
    with pytest.raises(WeightsError, match=f"'module.{name}' is '{name}' once more"):
        from_released(smoke_agent | {f"module.{name}": smoke_agent[name]})


def test_a_whole_part_may_not_be_missing(smoke_agent: dict[str, Tensor]) -> None:
    rest = {n: tensor for n, tensor in smoke_agent.items() if not n.startswith("actor_critic.")}
    with pytest.raises(WeightsError, match=r"missing tensor 'actor_critic\.actor_linear\.bias'"):
        from_released(rest)
    parts = from_released(smoke_agent)
    del parts["policy"]
    with pytest.raises(WeightsError, match=r"expected: \['denoiser', 'policy', 'reward_end'\]"):
        to_released(parts)


def test_errors_of_our_own_names_are_of_our_side() -> None:
    parts = states(networks("smoke"))
    del parts["reward_end"]["head.2.weight"]
    with pytest.raises(WeightsError, match=r"state dict: missing tensor 'head\.2\.weight'"):
        to_released(parts)
