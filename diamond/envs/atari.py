"""Atari 2600 games through `ale-py`: a replayable Gymnasium environment of native frames."""

from typing import Any, NamedTuple

import ale_py
import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from diamond.config.run import EmulatorConfig, ViewConfig

SCREEN_HEIGHT = 210
SCREEN_WIDTH = 160
EMULATOR_HERTZ = 60
"""Emulator frames in a second of play."""

NativeFrame = NDArray[np.uint8]


class EpisodeKey(NamedTuple):
    """What makes an episode again, together with its actions."""

    emulator_seed: int
    num_noops: int


def rom_name(game: str) -> str:
    """The emulator's name of a game: ``BankHeist`` is ``bank_heist``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in game).lstrip(
        "_"
    )


def data_shape(game: str, emulator: EmulatorConfig, view: ViewConfig) -> dict[str, int]:
    """What networks need to know of frames and actions: num_actions, height, width."""
    num_actions = len(AtariEnv(game, emulator).action_codes)
    return {"num_actions": num_actions, "height": view.height, "width": view.width}


class AtariEnv(gymnasium.Env[NativeFrame, int]):
    """One game without sticky actions; observations are native frames (210, 160, 3) uint8.

    An env step repeats the action `frame_skip` times and returns the maximum of the last two
    emulator frames. `terminated` is the end of the game; lost lives are in
    ``info["life_lost"]``. There is no autoreset.

    Source: Machado et al. 2018; arXiv:2405.12399, appendix F.
    """

    # Gymnasium declares this for instances.
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, game: str, config: EmulatorConfig) -> None:
        """Load the game; actions are indices into ``action_codes``."""
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._config = config
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.setInt("random_seed", 0)
        rom = ale_py.roms.get_rom_path(rom_name(game))
        assert rom is not None, f"the emulator package has no ROM of {game}"
        self._rom = rom
        self._ale.loadROM(self._rom)
        minimal = tuple(int(action.value) for action in self._ale.getMinimalActionSet())
        self.action_codes: tuple[int, ...] = (
            config.actions if config.actions is not None else minimal
        )
        self.action_space = spaces.Discrete(len(self.action_codes))  # type: ignore[assignment]
        self.observation_space = spaces.Box(0, 255, (SCREEN_HEIGHT, SCREEN_WIDTH, 3), np.uint8)
        self._lives = 0

    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key: load the game with its seed and take its no-ops.

        Returns:
            The first frame (210, 160, 3) uint8.
        """
        self._ale.setInt("random_seed", key.emulator_seed)
        self._ale.loadROM(self._rom)
        self._ale.reset_game()
        for _ in range(key.num_noops):
            self._ale.act(0)
            if self._ale.game_over():
                self._ale.reset_game()
        self._lives = self._ale.lives()
        return self._ale.getScreenRGB()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NativeFrame, dict[str, Any]]:
        """Start an episode.

        The emulator seed and the no-ops come from the environment's own generator.
        """
        super().reset(seed=seed)
        return self.begin(draw_episode_key(self.np_random, self._config)), {"lives": self._lives}

    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, Any]]:
        """Take one env step with an action index."""
        code = self.action_codes[int(action)]
        reward = 0.0
        screens: list[NativeFrame] = []
        for repeat in range(self._config.frame_skip):
            reward += self._ale.act(code)
            last_two = repeat >= self._config.frame_skip - 2
            over = self._ale.game_over()
            if last_two or over:
                screens.append(self._ale.getScreenRGB())
            if over:
                break
        frame = screens[0] if len(screens) == 1 else np.maximum(screens[0], screens[1])
        life_lost = self._ale.lives() < self._lives
        self._lives = self._ale.lives()
        info = {"lives": self._lives, "life_lost": life_lost}
        return frame, reward, self._ale.game_over(), False, info

    def ram(self) -> NDArray[np.uint8]:
        """The 128 bytes of the console's memory, for scripted experts."""
        return self._ale.getRAM()


def draw_episode_key(rng: np.random.Generator, config: EmulatorConfig) -> EpisodeKey:
    """Draw the emulator seed (31 bits) and the no-ops (0 to `max_noops`) of an episode."""
    return EpisodeKey(int(rng.integers(2**31 - 1)), int(rng.integers(config.max_noops + 1)))
