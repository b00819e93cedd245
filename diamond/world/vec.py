"""A world model as a Gymnasium vector environment: games that are imagined, not played."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from diamond.config.base import first_reason
from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.worlds import WorldConfig, family_of
from diamond.envs.registration import register
from diamond.errors import RequestError, unknown
from diamond.families.interface import WorldModel
from diamond.records import RealStarts, to_bytes
from diamond.rng import RowNoise, StreamNoise, torch_generator
from diamond.seeds import Purpose
from diamond.world.build import world_of_checkpoint
from diamond.world.imagination import begin_anew
from diamond.world.starts import Starts, starts_of_checkpoint

Frames = NDArray[np.uint8]
START_INFOS = ("burn_in_frames", "burn_in_padded")
"""What `reset` tells of the real frames before an episode; the second one where any are copies."""
RENDER_MODE = "rgb_array"


class Game(NamedTuple):
    """What the spaces and the rendering of an environment need to know.

    Attributes:
        height: Rows of a frame, pixels.
        width: Columns of a frame, pixels.
        fps: Env steps in a second of play.
    """

    num_actions: int
    height: int
    width: int
    fps: int


def _to_numpy(frames: Tensor) -> Frames:
    pixels: Frames = to_bytes(frames).cpu().numpy()
    return pixels


class WorldModelVectorEnv(VectorEnv[Frames, NDArray[np.int64], NDArray[Any]]):
    """Imagined games side by side; the world model advances all of them in one call.

    Observations are frames (num_envs, h, w, 3) uint8, rewards -1, 0 or 1. `terminated` is an end
    that the model draws, `truncated` says that an episode has `horizon` env steps. Either begins
    the row anew from a fresh real start: in the same step (`SAME_STEP`: the observation is the
    first of the new episode, ``info["final_obs"]`` the last of the old one) or in the next
    (`NEXT_STEP`: its action is not used, its reward is 0). Where an episode begins,
    ``info["burn_in_frames"]`` has the real frames (num_envs, t - 1, h, w, 3) uint8 before its
    first observation, for agents with a memory; where starts are padded, ``info["burn_in_padded"]``
    says how many of them are copies of the first real one. Masks are those of `SyncVectorEnv`.

    Equal seeds give equal trajectories. With one seed one stream of numbers serves all rows, so
    that they depend on num_envs too. With a list of seeds every row has a stream of its own: its
    numbers are those of its seed alone, as with that seed and one row. What is calculated with
    them may round differently in a batch of another size.
    """

    def __init__(
        self,
        world: WorldModel[Any],
        starts: Starts,
        game: Game,
        size: tuple[int, int],
        autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP,
        render_mode: str | None = RENDER_MODE,
    ) -> None:
        """Put a world model behind Gymnasium's interface.

        Args:
            world: Any family of world models.
            starts: Where episodes begin; their device is that of the world.
            game: Sizes.
            size: Rows, and env steps after which an episode is truncated; at least 1 each.
            autoreset_mode: SAME_STEP or NEXT_STEP.
            render_mode: "rgb_array", or None: `render` shows nothing.
        """
        num_envs, self._horizon = size
        self.num_envs = num_envs
        self.metadata = {
            "autoreset_mode": autoreset_mode,
            "render_modes": [RENDER_MODE],
            "render_fps": game.fps,
        }
        self.render_mode = render_mode
        shape = (game.height, game.width, 3)
        self.single_observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.single_action_space = spaces.Discrete(game.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._num_actions = game.num_actions
        self._world = world
        self._starts = starts
        self._same_step = autoreset_mode is AutoresetMode.SAME_STEP
        self._state: Any = None
        self._row_random: list[np.random.Generator] = []
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._over = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, object] | None = None,
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin every row from a fresh real start.

        Args:
            seed: Seed of all that follows; None goes on with the numbers of the last seed. A list
                has a seed for each row, where None goes on with the numbers of that row;
                `np_random` and `np_random_seed` tell the last single seed.
            options: None are known.

        Returns:
            Observations, and infos with the burn-in frames.
        """
        if options:
            raise ValueError(f"options {options}: this environment has none")
        self._check_open()
        self._seed(seed)
        randoms = self._row_random or [self.np_random]
        streams = [int(random.integers(2**62)) for random in randoms]
        self._start_numbers = [torch_generator(stream, Purpose.VEC_STARTS) for stream in streams]
        noise = [torch_generator(stream, Purpose.VEC_NOISE) for stream in streams]
        self._noise = StreamNoise(noise[0]) if len(noise) == 1 else RowNoise(noise)
        rows = list(range(self.num_envs))
        starts = self._draw_starts(rows)
        self._state = self._world.start(*starts)
        self._lengths[:] = 0
        self._over[:] = False
        return self._observations(self._state), self._burn_in_infos({}, rows, starts)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Frames, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Imagine one env step in every row; rows that end begin anew.

        Args:
            actions: (num_envs,) integers in [0, num_actions).

        Returns:
            Observations, rewards (num_envs,) float64, terminated, truncated (num_envs,) bool,
            infos.
        """
        self._check_open()
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before the first step()")
        chosen = self._checked(actions)
        state, step = self._world.step(self._state, chosen, self._noise)
        self._lengths += 1
        rewards = step.reward.double().cpu().numpy()
        terminated = step.end.cpu().numpy()
        truncated = self._lengths >= self._horizon
        # What was over before this step begins anew in it: nothing happens there.
        waiting, self._over = self._over, np.zeros_like(self._over)
        rewards[waiting], terminated[waiting], truncated[waiting] = 0.0, False, False
        over = terminated | truncated
        infos: dict[str, object] = {}
        if self._same_step:
            infos = self._final_infos(over, state)
            waiting = over
        else:
            self._over = over
        if waiting.any():
            state, infos = self._begin_anew(np.flatnonzero(waiting), state, infos)
        self._state = state
        return self._observations(state), rewards, terminated, truncated, infos

    def render(self) -> tuple[Frames, ...] | None:
        """The current frame (h, w, 3) uint8 of every row; None without a render mode."""
        self._check_open()
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before render()")
        return None if self.render_mode is None else tuple(self._observations(self._state))

    def close_extras(self) -> None:
        """Let go of the imagined games."""
        self._state = None

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        """Seed the stream of all rows, or the stream of each."""
        if seed is None:
            return
        if not isinstance(seed, Sequence | np.ndarray):
            super().reset(seed=seed)
            self._row_random = []
            return
        if len(seed) != self.num_envs:
            raise ValueError(f"seed={seed}: {self.num_envs} seeds are needed, one for each row")
        before = self._row_random or [np_random()[0] for _ in seed]
        self._row_random = [
            random if own is None else np_random(int(own))[0]
            for own, random in zip(seed, before, strict=True)
        ]

    def _final_infos(self, over: NDArray[np.bool_], state: Any) -> dict[str, object]:
        infos: dict[str, object] = {}
        if over.any():
            last = self._observations(state)
            for row in np.flatnonzero(over).tolist():
                infos = self._add_info(infos, {"final_obs": last[row], "final_info": {}}, row)
        return infos

    def _begin_anew(
        self, rows: NDArray[np.int64], state: Any, infos: dict[str, object]
    ) -> tuple[Any, dict[str, object]]:
        index = torch.from_numpy(rows).to(self._world.frame(state).device)
        begun = rows.tolist()
        state, starts = begin_anew(self._world, state, index, lambda _: self._draw_starts(begun))
        self._lengths[rows] = 0
        return state, self._burn_in_infos(infos, begun, starts)

    def _draw_starts(self, rows: Sequence[int]) -> RealStarts:
        if len(self._start_numbers) == 1:
            return self._starts(len(rows), self._start_numbers[0])
        drawn = [self._starts(1, self._start_numbers[row]) for row in rows]
        return RealStarts(*(torch.cat(column) for column in zip(*drawn, strict=True)))

    def _burn_in_infos(
        self, infos: dict[str, object], rows: list[int], starts: RealStarts
    ) -> dict[str, object]:
        padded = starts.padded.tolist()
        for row, before, copies in zip(rows, _to_numpy(starts.frames[:, :-1]), padded, strict=True):
            told = {"burn_in_frames": before} | ({"burn_in_padded": copies} if any(padded) else {})
            infos = self._add_info(infos, told, row)
        return infos

    def _observations(self, state: Any) -> Frames:
        return _to_numpy(self._world.frame(state))

    def _checked(self, actions: Any) -> Tensor:
        chosen = np.asarray(actions)
        if (
            chosen.shape != (self.num_envs,)
            or not np.issubdtype(chosen.dtype, np.integer)
            or not ((chosen >= 0) & (chosen < self._num_actions)).all()
        ):
            raise gymnasium.error.InvalidAction(
                f"actions {actions!r}: {self.num_envs} integers from 0 to "
                f"{self._num_actions - 1} are expected"
            )
        assert self._state is not None
        device = self._world.frame(self._state).device
        return torch.from_numpy(chosen.astype(np.int64)).to(device)

    def _check_open(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError("the environment was closed")


def make_vec(  # noqa: PLR0913
    checkpoint: str | Path,
    num_envs: int = 1,
    horizon: int | None = None,
    steps: int | None = None,
    *,
    starts: str | Path | None = None,
    device: str | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    render_mode: str | None = RENDER_MODE,
) -> WorldModelVectorEnv:
    """Make the world model of a checkpoint a vector environment.

    Episodes begin after real frames. A checkpoint holds none: without `starts` the environment
    plays the checkpoint's game as it was played in training (view, actions, frame skip) with the
    presets' collector (random held actions, in Breakout and Pong the scripted expert) for 2000
    frames, the same ones every time. Every start is a uniform draw from them.

    Args:
        checkpoint: Folder that `diamond import-checkpoint` or `export-checkpoint` made.
        num_envs: Games side by side.
        horizon: Env steps after which an episode is truncated; None is the horizon that the
            checkpoint's policy was trained with.
        steps: Denoising steps a frame; None is as the checkpoint samples.
        starts: Folder with real frames of this game to start from, the outputs of a `frames`
            stage (``mlruns/stages/frames/<key>``); None records some.
        device: Where to compute, "cpu" or "cuda"; None is CUDA where there is one.
        autoreset_mode: SAME_STEP, or NEXT_STEP for wrappers and libraries that ask for it; as in
            `gymnasium.vector.SyncVectorEnv`.
        render_mode: "rgb_array", or None: `render` shows nothing.

    Raises:
        RequestError: The folder is not a checkpoint, a number is out of range, or the device or
            a mode is not known.
        WeightsError: The weights are missing, damaged or those of other networks.
    """
    mode = _autoreset_mode(autoreset_mode)
    if render_mode not in (None, RENDER_MODE):
        raise unknown("render_mode", str(render_mode), [RENDER_MODE], "or None: nothing is shown")
    where = _device(device)
    folder = Path(checkpoint)
    agent = read_checkpoint(folder)
    horizon = agent.policy.horizon_steps if horizon is None else horizon
    _check_count("num_envs", num_envs)
    _check_count("horizon", horizon)
    world = world_of_checkpoint(folder, agent, _drawing(agent, steps), where)
    real = None if starts is None else Path(starts)
    begin = starts_of_checkpoint(agent, world.history, real, where)
    fps = int(agent.environment.hertz)
    game = Game(agent.weights.num_actions, agent.view.height, agent.view.width, fps)
    return WorldModelVectorEnv(world, begin, game, (num_envs, horizon), mode, render_mode)


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    allowed = {known.value: known for known in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP)}
    name = mode.value if isinstance(mode, AutoresetMode) else mode
    if name not in allowed:
        raise RequestError(f"autoreset_mode={name!r}\n  allowed: {', '.join(allowed)}")
    return allowed[name]


def _device(name: str | None) -> torch.device:
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    allowed = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if name is None:
        return torch.device("cuda" if gpus else "cpu")
    if str(name) not in allowed:
        raise unknown("device", str(name), allowed, "leave it out for CUDA where there is one")
    return torch.device(name)


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise RequestError(f"{name}={value}: at least 1 is needed")


def _drawing(agent: Checkpoint, steps: int | None) -> WorldConfig:
    """The world model of a checkpoint, with so many denoising steps a frame."""
    if steps is None:
        return agent.world
    if "sampler" not in family_of(agent).sampling:
        raise RequestError(
            f"steps={steps}: the family {agent.world.family} has no denoising steps\n  leave it out"
        )
    data = agent.world.model_dump()
    try:
        return type(agent.world).model_validate(
            data | {"sampler": data["sampler"] | {"steps": steps}}
        )
    except ValidationError as error:
        raise RequestError(f"steps={steps}: {first_reason(error)}") from error


register()
