"""Any environment of Gymnasium with pixels and discrete actions as a game of native frames."""

import importlib
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import entry_points
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from diamond.config.environments import GymnasiumConfig, Pixels
from diamond.envs.interface import EpisodeKey, GameEnv, NativeFrame
from diamond.errors import DiamondError, RequestError, StageFailedError, nearest

GROUP = "gymnasium.envs"
"""Entry points of packages with environments; Gymnasium calls none of them since 1.0."""
PACKAGES: Mapping[str, str] = {"MiniGrid": "minigrid", "BabyAI": "minigrid", "procgen": "procgen2"}
"""What to install for the environments whose ids begin so."""
SMALLEST = 8
"""Pixels a side of the smallest frame."""


class GymnasiumEnv(GameEnv):
    """One environment by its id; a frame is its observation, or what it renders."""

    def __init__(self, game: str, config: GymnasiumConfig) -> None:
        """Make the environment.

        Raises:
            RequestError: There is none of that id, its package is missing, its constructor raises,
                it has no pixels, or its actions are not discrete.
        """
        self._name = game
        spec = find_spec(game)
        self._env = self._make(spec, config)
        self.pixels: Pixels = self._choose_pixels(config)
        actions = self._env.action_space
        if not isinstance(actions, spaces.Discrete):
            raise RequestError(
                f"the actions of {game} are {actions}\n  allowed: discrete ones (Discrete)"
                f"\n  some environments take an option: --set environment.options.continuous=false"
            )
        self._first_action = int(actions.start)
        self.action_codes = tuple(range(int(actions.n)))
        self.action_names = _names(self._env, len(self.action_codes))
        self._lives = 0
        first = self.begin(EpisodeKey(0, 0))
        super().__init__(config, (first.shape[0], first.shape[1]))

    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key: reset with its seed."""
        observation, info = self._call("reset", lambda: self._env.reset(seed=key.emulator_seed))
        self._lives = int(info.get("lives", 0))
        return self._frame(observation)

    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, Any]]:
        """Take one env step with an action index."""
        code = self.action_codes[int(action)] + self._first_action
        observation, reward, terminated, truncated, info = self._call(
            "step", lambda: self._env.step(code)
        )
        lives = int(info.get("lives", 0))
        life_lost, self._lives = lives < self._lives, lives
        said = {"lives": lives, "life_lost": life_lost}
        return self._frame(observation), float(reward), bool(terminated), bool(truncated), said

    def close(self) -> None:
        """Let go of the environment."""
        self._env.close()

    def _call(self, what: str, act: Any) -> Any:
        try:
            return act()
        except DiamondError:
            raise
        except Exception as error:
            raise StageFailedError(
                f"{self._name} raised in {what}: {type(error).__name__}: {error}"
            ) from error

    def _make(self, spec: gymnasium.envs.registration.EnvSpec, config: GymnasiumConfig) -> Any:
        # A spec with no word on rendering is asked for frames all the same: it may know the mode.
        options: dict[str, Any] = dict(config.options)
        try:
            try:
                return gymnasium.make(spec, render_mode="rgb_array", **options)
            except (TypeError, AssertionError):
                return gymnasium.make(spec, **options)
        except Exception as error:
            shown = f" with {options}" if options else ""
            raise RequestError(
                f"{self._name} cannot be made{shown}: {type(error).__name__}: {error}"
            ) from error

    def _choose_pixels(self, config: GymnasiumConfig) -> Pixels:
        seen = self._env.observation_space
        drawn = self._env.render_mode == "rgb_array"
        if config.pixels == "render" and not drawn:
            raise RequestError(f"environment.pixels=render: {self._name} renders no rgb_array")
        if config.pixels != "render" and _is_picture(seen):
            return "observation"
        if config.pixels == "observation" or not drawn:
            how = "it renders: --set environment.pixels=render" if drawn else "nor does it render"
            raise RequestError(
                f"the observations of {self._name} are no pixels: {seen}\n  allowed: Box of uint8 "
                f"(h, w), (h, w, 1) or (h, w, 3), {SMALLEST} pixels a side or more; {how}"
            )
        return "render"

    def _frame(self, observation: Any) -> NativeFrame:
        picture = observation
        if self.pixels == "render":
            picture = self._call("render", self._env.render)
        frame = np.asarray(picture)
        if frame.ndim == 2:
            frame = frame[..., None]
        if frame.ndim != 3 or frame.shape[-1] not in (1, 3) or frame.dtype != np.uint8:
            raise StageFailedError(
                f"{self._name} gave a frame of {frame.dtype} {frame.shape}, not uint8 (h, w, 3)"
            )
        whole: NDArray[np.uint8] = np.repeat(frame, 3 // frame.shape[-1], axis=-1)
        return whole.copy()


def find_spec(game: str) -> gymnasium.envs.registration.EnvSpec:
    """The entry of an id in Gymnasium's registry, which packages fill.

    Raises:
        RequestError: There is none, or the module before the colon does not load.
    """
    module, _, name = game.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise RequestError(
                f"{game}: the module {module!r} does not load: {type(error).__name__}: {error}"
            ) from error
    broken = [] if name in gymnasium.registry else _fill_registry()
    if name not in gymnasium.registry:
        match = nearest(name, gymnasium.registry)
        guess = f" Did you mean {match!r}?" if match else ""
        package = PACKAGES.get(name.split("/", maxsplit=1)[0].split("-", maxsplit=1)[0])
        install = f"\n  it comes with another package: pip install {package}" if package else ""
        raise RequestError(
            f"unknown game {game!r}.{guess}{install}\n  allowed: an id of Gymnasium's registry; "
            "one of your own is written module:ID, and importing the module registers it"
            + "".join(f"\n  {said}" for said in broken)
        )
    return gymnasium.registry[name]


def _fill_registry() -> list[str]:
    """Call what packages offer to register their environments; what is wrong with some."""
    broken = []
    for point in entry_points(group=GROUP):
        if point.value.startswith("diamond."):
            continue
        try:
            register = point.load()
            if callable(register):
                register()
        except Exception as error:
            broken.append(f"the package of {point.name} does not load: {error}")
    return broken


def _is_picture(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    shape = space.shape
    sides = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
    return sides and min(shape[:2]) >= SMALLEST


def _names(env: Any, count: int) -> tuple[str, ...]:
    bare = env.unwrapped
    if hasattr(bare, "get_action_meanings"):
        return tuple(bare.get_action_meanings())
    actions = getattr(bare, "actions", None)
    if isinstance(actions, type) and issubclass(actions, Enum):
        return tuple(member.name for member in actions)
    return tuple(map(str, range(count)))
