"""The world model as a single environment: Gymnasium's checker, and its vectoriser as an oracle."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from diamond.errors import RequestError
from diamond.world import make, make_vec
from diamond.world.env import WorldModelEnv
from tests.agents import write_agent, write_frames

ENV_ID = "diamond.world.vec:diamond/World-v0"
HORIZON = 6


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an environment of the tests is made from."""
    folder: Path = tmp_path_factory.mktemp("single")
    agent, real = write_agent(folder / "breakout"), write_frames(folder / "frames")
    return {"checkpoint": agent, "starts": real, "horizon": HORIZON, "steps": 1}


def episode(env: Any, seed: int | None) -> list[Any]:
    """Everything that the environment returns until the episode is over."""
    observation, info = env.reset(seed=seed)
    told, over = [observation, info["burn_in_frames"]], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(np.int64(len(told) % 4))
        over = terminated or truncated
        told += [observation, reward, terminated, truncated]
        assert info == {}
    return told


def equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize("render_mode", ["rgb_array", None])
def test_the_check_suite_of_gymnasium_passes(given: dict[str, Any], render_mode: str) -> None:
    """Determinism, spaces, types, fresh data at every call, rendering; its warnings are errors."""
    made = gymnasium.make(ENV_ID, render_mode=render_mode, **given)
    assert isinstance(made.unwrapped, WorldModelEnv)
    assert made.metadata["render_fps"] == 15
    check_env(made.unwrapped)


def test_equal_seeds_give_equal_episodes(given: dict[str, Any]) -> None:
    env = make(**given)
    one = [episode(env, seed) for seed in (5, None, 6)]
    two = [episode(make(**given), 5)]
    again = gymnasium.make(ENV_ID, **given)
    two += [episode(again, 5), episode(again, None), episode(again, 6)]
    assert equal(one[0], two[0]) and all(map(equal, one, two[1:]))
    assert not equal(one[0], one[1]) and not equal(one[0], one[2])
    assert env.np_random_seed == 6


def test_an_episode_ends_once_and_stays_as_it_was(given: dict[str, Any]) -> None:
    horizon = 2  # the untrained model soon draws an end
    env, ends, cuts = make(**given | {"horizon": horizon}), 0, 0
    for seed in range(30):
        told = episode(env, seed)
        assert len(told) - 2 <= 4 * horizon
        ends, cuts = ends + told[-2], cuts + told[-1]
        # At the horizon it is cut, earlier only by an end.
        assert told[-1] == (len(told) - 2 == 4 * horizon) and (told[-1] or told[-2])
        shown = env.render()
        assert shown is not None and np.array_equal(shown, told[-4])
        for _ in range(2):
            with pytest.raises(gymnasium.error.ResetNeeded, match="the episode is over"):
                env.step(np.int64(0))
    assert min(ends, cuts) > 0


def test_many_of_them_are_the_vector_environment(given: dict[str, Any]) -> None:
    """Rows with seeds of their own until one is over; a batch rounds in another way."""
    seeds = [4, 9, 2]
    single = gymnasium.make_vec(ENV_ID, 3, vectorization_mode="sync", **given)
    side_by_side = make_vec(num_envs=3, autoreset_mode=AutoresetMode.NEXT_STEP, **given)
    one, other = single.reset(seed=seeds), side_by_side.reset(seed=seeds)  # type: ignore[arg-type]
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1]["burn_in_frames"], other[1]["burn_in_frames"])
    steps = 0
    over = np.zeros(3, dtype=np.bool_)
    while not over.any():
        actions = np.array([steps % 4, 1, 2])
        told, expected = single.step(actions), side_by_side.step(actions)
        assert np.abs(told[0].astype(int) - expected[0].astype(int)).max() <= 1
        assert all(map(np.array_equal, told[1:4], expected[1:4]))
        over, steps = told[2] | told[3], steps + 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_with_the_same_episodes(
    copied: Callable[[Any], Any], given: dict[str, Any]
) -> None:
    env = make(**given)
    assert equal(episode(copied(env), 3), episode(env, 3))
    amid = copied(env)
    assert [equal(episode(amid, None), episode(env, None)) for _ in range(3)] == [True] * 3


def test_misuse_and_bad_input_are_named(given: dict[str, Any]) -> None:
    env = make(render_mode=None, **given)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))
    env.reset(seed=0)
    assert env.render() is None
    with pytest.raises(gymnasium.error.InvalidAction, match="from 0 to 3"):
        env.step(np.int64(4))
    env.close()
    env.close()
    calls: tuple[Callable[[], Any], ...] = (
        env.reset,
        env.render,
        lambda: env.step(np.int64(0)),
    )
    for call in calls:
        with pytest.raises(gymnasium.error.ClosedEnvironmentError):
            call()
    with pytest.raises(RequestError, match="unknown device 'gpu'"):
        make(**given | {"device": "gpu"})
    with pytest.raises(RequestError, match="unknown render_mode 'human'"):
        gymnasium.make(ENV_ID, render_mode="human", **given)
