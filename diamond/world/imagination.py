"""Rolling a world model forward.

Under recorded actions for fidelity, under a policy for training.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diamond.families import trees
from diamond.families.interface import S, Step, WorldModel
from diamond.records import RealStarts, Seen, Trajectories
from diamond.rng import Noise

NoiseAt = Callable[[int], Noise]
"""The noise of a time step (0-based)."""


def replay_actions(
    world: WorldModel[S], state: S, actions: Tensor, noise_at: NoiseAt, first: int = 0
) -> Iterator[tuple[int, S, Step]]:
    """Imagine under recorded actions.

    Args:
        state: State before action `first`.
        actions: (b, t) int64 or (b, t, k) float32.
        noise_at: Noise of each time step.
        first: Time step to begin at; later than 0 after a resume.

    Yields:
        Time step (0-based), state after it and what the model predicts for it.
    """
    for index in range(first, actions.shape[1]):
        state, step = world.step(state, actions[:, index], noise_at(index))
        yield index, state, step


class Decision(NamedTuple):
    """What a policy returns for a batch.

    Attributes:
        action: (b,) int64.
        logits: (b, k).
        value: (b,).
        memory: Recurrent state, a pair of tensors (b, units).
    """

    action: Tensor
    logits: Tensor
    value: Tensor
    memory: tuple[Tensor, Tensor]


class ImaginationPolicy(NamedTuple):
    """A policy as callables: imagination knows no network.

    Attributes:
        act: (frame (b, c, h, w), memory) to a `Decision`.
        burn_in: Real frames (b, t, c, h, w) and how many of them are padded (b,) to the memory
            before the last of them.
        value: (frame, memory) to values (b,), without a change of memory.
    """

    act: Callable[[Tensor, tuple[Tensor, Tensor]], Decision]
    burn_in: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    value: Callable[[Tensor, tuple[Tensor, Tensor]], Tensor]


Restart = Callable[[int], RealStarts]
"""Fresh real starts for m trajectories."""


def begin_anew(
    world: WorldModel[S], state: S, rows: Tensor, restart: Restart
) -> tuple[S, RealStarts]:
    """Put fresh real starts at the given rows.

    Args:
        state: State of all trajectories.
        rows: (m,) int64.
        restart: Draws fresh real starts.

    Returns:
        The new state and the starts.
    """
    starts = restart(len(rows))
    return trees.replace(state, rows, world.start(*starts)), starts


def imagine(
    world: WorldModel[S],
    policy: ImaginationPolicy,
    restart: Restart,
    noise_at: NoiseAt,
    size: tuple[int, int],
) -> Trajectories:
    """Let a policy act inside a world model; what ends goes on from a fresh real start.

    Args:
        world: The world model; its predictions carry no gradient.
        policy: Callables of the policy; gradients flow through its memory, and through the burn-in
            of what goes on inside the horizon, not through that of the first starts.
        restart: Draws fresh real starts.
        noise_at: Noise of each time step.
        size: (number of trajectories, env steps).

    Returns:
        `Trajectories` with t env steps.

    Source: arXiv:2405.12399, algorithm 1 (steps in imagination).
    """
    batch_size, num_steps = size
    starts = restart(batch_size)
    state = world.start(*starts)
    with torch.no_grad():
        memory = policy.burn_in(starts.frames, starts.padded)
    decisions: list[Decision] = []
    steps: list[Step] = []
    seen: list[Tensor] = []
    before: list[tuple[Tensor, Tensor]] = []
    begun = torch.zeros(batch_size, dtype=torch.bool, device=memory[0].device)
    anew = [~begun]
    for index in range(num_steps):
        seen.append(world.frame(state))
        before.append(memory)
        decision = policy.act(seen[-1], memory)
        state, step = world.step(state, decision.action, noise_at(index))
        memory = decision.memory
        decisions.append(decision)
        steps.append(step)
        anew.append(step.end)
        rows = step.end.nonzero().squeeze(1)
        if len(rows) and index + 1 < num_steps:
            state, starts = begin_anew(world, state, rows, restart)
            fresh = policy.burn_in(starts.frames, starts.padded)
            memory = (
                memory[0].index_copy(0, rows, fresh[0]),
                memory[1].index_copy(0, rows, fresh[1]),
            )
    with torch.no_grad():
        last = policy.value(steps[-1].frame, memory)
    return _trajectories(decisions, steps, last, _seen(seen, anew[:-1], before))


def _trajectories(
    decisions: list[Decision], steps: list[Step], last: Tensor, seen: Seen
) -> Trajectories:
    """What was decided and predicted at each time step, and the values after the last one."""
    ends = torch.stack([step.end for step in steps], dim=1)
    values = torch.stack([decision.value for decision in decisions], dim=1)
    return Trajectories(
        torch.stack([decision.action for decision in decisions], dim=1),
        torch.stack([step.reward for step in steps], dim=1),
        ends,
        torch.stack([decision.logits for decision in decisions], dim=1),
        values,
        torch.cat((values[:, 1:].detach(), last[:, None]), dim=1).masked_fill(ends, 0.0),
        seen,
    )


def _seen(frames: list[Tensor], anew: list[Tensor], memories: list[tuple[Tensor, Tensor]]) -> Seen:
    """What the policy saw at each time step: frames, where they begin anew, its memory before."""
    return Seen(
        torch.stack(frames, dim=1),
        torch.stack(anew, dim=1),
        (
            torch.stack([hidden.detach() for hidden, _ in memories], dim=1),
            torch.stack([cell.detach() for _, cell in memories], dim=1),
        ),
    )
