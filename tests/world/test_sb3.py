"""Stable-Baselines3 in imagined games: its own vectoriser is the oracle, its own PPO the user."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from torch import Tensor

import diamond.world
from diamond.config.checkpoint_record import read_checkpoint
from diamond.errors import RequestError
from diamond.world import StableBaselinesEnv, make, make_vec
from tests.agents import write_agent, write_frames
from tests.world.test_vec import NUM_ENVS, ToyGame, same, toy_env


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an environment of the tests is made from."""
    folder: Path = tmp_path_factory.mktemp("sb3")
    agent, real = write_agent(folder / "breakout"), write_frames(folder / "frames")
    return {"checkpoint": agent, "starts": real, "steps": 1}


def toy_oracle() -> DummyVecEnv:
    begun: list[int] = []
    return DummyVecEnv([lambda: ToyGame(begun)] * NUM_ENVS)


def test_it_is_what_their_own_vector_environment_is() -> None:
    """Observations, rewards, ends, cuts, final observations and infos, row by row."""
    env, oracle = StableBaselinesEnv(toy_env(AutoresetMode.SAME_STEP)), toy_oracle()
    assert env.observation_space == oracle.observation_space
    assert env.action_space == oracle.action_space
    assert same(env.reset(), oracle.reset()) and same(env.reset_infos, oracle.reset_infos)
    rng = np.random.default_rng(0)
    ends = cuts = 0
    for _ in range(40):
        actions = rng.choice(4, size=NUM_ENVS, p=[0.4, 0.3, 0.2, 0.1])
        mine, expected = env.step(actions), oracle.step(actions)
        assert same(mine, expected) and same(env.reset_infos, oracle.reset_infos)
        assert mine[1].dtype == expected[1].dtype
        cut = sum(info["TimeLimit.truncated"] for info in mine[3])
        ends, cuts = ends + mine[2].sum() - cut, cuts + cut
    assert min(ends, cuts) > 5


def test_seeds_are_those_of_rows_and_used_once(given: dict[str, Any]) -> None:
    env, rows = StableBaselinesEnv(make_vec(num_envs=3, **given)), make_vec(num_envs=3, **given)
    for seed in (7, 8):
        env.seed(seed)
        assert same(env.reset(), rows.reset(seed=[seed, seed + 1, seed + 2])[0])
    assert same(env.reset(), rows.reset()[0])
    env.set_options({"level": 2})
    with pytest.raises(ValueError, match="level"):
        env.reset()


def test_rows_are_one_object(given: dict[str, Any]) -> None:
    env = StableBaselinesEnv(make_vec(num_envs=3, **given))
    observations = env.reset()
    assert env.render_mode == "rgb_array"
    assert same(list(env.get_images()), list(observations))
    picture = env.render()
    assert picture is not None and picture.shape == (2 * 32, 2 * 32, 3)
    assert env.get_attr("num_envs", 1) == [3] and not env.has_attr("lives")
    env.set_attr("told", 5)
    assert env.get_attr("told", [0, 2]) == [5, 5]
    assert len(env.env_method("render")) == 3
    for refused in (
        lambda: env.set_attr("told", 6, 0),
        lambda: env.env_method("render", indices=0),
    ):
        with pytest.raises(RequestError, match="rows are one object"):
            refused()
    env.close()
    assert env.envs.closed
    silent = StableBaselinesEnv(make_vec(num_envs=2, render_mode=None, **given))
    silent.reset()
    assert list(silent.get_images()) == [None, None]


def learn(given: dict[str, Any], num_steps: int) -> PPO:
    env = VecMonitor(StableBaselinesEnv(make_vec(num_envs=16, **given)))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=64, n_epochs=2, seed=0, device="cpu")
    return model.learn(num_steps)


def weights(model: PPO) -> list[Tensor]:
    return list(model.policy.state_dict().values())


def test_ppo_learns_in_a_world_model(given: dict[str, Any]) -> None:
    model = learn(given, 2000)
    assert model.num_timesteps >= 2000
    assert len(model.ep_info_buffer or ()) > 0
    returns, lengths = evaluate_policy(
        model, make(**given), n_eval_episodes=2, return_episode_rewards=True, warn=False
    )
    assert np.isfinite(returns).all()
    assert np.max(lengths) <= read_checkpoint(given["checkpoint"]).policy.horizon_steps


def test_equal_seeds_learn_the_same(given: dict[str, Any]) -> None:
    none, one, other = learn(given, 0), learn(given, 256), learn(given, 256)
    assert all(map(torch.equal, weights(one), weights(other)))
    assert not all(map(torch.equal, weights(one), weights(none)))


@pytest.mark.filterwarnings("ignore:The minimal resolution for an image")
def test_their_check_suite_passes_on_a_single_environment(given: dict[str, Any]) -> None:
    """The frames of smoke are smaller than their convolutions take; other warnings are errors."""
    check_env(make(**given))


def test_another_autoreset_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'NextStep'.*'SameStep' alone"):
        StableBaselinesEnv(toy_env(AutoresetMode.NEXT_STEP))


def test_without_their_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "diamond.world.sb3")
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.vec_env", None)
    with pytest.raises(RequestError, match="pip install stable-baselines3"):
        _ = diamond.world.StableBaselinesEnv
