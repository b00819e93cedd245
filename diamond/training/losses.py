"""The losses of the three trained parts as functions of the update.

Data, noise and network come together here.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond.agent.actor_critic import actor_critic_loss, burn_in
from diamond.config.networks import PolicyConfig, RewardEndConfig
from diamond.data.dataset import SegmentSource, draw_starts
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.reward_end_net import Recurrent, RewardEndNet
from diamond.records import Segments
from diamond.rng import StreamNoise, categorical, torch_generator
from diamond.seeds import Purpose
from diamond.training.state import Loss
from diamond.world.denoiser import Denoiser
from diamond.world.imagination import Decision, ImaginationPolicy, imagine
from diamond.world.interface import S, WorldModel

PADDING = -100
"""Class of what counts in no mean: cross-entropy leaves it out of sum, number and gradient."""


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters."""
    return next(module.parameters()).device


def denoiser_loss(denoiser: Denoiser, sampler: SegmentSource, seed: int) -> Loss:
    """The denoising loss on fresh segments, one generator per (purpose, update)."""

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        device = device_of(denoiser)
        generator = torch_generator(seed, Purpose.DENOISER_SEGMENTS, update)
        segments = sampler.sample(denoiser.config.batch_size, generator, device)
        noise = torch_generator(seed, Purpose.DENOISER_NOISE, update, device=device)
        return denoiser.loss(segments, noise), {}

    return loss_of


def reward_end_loss(
    net: RewardEndNet, config: RewardEndConfig, sampler: SegmentSource, seed: int
) -> Loss:
    """Cross-entropy of clipped rewards and ends on fresh segments with their true final frames.

    Both are means over the env steps of all segments; padding comes after them, so that the LSTM
    has not read it anywhere a loss is taken.
    """

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        generator = torch_generator(seed, Purpose.REWARD_END_SEGMENTS, update)
        segments = sampler.sample(config.batch_size, generator, device_of(net))
        reward_loss, end_loss = _reward_end_terms(net, segments)
        parts = {"reward_loss": reward_loss.detach(), "end_loss": end_loss.detach()}
        return reward_loss + end_loss, parts

    return loss_of


def _reward_end_terms(net: RewardEndNet, segments: Segments) -> tuple[Tensor, Tensor]:
    rewards, ends, _ = net(segments.frames[:, :-1], segments.actions, segments.frames[:, 1:], None)
    reward_classes = (segments.rewards.sign().long() + 1).masked_fill(~segments.valid, PADDING)
    end_classes = segments.ends.masked_fill(~segments.valid, PADDING)
    reward_loss = F.cross_entropy(
        rewards.flatten(0, 1), reward_classes.flatten(), ignore_index=PADDING
    )
    end_loss = F.cross_entropy(ends.flatten(0, 1), end_classes.flatten(), ignore_index=PADDING)
    return reward_loss, end_loss


def policy_loss(
    net: ActorCriticNet,
    config: PolicyConfig,
    world: WorldModel[S],
    starts: SegmentSource,
    seed: int,
) -> Loss:
    """The actor-critic loss on trajectories imagined from fresh real starts (`draw_starts`)."""

    def loss_of(update: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        device = device_of(net)
        start_generator = torch_generator(seed, Purpose.POLICY_STARTS, update)
        action_generator = torch_generator(seed, Purpose.POLICY_ACTIONS, update, device=device)
        noise = StreamNoise(torch_generator(seed, Purpose.POLICY_NOISE, update, device=device))

        def restart(num: int) -> tuple[Tensor, Tensor]:
            return draw_starts(starts, num, start_generator, device)

        imagined = imagine(
            world,
            imagination_policy(net, config.burn_in_frames, action_generator),
            restart,
            lambda _: noise,
            (config.batch_size, config.horizon_steps),
        )
        return actor_critic_loss(imagined, config)

    return loss_of


def imagination_policy(
    net: ActorCriticNet, burn_in_frames: int, generator: torch.Generator
) -> ImaginationPolicy:
    """The actor-critic network as the callables that imagination takes; actions are sampled."""

    def act(frame: Tensor, memory: Recurrent) -> Decision:
        logits, value, following = net(frame, memory)
        uniforms = torch.rand(len(frame), generator=generator, device=frame.device)
        return Decision(categorical(logits.detach(), uniforms), logits, value, following)

    def warm_up(frames: Tensor) -> Recurrent:
        return burn_in(net, frames[:, -burn_in_frames:])

    def value_of(frame: Tensor, memory: Recurrent) -> Tensor:
        value: Tensor = net(frame, memory)[1]
        return value

    return ImaginationPolicy(act, warm_up, value_of)
