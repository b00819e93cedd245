"""The state of a training loop, which can be saved and continued bit for bit."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diamond.config.networks import OptimizerConfig
from diamond.part import C, N, Part, Passes, SegmentSource
from diamond.training.optimizer import apply_update, make_optimizer

EMA_WARMUP = 10.0
"""Averaged weights decay by at most (1 + u) / (EMA_WARMUP + u) at update u: early weights fade."""


@dataclass
class TrainingState:
    """A module in training. Mutable: this is the one object that a training loop changes.

    Attributes:
        averaged: Exponential moving average of its weights, or None.
        update: Updates done.
    """

    module: nn.Module
    averaged: nn.Module | None
    optimizer: torch.optim.AdamW
    update: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the counter, by name."""
        named = {f"module/{name}": tensor for name, tensor in self.module.state_dict().items()}
        if self.averaged is not None:
            named |= {
                f"averaged/{name}": tensor for name, tensor in self.averaged.state_dict().items()
            }
        for index, parameter in enumerate(self._parameters()):
            for name, tensor in self.optimizer.state.get(parameter, {}).items():
                named[f"optimizer/{index}/{name}"] = tensor
        return named

    def restore(self, tensors: Mapping[str, Tensor], update: int) -> None:
        """Continue from saved tensors after `update` updates."""
        self.module.load_state_dict(strip("module/", tensors))
        if self.averaged is not None:
            self.averaged.load_state_dict(strip("averaged/", tensors))
        for index, parameter in enumerate(self._parameters()):
            saved = strip(f"optimizer/{index}/", tensors)
            if saved:
                # The fused kernel walks moments and weights in memory order: the layouts must
                # agree.
                self.optimizer.state[parameter] = {
                    name: torch.empty_like(parameter).copy_(value)
                    if value.shape == parameter.shape
                    else value.to(parameter.device, copy=True)
                    for name, value in saved.items()
                }
        self.update = update

    def result(self) -> nn.Module:
        """The module to use: averaged weights where there are any."""
        return self.module if self.averaged is None else self.averaged

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class UpdateRecord(NamedTuple):
    """One optimiser step: how many are done, and its numbers."""

    update: int
    values: Mapping[str, float]


def begin(module: nn.Module, config: OptimizerConfig, ema: float = 0.0) -> TrainingState:
    """A fresh training state."""
    averaged = copy.deepcopy(module) if ema > 0 else None
    if averaged is not None:
        averaged.requires_grad_(False)
    return TrainingState(module, averaged, make_optimizer(module, config))


def train(
    state: TrainingState,
    loss_of: Callable[[int], Passes],
    config: OptimizerConfig,
    num_updates: int,
    ema: float = 0.0,
    until: int | None = None,
) -> Iterator[UpdateRecord]:
    """Update a module until `num_updates` are done; the state may be saved at every yield.

    Args:
        state: Fresh or restored.
        loss_of: The loss of an update, or those of its optimiser steps; the numbers of the update
            are their means.
        config: Learning rate and clipping.
        num_updates: Updates in all, those done before a resume included.
        ema: Decay of the averaged weights, 0 when there are none.
        until: Stop after so many of them, to go on later; None goes to the end.

    Yields:
        One record per update.

    Raises:
        StageFailedError: A loss or a gradient is not finite.
    """
    while state.update < (num_updates if until is None else until):
        passes = loss_of(state.update)
        each = [
            apply_update(*one, state.module, state.optimizer, config, (state.update, num_updates))
            for one in ((passes,) if isinstance(passes, tuple) else passes)
        ]
        values = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        if state.averaged is not None:
            _average(
                state.averaged,
                state.module,
                min(ema, (1 + state.update) / (EMA_WARMUP + state.update)),
            )
        state.update += 1
        yield UpdateRecord(state.update, values)


@dataclass(frozen=True)
class Training:
    """A part in training.

    Attributes:
        name: Of the part.
        state: Network and optimiser.
        loss_of: The losses of an update.
        optimizer: Learning rate and clipping.
        ema: Decay of the averaged weights, 0 when there are none.
    """

    name: str
    state: TrainingState
    loss_of: Callable[[int], Passes]
    optimizer: OptimizerConfig
    ema: float = 0.0

    def updates(self, num_updates: int, until: int | None = None) -> Iterator[UpdateRecord]:
        """Update the network; see `train`."""
        return train(self.state, self.loss_of, self.optimizer, num_updates, self.ema, until)


def begin_part(
    part: Part[N, C], net: N, config: C, source: SegmentSource, seed: int, given: Any = None
) -> Training:
    """Begin to train the network of a part.

    Args:
        net: The network, fresh.
        source: Segments of real frames of the part's extent.
        seed: Run seed, of a judge the data seed.
        given: What was trained before: of a policy, the world model.
    """
    loss_of = part.passes_of(net, config, source, seed, given)
    ema = part.ema(config)
    return Training(part.name, begin(net, config.optimizer, ema), loss_of, config.optimizer, ema)


@torch.no_grad()
def _average(averaged: nn.Module, module: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), list(module.parameters()), 1 - decay)


def strip(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins with a prefix, under the rest of their name."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
