"""The actor-critic as a part: it is trained on trajectories that it imagines in a world model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diamond.agent.actor_critic import actor_critic_loss, burn_in
from diamond.config.networks import PolicyConfig
from diamond.data.segments import draw_starts
from diamond.families.interface import WorldModel
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.nets.blocks import Recurrent
from diamond.part import CPU, Draw, Extent, Losses, Part
from diamond.records import RealStarts
from diamond.rng import StreamNoise, categorical
from diamond.seeds import Purpose
from diamond.world.imagination import Decision, ImaginationPolicy, imagine


def policy_loss(net: ActorCriticNet, config: PolicyConfig, draw: Draw) -> Losses:
    """The actor-critic loss on trajectories imagined from fresh real starts (`draw_starts`)."""
    world: WorldModel[Any] = draw.given
    starts = draw.generator(Purpose.POLICY_STARTS, CPU)
    noise = StreamNoise(draw.generator(Purpose.POLICY_NOISE))

    def restart(num: int) -> RealStarts:
        return draw_starts(draw.source, num, starts, draw.device)

    imagined = imagine(
        world,
        imagination_policy(net, config.burn_in_frames, draw.generator(Purpose.POLICY_ACTIONS)),
        restart,
        lambda _: noise,
        (config.batch_size, config.horizon_steps),
    )
    return actor_critic_loss(imagined, config)


def imagination_policy(
    net: ActorCriticNet, burn_in_frames: int, generator: torch.Generator
) -> ImaginationPolicy:
    """The actor-critic network as the callables that imagination takes; actions are sampled."""

    def act(frame: Tensor, memory: Recurrent) -> Decision:
        logits, value, following = net(frame, memory)
        uniforms = torch.rand(len(frame), generator=generator, device=frame.device)
        return Decision(categorical(logits.detach(), uniforms), logits, value, following)

    def warm_up(frames: Tensor, padded: Tensor) -> Recurrent:
        left_out = max(0, frames.shape[1] - burn_in_frames)
        return burn_in(net, frames[:, left_out:], padded - left_out)

    def value_of(frame: Tensor, memory: Recurrent) -> Tensor:
        value: Tensor = net(frame, memory)[1]
        return value

    return ImaginationPolicy(act, warm_up, value_of)


def _build(config: PolicyConfig, shape: Mapping[str, int]) -> ActorCriticNet:
    return ActorCriticNet(
        ActorCriticShape(
            shape["num_actions"],
            shape["height"],
            shape["width"],
            channels=config.channels,
            lstm_size=config.lstm_size,
            precision=config.precision,
        )
    )


def _starts(config: PolicyConfig, world: WorldModel[Any]) -> Extent:
    """As many env steps as the world model, or the policy, is warmed up with frames."""
    return Extent(max(world.history, config.burn_in_frames))


POLICY = Part(
    name="policy",
    config=PolicyConfig,
    build=_build,
    init=Purpose.POLICY_INIT,
    data=_starts,
    loss=policy_loss,
)
