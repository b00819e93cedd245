"""Exact counterfactuals: the frames that other actions lead to, from the state behind a reference.

A game that can be replayed is a function of its seed, the no-ops and the actions, so that replaying
them up to the last context frame makes the very same state again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import ReferencesConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ActionSpace
from diamond.data.reference_files import Branch, Reference, future_codes
from diamond.envs.real_game import GameEnv
from diamond.envs.view import apply_view_all
from diamond.rng import numpy_generator
from diamond.seeds import Purpose


@dataclass(frozen=True)
class BranchView:
    """Counterfactuals of references as an arm sees them, in batch form.

    Attributes:
        actions: (n, horizon) int64 action indices; the first one follows the last context frame.
        targets: (n, horizon, h, w, 3) uint8 real frames under these actions; zero where not valid.
        valid: (n, horizon) bool, false after the end of the branch or a life lost in it.
    """

    actions: NDArray[np.int64]
    targets: NDArray[np.uint8]
    valid: NDArray[np.bool_]


def with_branch(
    env: GameEnv, reference: Reference, config: ReferencesConfig, seed: int, start: int
) -> Reference:
    """A reference with its counterfactual, where the config asks for one.

    Args:
        env: The game; it is left somewhere inside the branch.
        reference: What was recorded.
        config: Horizon of counterfactuals, and how long random actions are held.
        seed: Data seed.
    """
    if config.counterfactuals is None:
        return reference
    codes = other_actions(
        recorded=future_codes(reference),
        codes=env.action_codes,
        max_hold_steps=config.play.max_hold_steps,
        num_steps=config.counterfactuals.horizon_steps,
        rng=numpy_generator(seed, Purpose.REFERENCES_COUNTERFACTUAL, start),
    )
    return replace(reference, branch=Branch(codes, play_branch(env, reference, codes)))


def other_actions(
    recorded: Sequence[int],
    codes: Sequence[int],
    max_hold_steps: int,
    num_steps: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Draw held random actions that differ from the recorded ones at every env step.

    As the recorder's random actions, each is held for 1 to `max_hold_steps` env steps. It is drawn
    uniformly from the actions that the recording does not take at that env step, and given up
    early where the recording takes the same. After the end of the recording any action may follow.

    Args:
        recorded: Codes of the recorded actions, one or more.
        codes: The action set, codes of the game, two or more.
        max_hold_steps: Longest hold, env steps.
        num_steps: Env steps.
        rng: Generator of this start.

    Returns:
        `num_steps` codes of the game.
    """
    assert len(codes) >= 2
    drawn: list[int] = []
    held_steps = 0
    for step in range(num_steps):
        taken = recorded[step] if step < len(recorded) else None
        if held_steps == 0 or drawn[-1] == taken:
            others = [code for code in codes if code != taken]
            code = others[int(rng.integers(len(others)))]
            held_steps = int(rng.integers(1, max_hold_steps + 1))
        drawn.append(code)
        held_steps -= 1
    return tuple(drawn)


def replay_to_start(env: GameEnv, reference: Reference) -> NDArray[np.uint8]:
    """Bring a game to the last context frame of a reference; returns it, native (h, w, 3) uint8."""
    before = reference.action_codes[: reference.offset + CONTEXT_FRAMES - 1]
    native = env.begin(reference.key)
    for action in ActionSpace(env.action_codes).encode(before):
        native = env.step(int(action))[0]
    return native


def play_branch(env: GameEnv, reference: Reference, codes: Sequence[int]) -> NDArray[np.uint8]:
    """Play actions from the last context frame of a reference on.

    Args:
        reference: What is replayed up to the last context frame.
        codes: Codes of the actions after it.

    Returns:
        (m, h, w, 3) uint8 native frames after the context, those before the first one that
        shows the end of the game or a lost life.
    """
    replay_to_start(env, reference)
    frames: list[NDArray[np.uint8]] = []
    for action in ActionSpace(env.action_codes).encode(codes):
        frame, _, terminated, truncated, info = env.step(int(action))
        if terminated or info["life_lost"]:
            break
        frames.append(frame)
        if truncated:
            break
    if not frames:
        return np.empty((0, *env.native_size, 3), dtype=np.uint8)
    return np.stack(frames)


def view_branches(
    references: Sequence[Reference], view: ViewConfig, space: ActionSpace, horizon: int
) -> BranchView | None:
    """Read counterfactuals at an arm's crop and resolution; None where none were recorded.

    Args:
        references: The episodes, all with a branch or none.
        view: Crop and size.
        space: What may be done.
        horizon: Env steps after the context at most; there are no more than were recorded.
    """
    branches = [reference.branch for reference in references if reference.branch is not None]
    if not branches:
        return None
    assert len(branches) == len(references), "some references have no counterfactual"
    num, horizon = len(branches), min(horizon, len(branches[0].action_codes))
    targets = np.zeros((num, horizon, view.height, view.width, 3), dtype=np.uint8)
    valid = np.zeros((num, horizon), dtype=np.bool_)
    codes = [branch.action_codes[:horizon] for branch in branches]
    actions = np.array([space.encode(taken) for taken in codes], dtype=np.int64)
    for row, branch in enumerate(branches):
        seen = branch.native[:horizon]
        targets[row, : len(seen)] = apply_view_all(seen, view)
        valid[row, : len(seen)] = True
    return BranchView(actions, targets, valid)
