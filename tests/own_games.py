"""Games of the tests' own; `tests.own_games:Own/Drift-v0` is one of their names."""

import itertools
import warnings
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

SERIAL = itertools.count(1)
"""Numbers of the episodes of `Drift` in this process."""

Frame = NDArray[np.uint8]
Reset = tuple[Any, dict[str, Any]]
Step = tuple[Any, float, bool, bool, dict[str, Any]]


class Drift(gymnasium.Env[Frame, int]):
    """Not deterministic: no seed makes an episode again. It ends after 40 steps.

    The first two pixels tell the number of the episode and the env steps since the reset.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
        self.action_space = spaces.Discrete(3)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        self._serial, self._steps = next(SERIAL), 0
        return self._frame(), {}

    def step(self, action: int) -> Step:
        self._steps += 1
        return self._frame(), float(action == 1), self._steps == 40, False, {}

    def _frame(self) -> Frame:
        frame = np.zeros((16, 16, 3), dtype=np.uint8)
        frame[0, 0], frame[0, 1] = self._serial % 256, self._steps
        frame[4 + self._steps % 8, 4 + self._serial % 8] = 255
        return frame


class Grey(gymnasium.Env[Frame, int]):
    """Grey frames as bright as the last action, which is 5, 6 or 7; three lives; it warns."""

    def __init__(self) -> None:
        warnings.warn("made", stacklevel=2)
        self.observation_space = spaces.Box(0, 255, (12, 10, 1), np.uint8)
        self.action_space = spaces.Discrete(3, start=5)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        self._steps = 0
        return np.zeros((12, 10, 1), dtype=np.uint8), {"lives": 3}

    def step(self, action: int) -> Step:
        self._steps += 1
        frame = np.full((12, 10, 1), action, dtype=np.uint8)
        # A life goes at every second step, and only then is anything said of lives.
        lives = 3 - self._steps // 2
        info = {"lives": lives} if self._steps % 2 == 0 else {}
        return frame, 0.0, lives == 0, False, info


class Broken(gymnasium.Env[Any, Any]):
    """What is wrong with it is an option."""

    FLOATS: ClassVar = spaces.Box(-1, 1, (4,), np.float32)

    def __init__(self, wrong: str = "step") -> None:
        if wrong == "make":
            raise OSError("no such level")
        self._wrong = wrong
        picture = spaces.Box(0, 255, (16, 16), np.uint8)
        self.observation_space = self.FLOATS if wrong == "floats" else picture
        discrete = spaces.Discrete(2)
        self.action_space = self.FLOATS if wrong == "actions" else discrete

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        if self._wrong == "reset":
            raise ValueError("no start")
        shape = (3, 16, 16) if self._wrong == "shape" else (16, 16)
        return np.zeros(shape, dtype=np.uint8), {}

    def step(self, action: int) -> Step:
        if self._wrong == "step":
            raise ZeroDivisionError("the wheel came off")
        return np.zeros((16, 20), dtype=np.uint8), 0.0, False, False, {}

    def close(self) -> None:
        CLOSED.append(self._wrong)


CLOSED: list[str] = []
"""What was wrong with the `Broken` environments that were closed."""

for name in ("Drift", "Grey", "Broken"):
    gymnasium.register(f"Own/{name}-v0", entry_point=f"tests.own_games:{name}")
