"""Any environment of Gymnasium with pixels and discrete actions as a game of native frames."""

import importlib
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from numpy.typing import NDArray

from diamond.config.environments import GymnasiumConfig, Pixels
from diamond.envs.real_game import EpisodeKey, GameEnv, NativeFrame
from diamond.errors import DiamondError, RequestError, StageFailedError, nearest, unknown

GROUP = "gymnasium.envs"
"""Entry points of packages with environments; Gymnasium calls none of them since 1.0."""
PACKAGES: Mapping[str, str] = {"MiniGrid": "minigrid", "BabyAI": "minigrid"}
"""Packages without an entry point, whose import registers the ids that begin so."""
SMALLEST = 8
"""Pixels a side of the smallest observation that is taken for a picture."""
VIDEO_DRIVER = "SDL_VIDEODRIVER"


class GymnasiumEnv(GameEnv):
    """One environment by its id; a frame is its observation, or what it renders.

    Frames are as large as the first one, which a reset with seed 0 shows.
    """

    def __init__(self, game: str, config: GymnasiumConfig) -> None:
        """Make the environment.

        Raises:
            RequestError: There is none of that id, its package is missing, its constructor raises,
                it has no pixels, or its actions are not discrete.
            StageFailedError: It raises in reset, or what it gives is no frame.
        """
        self._name = game
        self._lives = 0
        with _headless_and_silent():
            self._env = _make(game, config)
            try:
                self.source = _source(self._env) if ":" in game else None
                self._first_action, num_actions = _discrete(game, self._env)
                self.pixels: Pixels = _choose_pixels(game, self._env, config)
                observation, _ = self._call("reset", lambda: self._env.reset(seed=0))
                first = self._picture(observation)
            except BaseException:
                self._env.close()
                raise
        self.action_codes = tuple(range(num_actions))
        self.action_names = _names(self._env, num_actions)
        super().__init__(config, (first.shape[0], first.shape[1]))

    def begin(self, key: EpisodeKey) -> NativeFrame:
        """Start the episode of a key: reset with its seed."""
        observation, info = self._call("reset", lambda: self._env.reset(seed=key.emulator_seed))
        self._lives = self._told_lives(info, 0)
        return self._frame(observation)

    def step(self, action: int) -> tuple[NativeFrame, float, bool, bool, dict[str, int]]:
        """Take one env step with an action index."""
        code = self.action_codes[int(action)] + self._first_action
        observation, reward, terminated, truncated, info = self._call(
            "step", lambda: self._env.step(code)
        )
        lives = self._told_lives(info, self._lives)
        life_lost, self._lives = lives < self._lives, lives
        said = {"lives": lives, "life_lost": life_lost}
        return self._frame(observation), float(reward), bool(terminated), bool(truncated), said

    def close(self) -> None:
        """Let go of the environment."""
        self._env.close()

    def _told_lives(self, info: Mapping[str, Any], before: int) -> int:
        lives = info.get("lives", before)
        if not isinstance(lives, int | np.integer):
            raise StageFailedError(f"{self._name} gave info['lives'] = {lives!r}, not a number")
        return int(lives)

    def _call(self, what: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            raise StageFailedError(
                f"{self._name} raised in {what}: {type(error).__name__}: {error}"
            ) from error

    def _frame(self, observation: Any) -> NativeFrame:
        frame = self._picture(observation)
        if frame.shape[:2] != self.native_size:
            raise StageFailedError(
                f"{self._name} gave a frame of {frame.shape[0]} x {frame.shape[1]} pixels, and its "
                f"first one had {self.native_size[0]} x {self.native_size[1]}"
            )
        return frame

    def _picture(self, observation: Any) -> NativeFrame:
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
        return whole


def find_spec(game: str) -> EnvSpec:
    """The entry of an id in Gymnasium's registry, which packages fill.

    Raises:
        RequestError: There is none, or the module before the colon does not load.
    """
    module, colon, name = game.rpartition(":")
    broken: list[str] = []
    if module:
        _load(game, module, "is it installed, or its folder in PYTHONPATH?")
    elif name not in gymnasium.registry:
        package = PACKAGES.get(re.split("[-/]", name)[0])
        if package is not None:
            _load(game, package, f"pip install {package}")
        else:
            broken = _fill_registry()
    if name not in gymnasium.registry:
        match = nearest(name, gymnasium.registry)
        guess = f" Did you mean {module + colon + match!r}?" if match else ""
        raise RequestError(
            f"unknown game {game!r}.{guess}\n  allowed: an id of Gymnasium's registry; one of your "
            "own is written module:ID, and importing the module registers it"
            + "".join(f"\n  {said}" for said in broken)
        )
    return gymnasium.registry[name]


def _source(env: gymnasium.Env[Any, Any]) -> str | None:
    """SHA-256 of the file that defines an environment's class; None where there is no such file."""
    try:
        return sha256(Path(inspect.getfile(type(env.unwrapped))).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None


@contextmanager
def _headless_and_silent() -> Iterator[None]:
    """Neither a window of pygame nor a warning of Gymnasium or of the packages it imports."""
    missing = VIDEO_DRIVER not in os.environ
    os.environ.setdefault(VIDEO_DRIVER, "dummy")
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        if missing:
            del os.environ[VIDEO_DRIVER]


def _load(game: str, module: str, advice: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:
        raise RequestError(
            f"{game}: the module {module!r} does not load: {type(error).__name__}: {error}"
            f"\n  {advice}"
        ) from error


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


def _make(game: str, config: GymnasiumConfig) -> gymnasium.Env[Any, Any]:
    spec = find_spec(game)
    options: dict[str, Any] = dict(config.options)
    try:
        _check_options(spec, options)
        # Gymnasium's checker warns of what does no harm here.
        options |= {"disable_env_checker": True}
        try:
            # A spec with no word on rendering is asked for frames all the same.
            return gymnasium.make(spec, render_mode="rgb_array", **options)
        except (TypeError, AssertionError):
            return gymnasium.make(spec, **options)
    except DiamondError:
        raise
    except Exception as error:
        said = str(error).partition(" was raised from the environment creator")[0]
        shown = f" with {config.options}" if config.options else ""
        raise RequestError(
            f"{game} cannot be made{shown}: {type(error).__name__}: {said}"
        ) from error


def _check_options(spec: EnvSpec, options: Mapping[str, Any]) -> None:
    """Refuse an option that the constructor does not have.

    Raises:
        RequestError: It has none of that name, or the name is that of how frames are rendered.
    """
    taken = _parameters(spec)
    allowed = {*taken, "max_episode_steps"} - {"render_mode"}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        allowed |= {*options} - {"render_mode"}
    for name in options:
        if name not in allowed:
            hint = f"{spec.id} takes those: --set environment.options.NAME=VALUE"
            raise unknown("option", name, allowed, hint)


def _parameters(spec: EnvSpec) -> dict[str, inspect.Parameter]:
    """What the constructor of an environment takes."""
    point = spec.entry_point
    if point is None:
        return {}
    return dict(
        inspect.signature(load_env_creator(point) if isinstance(point, str) else point).parameters
    )


def _discrete(game: str, env: gymnasium.Env[Any, Any]) -> tuple[int, int]:
    """The first action and how many there are."""
    actions = env.action_space
    if isinstance(actions, spaces.Discrete):
        return int(actions.start), int(actions.n)
    has_choice = env.spec is not None and "continuous" in _parameters(env.spec)
    raise RequestError(
        f"the actions of {game} are {actions}\n  allowed: discrete ones (Discrete)"
        + ("\n  --set environment.options.continuous=false" if has_choice else "")
    )


def _choose_pixels(game: str, env: gymnasium.Env[Any, Any], config: GymnasiumConfig) -> Pixels:
    seen = env.observation_space
    drawn = env.render_mode == "rgb_array"
    if config.pixels == "render" and not drawn:
        raise RequestError(
            f"environment.pixels=render: {game} renders no rgb_array\n  allowed: observation"
        )
    if config.pixels != "render" and _is_picture(seen):
        return "observation"
    if config.pixels == "observation" or not drawn:
        how = "it renders: --set environment.pixels=render" if drawn else "nor does it render"
        shown = " ".join(str(seen).split())
        raise RequestError(
            f"the observations of {game} are no pixels: {shown}\n  allowed: Box of uint8 "
            f"(h, w), (h, w, 1) or (h, w, 3), {SMALLEST} pixels a side or more; {how}"
        )
    return "render"


def _is_picture(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    shape = space.shape
    sides = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
    return sides and min(shape[:2]) >= SMALLEST


def _names(env: gymnasium.Env[Any, Any], count: int) -> tuple[str, ...]:
    """A word for each action; its number where the environment has no words for all."""
    bare: Any = env.unwrapped
    names: tuple[str, ...] = ()
    actions = getattr(bare, "actions", None)
    if hasattr(bare, "get_action_meanings"):
        names = tuple(map(str, bare.get_action_meanings()))
    elif isinstance(actions, type) and issubclass(actions, Enum):
        names = tuple(member.name for member in actions)
    return names if len(names) == count else tuple(map(str, range(count)))
