"""Acting with the actor-critic network and the loss that trains it on trajectories."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from diamond.config.networks import PolicyConfig
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.records import Trajectories

ADVANTAGE_EPS = 1e-8
"""Added to the deviation of advantages, which may be 0."""


def burn_in(net: ActorCriticNet, frames: Tensor, padded: Tensor) -> Recurrent:
    """Run real frames (b, t, c, h, w) through the network, all but the last, from a zero memory.

    Nothing is kept of the first `padded` (b,) int64.
    """
    return net.remember(frames[:, :-1], padded)


def actor_critic_loss(
    batch: Trajectories, config: PolicyConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """REINFORCE with a value baseline, value regression to lambda-returns, entropy bonus.

    Args:
        batch: Trajectories (b, t).
        config: gamma, lambda, weights, whether advantages are normalised.

    Returns:
        The loss (a scalar) and its parts without gradient.

    Source: arXiv:2405.12399, appendix E, equations 12 to 15.
    """
    returns = _returns(batch, config)
    taken, entropy = _log_probabilities(batch.logits, batch.actions)
    actor_loss = -(taken * _advantages(returns, batch.values, config)).mean()
    return _whole_loss(batch, config, actor_loss, (batch.values, returns), entropy)


def ppo_losses(
    net: ActorCriticNet, batch: Trajectories, config: PolicyConfig, generator: torch.Generator
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """The clipped objective of PPO, one loss a minibatch; an optimiser step comes after each.

    Args:
        net: The policy, which runs over the trajectories again for each loss.
        batch: Trajectories (b, t) with what the policy saw; their logits and values are old ones.
        config: gamma, lambda, weights, epochs, minibatches, clip.
        generator: CPU generator that shuffles the trajectories.

    Yields:
        The loss (a scalar) and its parts without gradient.

    Source: Schulman et al. 2017 (arXiv:1707.06347), equations 7 and 9; values are regressed to
        lambda-returns without a clip.
    """
    assert batch.seen is not None
    returns = _returns(batch, config)
    advantages = _advantages(returns, batch.values, config)
    before = _log_probabilities(batch.logits.detach(), batch.actions)[0]
    for _ in range(config.epochs):
        order = torch.randperm(len(returns), generator=generator).to(returns.device)
        for rows in order.tensor_split(config.minibatches):
            logits, values = net.over(batch.seen.rows(rows))
            taken, entropy = _log_probabilities(logits, batch.actions[rows])
            ratio = (taken - before[rows]).exp()
            clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
            gains = advantages[rows]
            actor_loss = -torch.minimum(ratio * gains, clipped * gains).mean()
            yield _whole_loss(batch, config, actor_loss, (values, returns[rows]), entropy)


def _returns(batch: Trajectories, config: PolicyConfig) -> Tensor:
    rewards = batch.rewards.sign()
    return lambda_returns(rewards, batch.ends, batch.next_values, config.gamma, config.lambda_)


def _advantages(returns: Tensor, values: Tensor, config: PolicyConfig) -> Tensor:
    """Returns above the values (b, t), without gradient."""
    found = (returns - values).detach()
    if not config.normalise_advantages:
        return found
    return (found - found.mean()) / (found.std(correction=0) + ADVANTAGE_EPS)


def _log_probabilities(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the probability of each action (b, t), and the mean entropy in nats."""
    every = logits.log_softmax(dim=-1)
    entropy = -(every.exp() * every).sum(dim=-1).mean()
    return every.gather(-1, actions[..., None]).squeeze(-1), entropy


def _whole_loss(
    batch: Trajectories,
    config: PolicyConfig,
    actor_loss: Tensor,
    regressed: tuple[Tensor, Tensor],
    entropy: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss with its value regression (values, returns) and entropy bonus, and its parts."""
    value_loss = F.mse_loss(*regressed)
    loss = actor_loss + config.value_weight * value_loss - config.entropy_weight * entropy
    parts = {
        "actor_loss": actor_loss.detach(),
        "value_loss": value_loss.detach(),
        "entropy": entropy.detach(),
        "entropy_ratio": entropy.detach() / math.log(max(2, batch.logits.shape[-1])),
        "imagined_reward": batch.rewards.sum(dim=1).mean(),
    }
    return loss, parts


def lambda_returns(
    rewards: Tensor, ends: Tensor, next_values: Tensor, gamma: float, lambda_: float
) -> Tensor:
    """Exponentially weighted mixture of n-step returns.

    G_t = r_t + gamma (1 - end_t) ((1 - lambda) V_{t+1} + lambda G_{t+1}), and G = V at the end.

    Args:
        rewards: (b, t).
        ends: (b, t) bool; nothing after an end counts for what was before it.
        next_values: (b, t) value of the frame that follows each step.
        gamma: Discount per env step.
        lambda_: Weight of longer returns, in [0, 1].

    Returns:
        (b, t), without gradient.

    Source: Sutton and Barto, equation 12.2; arXiv:2405.12399, equation 14.
    """
    continues = gamma * (~ends).to(rewards.dtype)
    following = next_values[:, -1]
    returns: list[Tensor] = []
    for index in reversed(range(rewards.shape[1])):
        mixed = (1 - lambda_) * next_values[:, index] + lambda_ * following
        following = rewards[:, index] + continues[:, index] * mixed
        returns.append(following)
    return torch.stack(returns[::-1], dim=1).detach()
