"""A game that is played on and on, whose state is what replays it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diamond.config.environments import Environment
from diamond.config.recording import ViewConfig
from diamond.envs.open_game import open_game
from diamond.envs.real_game import EpisodeKey
from diamond.envs.view import apply_view


class LiveStep(NamedTuple):
    """What followed an action.

    Attributes:
        frame: The frame after it (h, w, 3) uint8, final where the episode closed.
        reward: As the game gave it.
        end: Whether the game is over or a life was lost.
        cut: Whether the game was stopped at its greatest length.
    """

    frame: NDArray[np.uint8]
    reward: float
    end: bool
    cut: bool

    @property
    def closed(self) -> bool:
        """Whether the next action belongs to another episode."""
        return self.end or self.cut


class LiveGame:
    """One game after the other. Mutable: the emulator cannot be a value.

    A lost life ends an episode and the game goes on; a game that is over or cut gives way to the
    next one. Number of the game and actions since its reset make the same state again, where the
    game can be replayed.
    """

    def __init__(
        self,
        game: str,
        environment: Environment,
        view: ViewConfig,
        max_episode_steps: int,
        key_of: Callable[[int], EpisodeKey],
    ) -> None:
        """Load the game and begin number 0.

        Args:
            view: Crop and size of the frames.
            max_episode_steps: Env steps after which a game is cut.
            key_of: Number of a game to what starts it.
        """
        self._env = open_game(game, environment)
        self._view = view
        self._max_episode_steps = max_episode_steps
        self._key_of = key_of
        self.num_actions = len(self._env.action_codes)
        self.number = 0
        self.actions: list[int] = []
        self.frame = self._begin(0)

    def step(self, action: int) -> LiveStep:
        """Take one env step; `frame` and the next step belong to the next game where this ends."""
        native, reward, over, stopped, info = self._env.step(action)
        self.actions.append(action)
        self.frame = apply_view(native, self._view)
        end = over or bool(info["life_lost"])
        cut = not over and (stopped or len(self.actions) >= self._max_episode_steps)
        step = LiveStep(self.frame, reward, end, cut)
        if over or cut:
            self.frame = self._begin(self.number + 1)
        return step

    def restore(self, number: int, actions: list[int]) -> bool:
        """Make the state again that a game had after some actions.

        Returns:
            Whether it is that state; where the game cannot be replayed, the next one has begun.
        """
        if not self._env.replayable:
            self.frame = self._begin(number + 1)
            return False
        self.frame = self._begin(number)
        for action in actions:
            native, _, _, _, _ = self._env.step(action)
            self.frame = apply_view(native, self._view)
        self.actions = list(actions)
        return True

    def _begin(self, number: int) -> NDArray[np.uint8]:
        self.number, self.actions = number, []
        return apply_view(self._env.begin(self._key_of(number)), self._view)
