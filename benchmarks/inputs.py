"""Networks and inputs of the measurements, the same in every process: functions of fixed seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from diamond.config.run import RunConfig
from diamond.envs.open_game import action_codes
from diamond.families.diamond.denoiser import Denoiser
from diamond.families.diamond.reward_end_net import NUM_REWARD_CLASSES, RewardEndNet
from diamond.families.diamond.world import DIAMOND_WORLD
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.part import CPU, AnyPart
from diamond.records import Segments, to_unit
from diamond.rng import seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY
from diamond.weights.released_names import PARTS

SEED = 0
NEVER = 10**9
NUM_ACTIONS_DRAWN = 1000
ZEROS_BECOME = 0.02
"""Standard deviation of what a fresh network has at zero: a zero would hide what follows it."""
END_LOGIT = 12.0
"""About how far the logits of going on and of an end are apart: no trajectory ends in a horizon."""
CHECK_ROWS, CHECK_STEPS = 4, 5
"""Rows and env steps of the inputs that both sides are compared on, at most."""
CHECK_DENOISING = (1, 3, 10)
AGENT_PARTS = (*DIAMOND_WORLD.parts, POLICY)
_SILU_OF_ONE = 0.73
_randn = torch.randn


@dataclass(frozen=True)
class Networks:
    """The three networks of an agent."""

    denoiser: Denoiser
    reward_end: RewardEndNet
    policy: ActorCriticNet

    def named(self) -> Iterator[tuple[str, nn.Module]]:
        """Each network with the name of its part."""
        return zip(PARTS, vars(self).values(), strict=True)


def num_actions_of(config: RunConfig) -> int:
    """Size of the action set of a config's game."""
    return len(action_codes(config.game, config.environment))


def section_of(config: RunConfig, part: AnyPart) -> Any:
    """The section of a part of DIAMOND's agent."""
    return config.policy if part is POLICY else getattr(config.world, part.name)


@torch.no_grad()
def build_networks(config: RunConfig, num_actions: int, device: torch.device) -> Networks:
    """Fresh networks with nothing at zero, whose reward/end model hardly ever predicts an end."""
    view = config.view
    shape = {"num_actions": num_actions, "height": view.height, "width": view.width}
    with seeded_init(SEED, Purpose.BENCH):
        fresh = {part.name: part.build(section_of(config, part), shape) for part in AGENT_PARTS}
    nets = Networks(**fresh)
    for part, net in nets.named():
        generator = torch_generator(SEED, Purpose.BENCH, "weights", part)
        for tensor in net.state_dict().values():
            if tensor.is_floating_point() and not tensor.any():
                tensor.normal_(0.0, ZEROS_BECOME, generator=generator)
        net.to(device)
    hidden, last = nets.reward_end.head[0], nets.reward_end.head[2]
    assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)
    hidden.bias.fill_(1.0)
    shift = END_LOGIT / (2 * _SILU_OF_ONE * hidden.out_features)
    last.weight[NUM_REWARD_CLASSES].add_(shift)
    last.weight[NUM_REWARD_CLASSES + 1].sub_(shift)
    return nets


def make_segments(config: RunConfig, num_actions: int, size: tuple[int, int]) -> Segments:
    """Segments as the data set gives them, with random pixels, actions and rewards, without ends.

    Args:
        config: Size of the frames.
        num_actions: Size of the action set.
        size: Segments and env steps of each.
    """
    b, t = size
    generator = torch_generator(SEED, Purpose.BENCH, "segments", b, t)
    shape = (b, t + 1, config.view.height, config.view.width, 3)
    return Segments(
        to_unit(torch.randint(256, shape, generator=generator, dtype=torch.uint8)),
        torch.randint(num_actions, (b, t), generator=generator),
        torch.randint(-1, 2, (b, t), generator=generator).float(),
        torch.zeros(b, t, dtype=torch.int64),
        torch.ones(b, t, dtype=torch.bool),
    )


def with_ends(segments: Segments) -> Segments:
    """The same segments, of which every other one ends with its last env step."""
    ends = segments.ends.clone()
    ends[::2, -1] = 1
    return replace(segments, ends=ends)


@dataclass(frozen=True)
class GivenSegments:
    """A source that gives the same segments for every update."""

    segments: Segments

    def sample(
        self, batch_size: int, generator: torch.Generator, device: torch.device = CPU
    ) -> Segments:
        """The first rows, brought to the device; nothing is drawn."""
        names = ("frames", "actions", "rewards", "ends", "valid")
        rows = {name: getattr(self.segments, name)[:batch_size] for name in names}
        return replace(self.segments, **rows).to(device)


def make_play(config: RunConfig, num_actions: int) -> tuple[Segments, Tensor]:
    """What a policy is scored on: segments with some ends, and values (b, t) of what follows."""
    size = (CHECK_ROWS, CHECK_STEPS)
    generator = torch_generator(SEED, Purpose.BENCH, "play", *size)
    ends = (torch.rand(size, generator=generator) < 0.2).long()
    segments = replace(make_segments(config, num_actions, size), ends=ends)
    return segments, _randn(size, generator=generator)


def gradient_norm(net: nn.Module, loss: Tensor) -> Tensor:
    """Norm of the gradient of a loss over all parameters, in float64."""
    net.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.double().flatten() for p in net.parameters() if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.cat(gradients))
    return norm


@contextmanager
def shared_noise() -> Iterator[None]:
    """Make the n-th draw of normal numbers of a shape the same in every program.

    In whatever order a program draws what has different shapes, it gets the same numbers.
    """
    drawn: dict[str, int] = {}

    def give(shape: tuple[int, ...], device: Any) -> Tensor:
        kind = "x".join(map(str, shape))
        index = drawn.get(kind, 0)
        drawn[kind] = index + 1
        generator = torch_generator(SEED, Purpose.BENCH, "noise", kind, index)
        return _randn(shape, generator=generator).to(device or "cpu")

    def randn(*size: Any, device: Any = None, **_: Any) -> Tensor:
        whole = len(size) == 1 and not isinstance(size[0], int)
        return give(tuple(size[0]) if whole else size, device)

    def like(x: Tensor) -> Tensor:
        return give(tuple(x.shape), x.device)

    with patch("torch.randn", randn), patch("torch.randn_like", like):
        yield


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 on a GPU, which would round inputs of products to 10 bits."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
