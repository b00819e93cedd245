"""A part: one network that is trained, and all that building, loading and training it takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from diamond.config.networks import PartConfig
from diamond.records import Segments
from diamond.rng import seeded_init, torch_generator

CPU = torch.device("cpu")
N = TypeVar("N", bound=nn.Module)
C = TypeVar("C", bound=PartConfig)

Losses = tuple[Tensor, Mapping[str, Tensor]]
"""The loss of an update, a scalar, and further numbers to record, without gradient."""
Loss = Callable[[int], Losses]
"""The losses of an update (0-based)."""
Passes = Losses | Iterator[Losses]
"""The losses of an update, or those of each of its optimiser steps, one after the other."""


class Extent(NamedTuple):
    """What a segment of real frames is.

    Attributes:
        num_steps: Env steps, at least 1.
        padded: Whether it may reach beyond its episode, which is padding there; if not, it is
            whole inside one, or begins before one where the frames pad starts.
        balance: Share of the segments that are drawn around events: rewards that are not of the
            most frequent sign, and ends.
        event_places: First and last env step of a segment (0-based) that such an event may be;
            at and beyond num_steps it comes after the segment.
    """

    num_steps: int
    padded: bool = False
    balance: float = 0.0
    event_places: tuple[int, int] = (0, 0)


class SegmentSource(Protocol):
    """Draws segments of real env steps for an update."""

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """Draw `batch_size` segments with a CPU generator and bring them to a device."""
        ...


@dataclass(frozen=True)
class Draw:
    """What the loss of one update is made from; equal seeds and updates draw the same.

    Attributes:
        source: Segments of real frames.
        seed: Run seed or data seed.
        update: 0-based.
        given: What was trained before: of a policy, the world model.
    """

    source: SegmentSource
    seed: int
    update: int
    device: torch.device
    given: Any = None

    def segments(self, batch_size: int, purpose: StrEnum) -> Segments:
        """A batch of segments on the device."""
        return self.source.sample(batch_size, self.generator(purpose, CPU), self.device)

    def generator(self, purpose: StrEnum, device: torch.device | None = None) -> torch.Generator:
        """The stream of a purpose in this update, on the network's device or another."""
        return torch_generator(self.seed, purpose, self.update, device=device or self.device)


def _never_averaged(_: PartConfig) -> float:
    return 0.0


def _never_compiled(_: nn.Module) -> Sequence[nn.Module]:
    return ()


@dataclass(frozen=True)
class Part(Generic[N, C]):
    """One network that is trained.

    Attributes:
        name: Of its section in a config, its stage, its folder in an agent's, its file of weights.
        config: Type of its section.
        build: A fresh network from its section and the shape of the data: num_actions, 0 where an
            action is several numbers, and then their number, action_size; height; width.
        init: Stream of its first weights.
        data: Which segments of real frames it is trained on, from its section and `Draw.given`.
        loss: Of the network with its section in one update.
        passes: What an update is made of where that may be several optimiser steps on one draw;
            None: one step on `loss`.
        ema: Decay of the averaged weights, which then are the result; 0 when there are none.
        compiled: The networks in it that torch may compile.
    """

    name: str
    config: type[C]
    build: Callable[[C, Mapping[str, int]], N]
    init: StrEnum
    data: Callable[[C, Any], Extent]
    loss: Callable[[N, C, Draw], Losses]
    passes: Callable[[N, C, Draw], Passes] | None = None
    ema: Callable[[C], float] = _never_averaged
    compiled: Callable[[N], Sequence[nn.Module]] = _never_compiled

    def section(self, config: Mapping[str, Any]) -> C:
        """Its section of a config that is plain data."""
        return self.config.model_validate(config[self.name])

    def fresh(
        self, config: C, shape: Mapping[str, int], seed: int, device: torch.device = CPU
    ) -> N:
        """The untrained network of a seed."""
        with seeded_init(seed, self.init):
            return self.build(config, shape).to(device)

    def loss_of(
        self, net: N, config: C, source: SegmentSource, seed: int, given: Any = None
    ) -> Loss:
        """The loss of a network as a function of the update, on fresh draws for each."""
        device = device_of(net)
        return lambda update: self.loss(net, config, Draw(source, seed, update, device, given))

    def passes_of(
        self, net: N, config: C, source: SegmentSource, seed: int, given: Any = None
    ) -> Callable[[int], Passes]:
        """The same of all optimiser steps of an update."""
        device, passes = device_of(net), self.passes or self.loss
        return lambda update: passes(net, config, Draw(source, seed, update, device, given))


AnyPart = Part[Any, Any]
"""A part whose network and section are not told apart."""


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters."""
    return next(module.parameters()).device
