"""The actor-critic as a part: it is trained on trajectories that it imagines in a world model."""

from collections.abc import Callable, Mapping
from typing import Any, assert_never

import torch
from torch import Tensor

from diamond.agent.actor_critic import actor_critic_loss, burn_in, ppo_losses
from diamond.config.networks import PolicyConfig
from diamond.data.segments import draw_starts
from diamond.errors import StageFailedError
from diamond.families.interface import WorldModel
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.nets.blocks import Recurrent
from diamond.part import CPU, Draw, Extent, Losses, Part, Passes
from diamond.records import RealStarts, Trajectories
from diamond.rng import StreamNoise, categorical
from diamond.seeds import Purpose
from diamond.world.imagination import Decision, ImaginationPolicy, imagine


def policy_loss(net: ActorCriticNet, config: PolicyConfig, draw: Draw) -> Losses:
    """The actor-critic loss on trajectories imagined from fresh real starts (`draw_starts`)."""
    return actor_critic_loss(_imagined(net, config, draw), config)


def policy_passes(net: ActorCriticNet, config: PolicyConfig, draw: Draw) -> Passes:
    """The losses of an update: one, or those of PPO on the same trajectories."""
    order = draw.generator(Purpose.POLICY_MINIBATCHES, CPU)
    return learn_from(lambda: _imagined(net, config, draw), net, config, order)


def learn_from(
    play: Callable[[], Trajectories],
    net: ActorCriticNet,
    config: PolicyConfig,
    order: torch.Generator,
) -> Passes:
    """The losses of an update of the policy, by its algorithm.

    Args:
        play: Plays trajectories (b, t), in imagination or in the game; called once.
        net: The policy.
        order: CPU generator that shuffles the trajectories of PPO.
    """
    match config.algorithm:
        case "reinforce":
            return actor_critic_loss(play(), config)
        case "ppo":
            with torch.no_grad():  # PPO runs the policy over them again
                played = play()
            return ppo_losses(net, played, config, order)
        case _:
            assert_never(config.algorithm)


def _imagined(net: ActorCriticNet, config: PolicyConfig, draw: Draw) -> Trajectories:
    world: WorldModel[Any] = draw.given
    starts = draw.generator(Purpose.POLICY_STARTS, CPU)
    noise = StreamNoise(draw.generator(Purpose.POLICY_NOISE))

    def restart(num: int) -> RealStarts:
        return draw_starts(draw.source, num, starts, draw.device)

    return imagine(
        world,
        imagination_policy(net, config.burn_in_frames, draw.generator(Purpose.POLICY_ACTIONS)),
        restart,
        lambda _: noise,
        (config.batch_size, config.horizon_steps),
    )


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
    if not shape["num_actions"]:
        raise StageFailedError(
            f"policies need discrete actions; an action of these frames is {shape['action_size']} "
            "numbers\n  stop before the policy: --until fidelity"
        )
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
    """As many env steps as the world model, or the policy, is warmed up with frames.

    The last of them is the first that is imagined: an event may be there or later.
    """
    num_steps = max(world.history, config.burn_in_frames)
    places = num_steps - 1, num_steps + config.event_lead_steps - 2
    return Extent(num_steps, balance=config.event_starts, event_places=places)


POLICY = Part(
    name="policy",
    config=PolicyConfig,
    build=_build,
    init=Purpose.POLICY_INIT,
    data=_starts,
    loss=policy_loss,
    passes=policy_passes,
)
