"""Games of MinAtar as frames of 10 x 10 pixels.

Source: Young and Tian 2019, arXiv:1903.03176.
"""

import logging
import re
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.config.environments import MinAtarConfig
from diamond.envs.palette import paint
from diamond.envs.real_game import EpisodeKey, GameEnv, NativeFrame
from diamond.errors import RequestError

TRAIL = re.compile(r"trail|speed\d")
"""Channels of cells that a thing has left; in Freeway there is one for each speed."""
FACING = re.compile(r"alien_(left|right)")
"""Those of Space Invaders that show aliens again, by where they go."""
NAMES = {"n": "noop", "l": "left", "u": "up", "r": "right", "d": "down", "f": "fire"}


class MinAtarEnv(GameEnv):
    """One game; a cell is a pixel, its colour that of the topmost thing in it.

    The first thing in the game's list of channels lies on top, so that a ball hides the brick that
    it is in; trails lie below all others. Without `trail`, no channel that shows a motion is drawn;
    no other colour changes.
    """

    def __init__(self, game: str, config: MinAtarConfig) -> None:
        """Make the game.

        Raises:
            RequestError: MinAtar is not installed.
        """
        name, version = re.findall(r"MinAtar/(\w+)-v(\d)", game)[0]
        self._game = _load(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(), config)
        minimal = tuple(int(action) for action in self._game.minimal_action_set())
        self.action_codes = tuple(range(self._game.num_actions())) if version == "0" else minimal
        words = self._game.env.action_map
        self.action_names = tuple(NAMES[words[code]] for code in self.action_codes)
        channels = self._game.env.channels
        trails = [i for word, i in channels.items() if TRAIL.fullmatch(word)]
        facing = [i for word, i in channels.items() if FACING.fullmatch(word)]
        things = [i for i in channels.values() if i not in (*trails, *facing)]
        # The player and what moves come first in a game's list, walls and bricks last.
        self._order = [*trails, *reversed(things), *facing]
        self._hidden = [] if config.trail else [*trails, *facing]
        super().__init__(config, config.cells)

    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key."""
        self._game.seed(key.emulator_seed)
        self._game.last_action = 0
        self._game.reset()
        return self._frame()

    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, int]]:
        """Take one env step with an action index."""
        reward, terminated = self._game.act(self.action_codes[int(action)])
        return self._frame(), float(reward), bool(terminated), False, {"life_lost": False}

    def _frame(self) -> NativeFrame:
        cells: NDArray[np.bool_] = np.asarray(self._game.state())
        cells[..., self._hidden] = False
        return paint(cells[..., self._order])


def _load(name: str, config: MinAtarConfig) -> Any:
    quiet = logging.getLogger()
    before = quiet.level
    quiet.setLevel(logging.ERROR)  # its drawing, which is not used here, warns where it is missing
    try:
        package = import_module("minatar")
    except ImportError as error:
        raise RequestError(
            f"the package minatar is missing: {error}\n  pip install minatar"
        ) from error
    finally:
        quiet.setLevel(before)
    return package.Environment(
        name, sticky_action_prob=config.sticky_actions, difficulty_ramping=True
    )
