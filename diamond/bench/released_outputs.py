"""What the released code computes from the inputs that both sides are compared on."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from diamond.bench.cases import STEPS
from diamond.bench.inputs import (
    CHECK_ROWS,
    CHECK_STEPS,
    full_precision,
    make_play,
    shared_noise,
    with_ends,
)
from diamond.bench.ours_outputs import gradient_norm
from diamond.bench.released import Released
from diamond.families.diamond.config import diamond_of


def outputs_of(side: Released, part: str) -> Mapping[str, Tensor]:
    """Outputs of a part by name, the names of `OurOutputs.outputs`."""
    agent = side.agent()
    with full_precision(), shared_noise():
        match part:
            case "denoiser":
                return _denoiser(side, agent.denoiser)
            case "reward_end":
                return _reward_end(side, agent.rew_end_model)
            case "policy":
                return _policy(side, agent.actor_critic)
            case "imagination":
                return _imagination(side, agent)
            case _:
                raise AssertionError(part)


@contextmanager
def clamped(denoiser: Any) -> Iterator[None]:
    """Leave out the truncation of the denoiser's output, keep its clamp."""

    def combine(noisy: Tensor, output: Tensor, cs: Any) -> Tensor:
        combined: Tensor = cs.c_skip * noisy + cs.c_out * output
        return combined.clamp(-1, 1)

    with patch.object(denoiser, "wrap_model_output", combine):
        yield


def _denoiser(side: Released, net: Any) -> dict[str, Tensor]:
    config = diamond_of(side.config).denoiser
    num_frames = config.history + config.autoregressive_passes
    rows = min(config.batch_size, CHECK_ROWS)
    batch = side.batch(side.segments(rows, num_frames - 1), num_frames).to(side.device)
    loss, _ = net(batch)
    return {"loss": loss, "gradient norm": gradient_norm(net, loss)}


def _reward_end(side: Released, net: Any) -> dict[str, Tensor]:
    config = diamond_of(side.config).reward_end
    rows = min(config.batch_size, CHECK_ROWS)
    segments = with_ends(side.segments(rows, config.sequence_steps))
    loss, parts = net(side.batch(segments, config.sequence_steps + 1).to(side.device))
    named = {"reward loss": parts["loss_rew"], "end loss": parts["loss_end"]}
    return named | {"gradient norm": gradient_norm(net, loss)}


def _policy(side: Released, net: Any) -> dict[str, Tensor]:
    play = make_play(side.config, side.num_actions, (CHECK_ROWS, CHECK_STEPS)).to(side.device)
    memory = (play.frames.new_zeros(CHECK_ROWS, net.lstm_dim),) * 2
    rows = []
    for frame in play.frames.contiguous().unbind(dim=1):
        logits, value, memory = net.predict_act_value(frame, memory)
        rows.append((logits, value))
    logits, values = (torch.stack(column, dim=1) for column in zip(*rows, strict=True))
    ends = play.ends.long()
    played = (
        None,
        play.actions,
        play.rewards,
        ends,
        torch.zeros_like(ends),
        logits,
        values,
        play.next_values,
        None,
    )
    config = side.config.policy
    net.env_loop = SimpleNamespace(send=lambda _: played)
    net.loss_cfg = importlib.import_module("models.actor_critic").ActorCriticLossConfig(
        CHECK_STEPS, config.gamma, config.lambda_, config.value_weight, config.entropy_weight
    )
    loss, _ = net()
    return {
        "logits": logits,
        "values": values,
        "loss": loss,
        "gradient norm": gradient_norm(net, loss),
    }


@torch.no_grad()
def _imagination(side: Released, agent: Any) -> dict[str, Tensor]:
    history = diamond_of(side.config).denoiser.history
    segments = side.segments(CHECK_ROWS, history)
    batch, action = side.batch(segments, history), segments.actions[:, -1].to(side.device)
    found: dict[str, Tensor] = {}
    for steps in STEPS:
        env = side.world(agent, (steps, 2, CHECK_ROWS), batch)
        env.reset()
        env.act_buffer[:, -1] = action
        with clamped(agent.denoiser):
            frame, _ = env.sampler.sample(env.obs_buffer, env.act_buffer)
        rewards, ends, _ = agent.rew_end_model.predict_rew_end(
            env.obs_buffer[:, -1:],
            env.act_buffer[:, -1:],
            frame[:, None],
            (env.hx_rew_end, env.cx_rew_end),
        )
        found |= {
            f"n={steps} frame": frame,
            f"n={steps} reward logits": rewards,
            f"n={steps} end logits": ends,
        }
    return found
