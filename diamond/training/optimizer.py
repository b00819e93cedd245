"""AdamW with decay groups, learning-rate schedule, gradient clipping, finite-loss check."""

import math
from collections.abc import Mapping
from inspect import unwrap

import torch
from torch import Tensor, nn

from diamond.config.networks import OptimizerConfig
from diamond.errors import StageFailedError

_DECAYED = (nn.Linear, nn.Conv2d, nn.LSTM, nn.LSTMCell)


class UncompiledAdamW(torch.optim.AdamW):
    """AdamW without what torch wraps its methods in to keep its compiler out of them.

    The wrappers load that compiler, which takes longer than torch itself; a step is one kernel.
    """

    add_param_group = unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = unwrap(torch.optim.AdamW.zero_grad)
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


def make_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW that decays the weights of linear, convolutional and recurrent layers only.

    Source: arXiv:2405.12399, released code: no decay on biases, norms and embeddings.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            is_weight = isinstance(owner, _DECAYED) and name.startswith("weight")
            (decayed if is_weight else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return UncompiledAdamW(groups, lr=config.lr, eps=config.eps, fused=True)


def learning_rate(config: OptimizerConfig, update: int, num_updates: int) -> float:
    """Learning rate of an update (0-based).

    Linear warm-up, then constant or a half cosine to zero.
    """
    if update < config.warmup_updates:
        return config.lr * (update + 1) / config.warmup_updates
    match config.schedule:
        case "constant":
            return config.lr
        case "cosine":
            rest = max(1, num_updates - config.warmup_updates)
            return (
                config.lr * 0.5 * (1 + math.cos(math.pi * (update - config.warmup_updates) / rest))
            )


def apply_update(
    loss: Tensor,
    parts: Mapping[str, Tensor],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    config: OptimizerConfig,
    at: tuple[int, int],
) -> dict[str, float]:
    """Take one optimiser step on a loss.

    Args:
        loss: Scalar.
        parts: Further scalars to record, without gradient.
        config: Learning rate, clipping.
        at: (update, number of updates), 0-based.

    Returns:
        The loss, the gradient norm before clipping, the learning rate and the parts. They leave the
        device at once: an update waits for it once.

    Raises:
        StageFailedError: The loss or the gradient norm is not finite; no parameter has moved.
    """
    update, num_updates = at
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    clipped = nn.utils.clip_grad_norm_(module.parameters(), config.max_grad_norm)
    scalars = [loss.detach(), clipped, *parts.values()]
    value, norm, *rest = torch.stack([scalar.double() for scalar in scalars]).tolist()
    if not math.isfinite(value):
        raise StageFailedError(f"loss is {value} at update {update}; the last checkpoint is kept")
    if not math.isfinite(norm):
        raise StageFailedError(
            f"gradient norm is {norm} at update {update}; the last checkpoint is kept"
        )
    rate = learning_rate(config, update, num_updates)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return {"loss": value, "grad_norm": norm, "lr": rate, **dict(zip(parts, rest, strict=True))}
