"""Atari 2600 games through `ale-py`: a replayable Gymnasium environment of native frames."""

import re
from typing import Any

import ale_py
import numpy as np
from numpy.typing import NDArray

from diamond.config.environments import AtariConfig
from diamond.envs.real_game import EpisodeKey, GameEnv, NativeFrame
from diamond.errors import RequestError


def rom_name(game: str) -> str:
    """The emulator's name of a game: ``BankHeist`` is ``bank_heist``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z]|\d+[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", game).lower()


class AtariEnv(GameEnv):
    """One game; observations are native frames (h, w, 3) uint8, in most games (210, 160, 3).

    An env step repeats the action `frame_skip` times and returns the maximum of the last two
    emulator frames. `terminated` is the end of the game; lost lives are in
    ``info["life_lost"]``. There is no autoreset.

    Source: Machado et al. 2018; arXiv:2405.12399, appendix F.
    """

    def __init__(self, game: str, config: AtariConfig) -> None:
        """Load the game; actions are indices into ``action_codes``.

        Raises:
            RequestError: The game has no such mode or difficulty.
        """
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._config = config
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", config.sticky_actions)
        self._ale.setInt("random_seed", 0)
        rom = ale_py.roms.get_rom_path(rom_name(game))
        assert rom is not None, f"the emulator package has no ROM of {game}"
        self._rom = rom
        self._ale.loadROM(self._rom)
        self._check(game, "mode", config.mode, self._ale.getAvailableModes())
        self._check(game, "difficulty", config.difficulty, self._ale.getAvailableDifficulties())
        minimal = tuple(int(action.value) for action in self._ale.getMinimalActionSet())
        self.action_codes = config.actions if config.actions is not None else minimal
        self.action_names = tuple(ale_py.Action(code).name for code in self.action_codes)
        super().__init__(config, self._ale.getScreenDims())
        self._lives = 0

    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key: load the game with its seed and take its no-ops."""
        self._ale.setInt("random_seed", key.emulator_seed)
        self._ale.loadROM(self._rom)
        if self._config.mode:
            self._ale.setMode(self._config.mode)
        if self._config.difficulty:
            self._ale.setDifficulty(self._config.difficulty)
        self._ale.reset_game()
        for _ in range(key.num_noops):
            self._ale.act(0)
            if self._ale.game_over():
                self._ale.reset_game()
        self._lives = self._ale.lives()
        return self._ale.getScreenRGB()

    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, int]]:
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

    def _check(self, game: str, field: str, value: int, available: Any) -> None:
        allowed = sorted({0, *(int(one) for one in available)})
        if value not in allowed:
            raise RequestError(
                f"environment.{field}={value}: {game} has no such {field}\n"
                f"  allowed: {', '.join(map(str, allowed))}; 0 is the game's own"
            )
