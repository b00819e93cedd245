"""What a real game is to the rest of the program, whichever kind it is of."""

from abc import abstractmethod
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from diamond.config.environments import EnvironmentConfig

NativeFrame = NDArray[np.uint8]


class EpisodeKey(NamedTuple):
    """What makes an episode again, together with its actions."""

    emulator_seed: int
    num_noops: int


class GameEnv(gymnasium.Env[NativeFrame, int]):
    """A real game; observations are native frames (h, w, 3) uint8.

    `terminated` is the end of the game, `truncated` a game that was stopped; a lost life, where
    there are any, is in ``info["life_lost"]``. There is no autoreset.

    Attributes:
        action_codes: The game's own number of every action; actions are indices into it. The first
            one stands where no action was taken.
        action_names: A word for each.
    """

    action_codes: tuple[int, ...]
    action_names: tuple[str, ...]
    # Gymnasium declares this for instances.
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, config: EnvironmentConfig, native_size: tuple[int, int]) -> None:
        """Assign; `action_codes` must be there.

        Args:
            native_size: Height and width of a native frame.
        """
        self._environment = config
        self.native_size = native_size
        self.action_space = spaces.Discrete(len(self.action_codes))  # type: ignore[assignment]
        self.observation_space = spaces.Box(0, 255, (*native_size, 3), np.uint8)

    @property
    def replayable(self) -> bool:
        """Whether a key and its actions make the same frames again."""
        return self._environment.replayable

    @abstractmethod
    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key; returns its first frame (h, w, 3) uint8."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NativeFrame, dict[str, int]]:
        """Start an episode; its key comes from the environment's own generator."""
        super().reset(seed=seed)
        return self.begin(draw_episode_key(self.np_random, self._environment)), {}

    @abstractmethod
    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, int]]:
        """Take one env step with an action index: frame, reward, terminated, truncated, infos."""

    def ram(self) -> NDArray[np.uint8]:
        """The memory of the console, for scripted experts; empty where there is none."""
        return np.empty(0, dtype=np.uint8)


def draw_episode_key(rng: np.random.Generator, config: EnvironmentConfig) -> EpisodeKey:
    """Draw the seed (31 bits) and the no-ops of an episode."""
    return EpisodeKey(int(rng.integers(2**31 - 1)), int(rng.integers(config.most_noops + 1)))
