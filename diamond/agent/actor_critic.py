"""Acting with the actor-critic network and the loss that trains it on trajectories."""

import torch.nn.functional as F
from torch import Tensor

from diamond.agent.returns import lambda_returns
from diamond.config.networks import PolicyConfig
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.records import Trajectories


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
        config: gamma, lambda, weights.

    Returns:
        The loss (a scalar) and its parts without gradient.

    Source: arXiv:2405.12399, appendix E, equations 12 to 15.
    """
    returns = lambda_returns(
        batch.rewards.sign(), batch.ends, batch.next_values, config.gamma, config.lambda_
    )
    log_probabilities = batch.logits.log_softmax(dim=-1)
    taken = log_probabilities.gather(-1, batch.actions[..., None]).squeeze(-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1).mean()
    actor_loss = -(taken * (returns - batch.values).detach()).mean()
    value_loss = F.mse_loss(batch.values, returns)
    loss = actor_loss + config.value_weight * value_loss - config.entropy_weight * entropy
    parts = {
        "actor_loss": actor_loss.detach(),
        "value_loss": value_loss.detach(),
        "entropy": entropy.detach(),
        "imagined_reward": batch.rewards.sum(dim=1).mean(),
    }
    return loss, parts
