"""Lambda-returns of trajectories with ends."""

import torch
from torch import Tensor


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
