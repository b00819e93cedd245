"""Who plays when data are collected.

Random held actions, and experts that read the emulator's memory. Trained policies are in
`diamond.makers.real_frames`.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diamond.config.recording import PlayConfig

NOOP, FIRE, UP, RIGHT, LEFT, DOWN = 0, 1, 2, 3, 4, 5

BREAKOUT_PADDLE_X, BREAKOUT_BALL_X, BREAKOUT_BALL_Y = 72, 99, 101
PONG_PADDLE_Y, PONG_BALL_Y = 51, 54


class Player(Protocol):
    """Chooses actions in one game: a script reads the console's memory, a policy the screen."""

    def act(self, screen: NDArray[np.uint8], ram: NDArray[np.uint8]) -> int:
        """Return an action index for the next env step.

        Args:
            screen: Native frame (210, 160, 3) uint8.
            ram: The 128 bytes of the console's memory.
        """
        ...


Players = Callable[[tuple[int, ...], np.random.Generator], Player]
"""Makes the player of an episode from the emulator's action codes and a generator of its own."""


class HeldRandomPlayer:
    """Uniform random actions, each held for 1 to `max_hold_steps` env steps."""

    def __init__(self, num_actions: int, max_hold_steps: int, rng: np.random.Generator) -> None:
        self._num_actions = num_actions
        self._max_hold_steps = max_hold_steps
        self._rng = rng
        self._action = 0
        self._left = 0

    def act(self, screen: NDArray[np.uint8], ram: NDArray[np.uint8]) -> int:
        """Return the held action, or draw the next one; it sees nothing."""
        if self._left == 0:
            self._action = int(self._rng.integers(self._num_actions))
            self._left = int(self._rng.integers(1, self._max_hold_steps + 1))
        self._left -= 1
        return self._action

    @property
    def holding(self) -> bool:
        """Whether a drawn action is still being held."""
        return self._left > 0


class ExpertPlayer:
    """A scripted expert that now and then gives way to a held random action."""

    def __init__(
        self, game: str, codes: tuple[int, ...], play: PlayConfig, rng: np.random.Generator
    ) -> None:
        self._rule = breakout_action if game == "Breakout" else pong_action
        self._codes = codes
        self._fraction = play.random_fraction
        self._rng = rng
        self._random = HeldRandomPlayer(len(codes), play.max_hold_steps, rng)

    def act(self, screen: NDArray[np.uint8], ram: NDArray[np.uint8]) -> int:
        """Return the expert's action index, or a random one in a random stretch."""
        if self._random.holding or self._rng.random() < self._fraction:
            return self._random.act(screen, ram)
        return self._codes.index(self._rule(ram))


def scripted_players(game: str, play: PlayConfig) -> Players:
    """The players of a game that need nothing trained.

    Raises:
        ValueError: The collector is a trained policy.
    """
    match play.collector:
        case "random_held":
            return lambda codes, rng: HeldRandomPlayer(len(codes), play.max_hold_steps, rng)
        case "expert":
            return partial(_expert, game, play)
        case "policy":
            raise ValueError("a trained policy is no scripted player")


def _expert(
    game: str, play: PlayConfig, codes: tuple[int, ...], rng: np.random.Generator
) -> ExpertPlayer:
    return ExpertPlayer(game, codes, play, rng)


def breakout_action(ram: NDArray[np.uint8]) -> int:
    """Follow the ball with the paddle; fire when there is no ball. Returns an emulator code."""
    if ram[BREAKOUT_BALL_Y] == 0:
        return FIRE
    return _toward(
        int(ram[BREAKOUT_BALL_X]) - int(ram[BREAKOUT_PADDLE_X]) - 8, RIGHT, LEFT, dead_zone=5
    )


def pong_action(ram: NDArray[np.uint8]) -> int:
    """Follow the ball with the right paddle; an emulator code, RIGHT is up, LEFT is down."""
    if ram[PONG_BALL_Y] == 0:
        return NOOP
    return _toward(int(ram[PONG_BALL_Y]) - int(ram[PONG_PADDLE_Y]) - 4, LEFT, RIGHT, dead_zone=8)


def _toward(error: int, positive: int, negative: int, dead_zone: int) -> int:
    if abs(error) <= dead_zone:
        return NOOP
    return positive if error > 0 else negative
