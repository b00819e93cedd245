"""The world model as a Gymnasium vector environment.

What autoreset is comes from Gymnasium itself: `SyncVectorEnv` over the same toy game is the oracle.
What imagination is comes from `imagine`: both must draw the same trajectories.
"""

import copy
import json
import logging
import os
import pickle
import random  # noqa: TID251
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers
from numpy.typing import NDArray
from torch import Tensor

from diamond.agent.actor_critic import burn_in
from diamond.config.checkpoint_record import CHECKPOINT_FILE, read_checkpoint
from diamond.config.presets import smoke
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet
from diamond.engine.files import digest
from diamond.errors import RequestError, WeightsError
from diamond.families.diamond.config import diamond_of
from diamond.families.interface import Step
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.records import RealStarts, to_bytes, to_unit
from diamond.rng import Noise, StreamNoise, categorical, seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.world import make_vec
from diamond.world.env import WorldModelEnv
from diamond.world.imagination import Decision, ImaginationPolicy, imagine
from diamond.world.sb3 import StableBaselinesEnv
from diamond.world.vec import Game, WorldModelVectorEnv
from tests.agents import write_agent, write_frames
from tests.commands import ROOT, environment

ENV_ID = "diamond.world.vec:diamond/World-v0"
NUM_ENVS = 4
HORIZON = 6


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_agent(tmp_path_factory.mktemp("agent") / "breakout")


@pytest.fixture(scope="module")
def real(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("real") / "frames")


@pytest.fixture
def env(agent: Path, real: Path) -> Iterator[WorldModelVectorEnv]:
    made = make_vec(agent, NUM_ENVS, HORIZON, steps=2, starts=real)
    yield made
    made.close()


def trajectory(env: Any, num_steps: int, seed: int | None) -> list[Any]:
    """Everything that the environment returns under fixed actions."""
    actions = [(np.arange(env.num_envs) + index) % 4 for index in range(num_steps)]
    return [env.reset(seed=seed), *map(env.step, actions)]


def same(one: Any, other: Any) -> bool:
    """Gymnasium's own equality of nested data, exact; it knows no None inside arrays."""
    if isinstance(one, np.ndarray) and one.dtype == object:
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(data_equivalence(one, other, exact=True))


def test_spaces_types_and_ranges(env: WorldModelVectorEnv) -> None:
    assert env.single_observation_space == spaces.Box(0, 255, (32, 32, 3), np.uint8)
    assert env.observation_space == spaces.Box(0, 255, (NUM_ENVS, 32, 32, 3), np.uint8)
    assert env.single_action_space == spaces.Discrete(4)
    assert env.action_space == spaces.MultiDiscrete([4] * NUM_ENVS)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.metadata["render_fps"] == 15
    first, *rest = trajectory(env, 2 * HORIZON, seed=0)
    assert first[0] in env.observation_space
    rewards = []
    for observations, reward, terminated, truncated, _ in rest:
        assert observations in env.observation_space
        assert (reward.shape, reward.dtype) == ((NUM_ENVS,), np.float64)
        assert terminated.shape == truncated.shape == (NUM_ENVS,)
        assert terminated.dtype == truncated.dtype == np.bool_
        rewards += reward.tolist()
    assert set(rewards) == {-1.0, 0.0, 1.0}
    shown = env.render()
    assert shown is not None
    assert all(np.array_equal(*pair) for pair in zip(shown, rest[-1][0], strict=True))


def global_state() -> dict[str, Any]:
    """What a process shares with the libraries that it imports."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "kernels": (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.allow_tf32,
            torch.get_float32_matmul_precision(),
        ),
        "types": (torch.get_default_dtype(), torch.get_default_device()),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "floats": np.geterr(),
        "pictures": (cv2.getNumThreads(), cv2.useOptimized()),
        "log": logging.getLogger().level,
        "environments": set(gymnasium.registry),
    }


def test_an_environment_leaves_the_caller_as_it_was(agent: Path, real: Path) -> None:
    """Whoever builds networks of their own afterwards gets those that they would have got."""
    before = global_state()
    for starts in (None, real):
        env = gymnasium.make_vec(ENV_ID, num_envs=2, checkpoint=agent, steps=1, starts=starts)
        trajectory(env, 2, seed=0)
        env.close()
        assert global_state() == before


def test_equal_seeds_give_equal_trajectories(env: WorldModelVectorEnv) -> None:
    one = trajectory(env, 2 * HORIZON, seed=5) + trajectory(env, HORIZON, seed=None)
    two = trajectory(env, 2 * HORIZON, seed=5) + trajectory(env, HORIZON, seed=None)
    assert same(one, two)
    other = trajectory(env, 2 * HORIZON, seed=6)
    assert not same(one[0], other[0])
    # A reset without a seed goes on: it neither repeats the last episode nor forgets the seed.
    assert not same(one[0], one[2 * HORIZON + 1])
    assert env.np_random_seed == 6


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickled": lambda env: pickle.loads(pickle.dumps(env)),
    "deep copy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("seed", [5, [5, 6, 7, 8]])
def test_copies_go_on_with_the_same_trajectories(
    copied: Callable[[Any], Any], seed: Any, env: WorldModelVectorEnv
) -> None:
    fresh = copied(env)
    assert same(trajectory(fresh, 3, seed), trajectory(env, 3, seed))
    amid = copied(env)
    actions = np.arange(NUM_ENVS) % 4
    for _ in range(2 * HORIZON):
        assert same(amid.step(actions), env.step(actions))
    assert same(trajectory(amid, 3, None), trajectory(env, 3, None))


def test_nothing_returned_is_written_to_later(env: WorldModelVectorEnv) -> None:
    kept = trajectory(env, HORIZON, seed=1)
    copies = [[np.copy(part) for part in told if isinstance(part, np.ndarray)] for told in kept]
    trajectory(env, HORIZON, seed=2)
    for told, copied in zip(kept, copies, strict=True):
        arrays = [part for part in told if isinstance(part, np.ndarray)]
        assert all(np.array_equal(*pair) for pair in zip(arrays, copied, strict=True))


# The same trajectories as imagination for the project's own actor-critic.


def small_policy() -> ActorCriticNet:
    with seeded_init(0, Purpose.POLICY_INIT):
        net = ActorCriticNet(ActorCriticShape(4, 32, 32, (8, 8), 16))
    for index, parameter in enumerate(net.parameters()):
        generator = torch_generator(index, Purpose.BOOTSTRAP)
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return net.requires_grad_(False)


def as_seen(frames: Tensor) -> Tensor:
    """Frames at the levels that an observation has."""
    return to_unit(to_bytes(frames))


def act_in_imagination(env: WorldModelVectorEnv, num_steps: int) -> tuple[Any, list[Tensor]]:
    """`imagine` with the world, the starts and the streams of an environment that was seeded."""
    net, uniforms = small_policy(), torch.Generator().manual_seed(1)
    frames: list[Tensor] = []

    def act(frame: Tensor, memory: tuple[Tensor, Tensor]) -> Decision:
        frames.append(to_bytes(frame))
        logits, value, after = net(as_seen(frame), memory)
        action = categorical(logits, torch.rand(len(frame), generator=uniforms))
        return Decision(action, logits, value, after)

    policy = ImaginationPolicy(
        act,
        lambda past, padded: burn_in(net, as_seen(past), padded),
        lambda frame, memory: frame.new_zeros(len(frame)),
    )
    starts = torch_generator(stream_of_seed(3), Purpose.VEC_STARTS)
    noise = StreamNoise(torch_generator(stream_of_seed(3), Purpose.VEC_NOISE))
    done = imagine(
        env._world,
        policy,
        lambda num: env._starts(num, starts),
        lambda _: noise,
        (NUM_ENVS, num_steps),
    )
    return done, frames


def stream_of_seed(seed: int) -> int:
    """The first number of Gymnasium's generator for a seed."""
    generator, _ = gymnasium.utils.seeding.np_random(seed)
    return int(generator.integers(2**62))


def test_the_environment_is_imagination(agent: Path, real: Path) -> None:
    """An agent that only knows Gymnasium's interface meets the same frames, rewards and ends."""
    num_steps = 10
    env = make_vec(agent, NUM_ENVS, horizon=1000, steps=2, starts=real)
    expected, frames = act_in_imagination(env, num_steps)
    net, uniforms = small_policy(), torch.Generator().manual_seed(1)
    observations, infos = env.reset(seed=3)
    padded = torch.zeros(NUM_ENVS, dtype=torch.int64)
    memory = burn_in(net, with_current(infos["burn_in_frames"], observations), padded)
    rewards, ends = [], []
    for index in range(num_steps):
        assert np.array_equal(observations, frames[index].numpy()), index
        logits, _, memory = net(to_unit(torch.from_numpy(observations)), memory)
        actions = categorical(logits, torch.rand(NUM_ENVS, generator=uniforms))
        assert torch.equal(actions, expected.actions[:, index])
        observations, reward, terminated, _, infos = env.step(actions.numpy())
        rewards.append(reward)
        ends.append(terminated)
        if "burn_in_frames" in infos:
            begun = np.flatnonzero(infos["_burn_in_frames"])
            assert np.array_equal(begun, np.flatnonzero(terminated))
            past = with_current(infos["burn_in_frames"][begun], observations[begun])
            for mine, fresh in zip(memory, burn_in(net, past, padded[begun]), strict=True):
                mine[begun] = fresh
    assert np.array_equal(np.stack(rewards, axis=1), expected.rewards.numpy())
    assert np.array_equal(np.stack(ends, axis=1), expected.ends.numpy())
    restarts = expected.ends[:, :-2].sum(dim=1)
    assert restarts.min() < restarts.max()


def with_current(burn_in_frames: NDArray[np.uint8], observations: NDArray[np.uint8]) -> Tensor:
    return to_unit(torch.from_numpy(np.concatenate((burn_in_frames, observations[:, None]), 1)))


# Autoreset as Gymnasium does it.

TOY_START = 10
TOY_HORIZON = 5
TOY_END_ACTION = 3


class ToyState(NamedTuple):
    """A level (b,) that grows by the action; a frame shows it everywhere."""

    level: Tensor


class ToyWorld:
    """Action 3 ends the game, action 2 earns a point."""

    history = 1

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> ToyState:
        return ToyState(to_bytes(frames[:, -1])[:, 0, 0, 0].long())

    def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
        after = ToyState(state.level + action)
        reward = (action == 2).float()
        return after, Step(self.frame(after), reward, action == TOY_END_ACTION)

    def frame(self, state: ToyState) -> Tensor:
        levels = state.level[:, None, None, None].expand(-1, 16, 16, 3)
        return to_unit(levels.to(torch.uint8))


def toy_start(number: int) -> NDArray[np.uint8]:
    """Two real frames of the n-th episode that begins; after 200 they repeat."""
    start = np.empty((2, 16, 16, 3), dtype=np.uint8)
    start[0], start[1] = number % 200, TOY_START + number % 200
    return start


class ToyGame(gymnasium.Env[NDArray[np.uint8], int]):
    """The same game for Gymnasium's own vectoriser, one row at a time."""

    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = spaces.Discrete(4)  # type: ignore[assignment]

    def __init__(self, begun: list[int]) -> None:
        self._begun = begun

    def reset(self, **_: Any) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        start = toy_start(len(self._begun))
        self._begun.append(0)
        self._frame, self._steps = start[1], 0
        return self._frame, {"burn_in_frames": start[:1]}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self._frame, self._steps = self._frame + np.uint8(action), self._steps + 1
        ended = bool(action == TOY_END_ACTION)
        return self._frame, float(action == 2), ended, self._steps >= TOY_HORIZON, {}


def toy_env(mode: AutoresetMode) -> WorldModelVectorEnv:
    begun: list[int] = []

    def starts(num: int, generator: torch.Generator) -> RealStarts:
        frames = np.stack([toy_start(len(begun) + index) for index in range(num)])
        begun.extend([0] * num)
        seen = to_unit(torch.from_numpy(frames))
        return RealStarts(seen, torch.zeros(num, 1).long(), torch.zeros(num).long())

    game, size = Game(4, 16, 16, 15), (NUM_ENVS, TOY_HORIZON)
    return WorldModelVectorEnv(ToyWorld(), starts, game, size, mode)


def toy_oracle(mode: AutoresetMode) -> SyncVectorEnv:
    begun: list[int] = []
    games = [lambda: ToyGame(begun)] * NUM_ENVS
    return SyncVectorEnv(games, autoreset_mode=mode)


MODES = [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP]


class NoisyWorld(ToyWorld):
    """Levels jump, rewards and ends are drawn; no row is calculated together with another."""

    def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
        num = len(action)
        jumps = (40 * noise.normal("jump", (num, 2))).sum(dim=1).long()
        after = ToyState((state.level + action + jumps) % 256)
        reward = (noise.uniform("reward", num) < 0.5).float()
        return after, Step(self.frame(after), reward, noise.uniform("end", num) < 0.2)


def test_agents_are_told_how_much_of_a_start_is_padding() -> None:
    def starts(num: int, generator: torch.Generator) -> RealStarts:
        frames = torch.zeros(num, 3, 3, 16, 16)
        return RealStarts(frames, torch.zeros(num, 2, dtype=torch.int64), 2 - torch.arange(num))

    def rows(num: int) -> WorldModelVectorEnv:
        game = Game(4, 16, 16, 15)
        return WorldModelVectorEnv(ToyWorld(), starts, game, (num, TOY_HORIZON))

    infos = rows(3).reset(seed=0)[1]
    assert infos["burn_in_padded"].tolist() == [2, 1, 0]
    assert infos["burn_in_frames"].shape == (3, 2, 16, 16, 3)
    assert WorldModelEnv(rows(1)).reset(seed=0)[1]["burn_in_padded"] == 2
    many = StableBaselinesEnv(rows(3))
    many.reset()
    assert [told["burn_in_padded"] for told in many.reset_infos] == [2, 1, 0]


def noisy_env(num_envs: int, mode: AutoresetMode) -> WorldModelVectorEnv:
    def starts(num: int, generator: torch.Generator) -> RealStarts:
        levels = torch.randint(256, (num, 2, 1, 1, 1), generator=generator).to(torch.uint8)
        none = torch.zeros(num, 1, dtype=torch.int64)
        return RealStarts(to_unit(levels.expand(-1, -1, 16, 16, 3)), none, none[:, 0])

    game, size = Game(4, 16, 16, 15), (num_envs, TOY_HORIZON)
    return WorldModelVectorEnv(NoisyWorld(), starts, game, size, mode)


@pytest.mark.parametrize("mode", MODES)
def test_with_a_list_of_seeds_a_row_depends_on_its_own_alone(mode: AutoresetMode) -> None:
    """Whatever stands beside it, and as with its seed and one row."""
    seeds = [3, 8, 3, 11]
    actions = np.random.default_rng(0).integers(0, 4, (40, NUM_ENVS))
    env = noisy_env(NUM_ENVS, mode)
    told: list[Any] = [env.reset(seed=seeds), *map(env.step, actions)]
    assert np.sum([step[2] for step in told[1:]], axis=0).min() > 2
    for rows in ([0], [1], [3, 2], [2, 0, 1]):
        few = noisy_env(len(rows), mode)
        chosen: Any = seeds[rows[0]] if len(rows) == 1 else [seeds[row] for row in rows]
        again: list[Any] = [few.reset(seed=chosen), *map(few.step, actions[:, rows])]
        for one, other in zip(again, told, strict=True):
            assert same(one[:-1], tuple(part[rows] for part in other[:-1]))
    assert not same(told[0][0][0], told[0][0][1])
    assert same(told[0][0][0], told[0][0][2])


def test_in_a_list_of_seeds_none_goes_on() -> None:
    mode = AutoresetMode.SAME_STEP
    env, other = noisy_env(2, mode), noisy_env(2, mode)
    env.reset(seed=[1, 2])
    other.reset(seed=[7, 2])
    first, second = env.reset(seed=[1, None])[0], other.reset()[0]
    assert np.array_equal(first[0], noisy_env(1, mode).reset(seed=1)[0][0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], noisy_env(1, mode).reset(seed=2)[0][0])
    # One seed for all again: the rows forget theirs.
    assert same(env.reset(seed=4), noisy_env(2, mode).reset(seed=4))


@pytest.mark.parametrize("mode", MODES)
def test_autoreset_is_what_gymnasium_does(mode: AutoresetMode) -> None:
    """Observations, rewards, ends, cuts, final observations, infos and their masks, key by key."""
    env, oracle = toy_env(mode), toy_oracle(mode)
    assert env.observation_space == oracle.observation_space
    assert env.action_space == oracle.action_space
    assert env.metadata["autoreset_mode"] is oracle.metadata["autoreset_mode"]
    assert same(env.reset(seed=0), oracle.reset(seed=0))
    rng = np.random.default_rng(0)
    ended, cut, reset = 0, 0, False
    for _ in range(40):
        actions = rng.choice(4, size=NUM_ENVS, p=[0.4, 0.3, 0.2, 0.1])
        mine, expected = env.step(actions), oracle.step(actions)
        assert same(mine, expected)
        ended, cut = ended + mine[2].sum(), cut + mine[3].sum()
        if ended > 5 and (mine[2] | mine[3]).any() and not reset:
            # A reset forgets what was over and how long it took.
            reset = True
            assert same(env.reset(), oracle.reset())
    assert reset
    assert min(ended, cut) > 5


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "statistics": wrappers.RecordEpisodeStatistics,
    "list of infos": wrappers.DictInfoToList,
    "grey": wrappers.GrayscaleObservation,
    "small": lambda env: wrappers.ResizeObservation(env, shape=(8, 8)),
    "clipped": lambda env: wrappers.ClipReward(env, 0.0, 0.5),
    "normalised": wrappers.NormalizeReward,
}
WRAPPED = [(name, mode) for name in WRAPPERS for mode in MODES]
for observation_wrapper in ("grey", "small"):
    # Gymnasium refuses to transform observations in that mode.
    WRAPPED.remove((observation_wrapper, AutoresetMode.SAME_STEP))


@pytest.mark.parametrize(("name", "mode"), WRAPPED)
def test_wrappers_of_gymnasium_work_as_on_its_own_vector_environment(
    name: str, mode: AutoresetMode
) -> None:
    wrap = WRAPPERS[name]
    env, oracle = wrap(toy_env(mode)), wrap(toy_oracle(mode))
    told, expected = [env.reset(seed=0)], [oracle.reset(seed=0)]
    for index in range(12):
        actions = np.array([index % 3, 1, 2, 3 if index % 4 == 3 else 0])
        told.append(env.step(actions))
        expected.append(oracle.step(actions))
    for returned in (told, expected):
        for *_, infos in returned:
            if isinstance(infos, dict) and "episode" in infos:
                infos["episode"].pop("t")
    assert same(told, expected)
    env.close()


def test_tensors_go_in_and_come_out() -> None:
    pytest.importorskip("array_api_compat", reason="Gymnasium's conversion to torch needs it")
    # In the other mode Gymnasium cannot convert its own array of final observations.
    plain: Any = toy_env(AutoresetMode.NEXT_STEP)
    env: Any = wrappers.NumpyToTorch(toy_env(AutoresetMode.NEXT_STEP))
    assert torch.equal(env.reset(seed=0)[0], torch.from_numpy(plain.reset(seed=0)[0]))
    for action in (1, 2, 3, 0):
        actions = np.full(NUM_ENVS, action)
        told, expected = env.step(torch.from_numpy(actions)), plain.step(actions)
        assert all(
            np.array_equal(one.numpy(), other)
            for one, other in zip(told[:4], expected[:4], strict=True)
        )


def test_statistics_count_an_imagined_episode_to_its_horizon(agent: Path, real: Path) -> None:
    env = make_vec(agent, NUM_ENVS, HORIZON, steps=1, starts=real)
    counted = wrappers.RecordEpisodeStatistics(env)
    counted.reset(seed=0)
    lengths, rewards = np.zeros(NUM_ENVS, dtype=int), np.zeros(NUM_ENVS)
    cut = 0
    for _ in range(4 * HORIZON):
        _, reward, terminated, truncated, infos = counted.step(np.ones(NUM_ENVS, dtype=int))
        lengths, rewards = lengths + 1, rewards + reward
        assert np.array_equal(truncated, lengths == HORIZON)
        over = terminated | truncated
        if over.any():
            assert np.array_equal(infos["episode"]["l"][over], lengths[over])
            assert np.array_equal(infos["episode"]["r"][over], rewards[over])
            assert np.array_equal(infos["_final_obs"], over)
            assert np.array_equal(infos["_burn_in_frames"], over)
            assert all(
                infos["final_obs"][row] in env.single_observation_space
                for row in np.flatnonzero(over)
            )
            lengths[over], rewards[over] = 0, 0
        cut += truncated.sum()
    assert cut > 0


# Where episodes begin, and what a checkpoint decides.


def test_episodes_begin_after_real_frames_that_are_not_final(agent: Path, real: Path) -> None:
    dataset = FrameSet.load(real)
    final = set((dataset.bounds[1:] - 1).tolist())
    rows = {frame.tobytes(): row for row, frame in enumerate(dataset.frames)}
    env = make_vec(agent, 64, HORIZON, steps=1, starts=real)
    observations, infos = env.reset(seed=0)
    begun = [rows[frame.tobytes()] for frame in observations]
    assert not final & set(begun)
    assert len(set(begun)) > 32
    past = infos["burn_in_frames"]
    assert past.shape == (64, 3, 32, 32, 3)
    for row, before in zip(begun, past, strict=True):
        # Frames of a standing screen repeat, so contents are compared and not rows.
        assert (
            np.array_equal(before, dataset.frames[row - 3 : row])
            or row != rows[dataset.frames[row].tobytes()]
        )


def test_without_frames_the_real_game_gives_the_starts(
    agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diamond.world.starts.NUM_FRAMES", 200)
    config = smoke("Breakout")
    frames = config.frames.model_copy(update={"num_frames": 200})
    place = config.game, config.environment, config.view
    recorded = collect_frames(*place, frames, 0, lambda done, total: None).frames
    known = {frame.tobytes() for frame in recorded}
    observations, _ = make_vec(agent, 8, steps=1).reset(seed=0)
    assert all(frame.tobytes() in known for frame in observations)


def test_the_checkpoint_decides_what_is_not_asked_for(agent: Path, real: Path) -> None:
    policy, sampler = read_checkpoint(agent).policy, diamond_of(read_checkpoint(agent)).sampler
    default = make_vec(agent, 2, starts=real)
    spelled = make_vec(agent, 2, policy.horizon_steps, sampler.steps, starts=real)
    fewer = make_vec(agent, 2, policy.horizon_steps, 1, starts=real)
    told = [trajectory(env, policy.horizon_steps, seed=0) for env in (default, spelled, fewer)]
    assert same(told[0], told[1])
    assert same(told[0][0], told[2][0])
    assert not np.array_equal(told[0][1][0], told[2][1][0])


def test_gymnasium_makes_it_by_its_id(agent: Path, real: Path) -> None:
    arguments: dict[str, Any] = {"horizon": HORIZON, "steps": 2, "starts": str(real)}
    arguments["render_mode"] = "rgb_array"
    made = gymnasium.make_vec(ENV_ID, NUM_ENVS, checkpoint=str(agent), **arguments)
    assert isinstance(made.unwrapped, WorldModelVectorEnv)
    assert made.spec is not None
    assert made.spec.id == "diamond/World-v0"
    direct = make_vec(agent, NUM_ENVS, **arguments)
    assert same(trajectory(made, HORIZON, seed=0), trajectory(direct, HORIZON, seed=0))


def test_the_id_needs_no_import_and_the_package_loads_nothing_heavy(
    agent: Path, real: Path
) -> None:
    """In a fresh process: importing `diamond.world` loads neither torch nor Gymnasium."""
    program = f"""
import sys, diamond.world
assert not {{"torch", "gymnasium", "numpy"}} & set(sys.modules), sorted(sys.modules)
import gymnasium
assert "diamond/World-v0" not in gymnasium.registry
env = gymnasium.make_vec({ENV_ID!r}, 2, checkpoint={str(agent)!r}, starts={str(real)!r}, steps=1)
print(env.reset(seed=0)[0].shape)
one = gymnasium.make({ENV_ID!r}, checkpoint={str(agent)!r}, starts={str(real)!r}, steps=1)
print(one.reset(seed=0)[0].shape)
assert "stable_baselines3" not in sys.modules
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (0, "(2, 32, 32, 3)\n(32, 32, 3)\n"), done.stderr


def test_the_entry_point_registers_the_id() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    points = tomllib.loads(text)["project"]["entry-points"]["gymnasium.envs"]
    assert points.keys() == {"diamond"}
    gymnasium.registry.pop("diamond/World-v0", None)
    with gymnasium.envs.registration.namespace("diamond"):
        for name, value in points.items():
            EntryPoint(name, value, "gymnasium.envs").load()()
    spec = gymnasium.spec("diamond/World-v0")
    assert (spec.entry_point, spec.vector_entry_point) == (
        "diamond.world.env:make",
        "diamond.world.vec:make_vec",
    )


# Bad input.


def test_damaged_frames_are_refused(agent: Path, real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    shutil.copytree(real, folder)
    outputs = {path.name: digest(path) for path in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"outputs": outputs}))
    make_vec(agent, 1, HORIZON, steps=1, starts=folder).close()
    damaged = folder / "rewards.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RequestError, match=r"rewards\.npy differs from its digest"):
        make_vec(agent, 1, HORIZON, steps=1, starts=folder)


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no rows": ({"num_envs": 0}, ("num_envs=0", "at least 1")),
    "no horizon": ({"horizon": 0}, ("horizon=0", "at least 1")),
    "no denoising step": ({"steps": 0}, ("steps=0", "greater than or equal to 1")),
    "autoreset": ({"autoreset_mode": "Disabled"}, ("'Disabled'", "SameStep, NextStep")),
    "nothing to look at": ({"render_mode": "human"}, ("'human'", "allowed: rgb_array", "None")),
    "no device": ({"device": "gpu"}, ("unknown device 'gpu'", "allowed: cpu")),
    "one GPU too many": ({"device": "cuda:99"}, ("unknown device 'cuda:99'", "allowed: cpu")),
    "no frames": ({"starts": "nowhere"}, ("no recorded frames in 'nowhere'", "frames")),
}


@pytest.mark.parametrize(("arguments", "texts"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_made_says_why(
    arguments: dict[str, Any], texts: tuple[str, ...], agent: Path, real: Path
) -> None:
    with pytest.raises(RequestError) as refused:
        make_vec(agent, **({"starts": real} | arguments))
    assert all(text in str(refused.value) for text in texts)


def test_frames_of_another_view_and_folders_that_are_no_checkpoint_are_refused(
    agent: Path, real: Path, tmp_path: Path
) -> None:
    other = smoke("Breakout").view.model_copy(update={"height": 48})
    config = smoke("Breakout").model_copy(update={"view": other})
    with pytest.raises(RequestError, match=r"32 x 32.*48 x 32"):
        make_vec(write_agent(tmp_path / "tall", config), starts=real)
    with pytest.raises(RequestError, match="import-checkpoint"):
        make_vec(real)
    damaged = write_agent(tmp_path / "damaged")
    (damaged / "reward_end.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match="damaged"):
        make_vec(damaged, starts=real)


def test_nothing_is_shown_where_nobody_asked_for_it(agent: Path, real: Path) -> None:
    env = gymnasium.make_vec(ENV_ID, 2, checkpoint=agent, starts=real, steps=1, render_mode=None)
    assert env.render_mode is None
    env.reset(seed=0)
    assert env.render() is None


def test_misuse_is_named_as_gymnasium_names_it(env: WorldModelVectorEnv) -> None:
    fine = np.zeros(NUM_ENVS, dtype=np.int64)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(fine)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": fine.astype(bool)})
    with pytest.raises(ValueError, match="4 seeds are needed"):
        env.reset(seed=[1, 2, 3])
    env.reset(seed=0)
    wrong: Any
    for wrong in (fine[:-1], fine + 4, fine - 1, fine.astype(np.float64)):
        with pytest.raises(gymnasium.error.InvalidAction, match="4 integers from 0 to 3"):
            env.step(wrong)
    env.close()
    env.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.step(fine)
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.render()


def test_an_agent_of_a_recording_needs_its_frames_to_start_from(
    agent: Path, real: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(agent, tmp_path / "agent")
    said = json.loads((folder / CHECKPOINT_FILE).read_text())
    said |= {"game": "frames:mine", "environment": {"kind": "recording", "padding": "start"}}
    (folder / CHECKPOINT_FILE).write_text(json.dumps(said))
    with pytest.raises(RequestError, match=r"frames:mine, a recording.*(?s:.)*starts="):
        make_vec(folder, steps=1)
    env = make_vec(folder, 2, steps=1, starts=real)
    assert env.reset(seed=0)[0].shape == (2, 32, 32, 3)
    frames = FrameSet.load(real)
    numbers = np.zeros((len(frames.actions), 3), dtype=np.float32)
    other = tmp_path / "numbers"
    other.mkdir()
    replace(frames, actions=numbers).save(other)
    with pytest.raises(RequestError, match="is 3 numbers"):
        make_vec(folder, 2, steps=1, starts=other)
