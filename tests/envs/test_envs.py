"""The emulator (replayable, without sticky actions, a Gymnasium environment), views, experts."""

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import AtariPreprocessing
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from diamond.config.environments import AtariConfig
from diamond.config.game_names import FIRST_SIX_ACTIONS, GAMES
from diamond.config.recording import Collector, PlayConfig, ViewConfig
from diamond.envs.atari import AtariEnv, rom_name
from diamond.envs.collecting_players import HeldRandomPlayer, scripted_players
from diamond.envs.real_game import EpisodeKey, draw_episode_key
from diamond.envs.view import apply_view, apply_view_all

EMULATOR = AtariConfig(frame_skip=4, max_noops=30, actions=None)
KEY = EpisodeKey(emulator_seed=123456789, num_noops=11)

Frames = NDArray[np.uint8]


def some_actions(num_actions: int, num_steps: int, seed: int = 0) -> list[int]:
    actions: list[int] = np.random.default_rng(seed).integers(num_actions, size=num_steps).tolist()
    return actions


def play(env: AtariEnv, key: EpisodeKey, actions: list[int]) -> tuple[list[Frames], list[float]]:
    frames, rewards = [env.begin(key)], []
    for action in actions:
        frame, reward, *_ = env.step(action)
        frames.append(frame)
        rewards.append(reward)
    return frames, rewards


def equal(first: list[Frames], second: list[Frames]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def raw_interface(game: str, seed: int) -> ale_py.ALEInterface:
    """An emulator that is set up here, not by the code under test."""
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", seed)
    rom = ale_py.roms.get_rom_path(rom_name(game))
    assert rom is not None
    ale.loadROM(rom)
    ale.reset_game()
    return ale


def test_gymnasium_accepts_the_environment() -> None:
    env = AtariEnv("Boxing", EMULATOR.model_copy(update={"actions": (0, 1, 2)}))
    check_env(env, skip_render_check=True)


def test_reset_belongs_to_its_seed() -> None:
    env = AtariEnv("Seaquest", EMULATOR)
    seen = [env.reset(seed=seed)[0] for seed in (5, 5, 6, 7, 8)]
    assert np.array_equal(seen[0], seen[1])
    assert any(not np.array_equal(seen[0], other) for other in seen[2:])


@pytest.mark.parametrize("game", ["Boxing", "Breakout", "Seaquest"])
def test_a_key_and_actions_give_the_same_frames_again(game: str) -> None:
    env = AtariEnv(game, EMULATOR)
    actions = some_actions(len(env.action_codes), 60)
    first = play(env, KEY, actions)
    # Something else is played between, and then another environment plays it.
    play(env, EpisodeKey(1, 3), actions[:40])
    again, fresh = play(env, KEY, actions), play(AtariEnv(game, EMULATOR), KEY, actions)
    assert equal(first[0], again[0])
    assert equal(first[0], fresh[0])
    assert first[1] == again[1] == fresh[1]
    # The comparison means something: the frames move, and the actions matter.
    assert not np.array_equal(first[0][0], first[0][-1])
    other = play(env, KEY, some_actions(len(env.action_codes), 60, seed=1))
    assert not equal(first[0], other[0])


def test_the_noops_make_the_episode_and_the_emulator_seed_does_not() -> None:
    """Without sticky actions these games never ask the emulator for a random number.

    So there are 31 starts, and episodes are told apart by their actions.
    """
    for game in ("Boxing", "Breakout"):
        env = AtariEnv(game, EMULATOR)
        actions = some_actions(len(env.action_codes), 60)
        base, _ = play(env, KEY, actions)
        assert equal(base, play(env, KEY._replace(emulator_seed=42), actions)[0])
        assert not equal(base, play(env, KEY._replace(num_noops=12), actions)[0])


@pytest.mark.parametrize("game", ["Boxing", "Seaquest", "Pong"])
@pytest.mark.parametrize("frame_skip", [1, 2, 4])
def test_frames_and_rewards_against_the_bare_emulator(game: str, frame_skip: int) -> None:
    """No sticky actions; the maximum of the last two emulator frames; rewards summed over four."""
    env = AtariEnv(game, EMULATOR.model_copy(update={"frame_skip": frame_skip}))
    ale = raw_interface(game, KEY.emulator_seed)
    for _ in range(KEY.num_noops):
        ale.act(0)
    # Actions change at every step: a sticky one would show.
    actions = some_actions(len(env.action_codes), 80)
    first = env.begin(KEY)
    assert np.array_equal(first, ale.getScreenRGB())
    flickers = 0
    for action in actions:
        frame, reward, *_ = env.step(action)
        screens, expected_reward = [], 0.0
        for _ in range(frame_skip):
            expected_reward += ale.act(env.action_codes[action])
            screens.append(ale.getScreenRGB())
        expected = screens[-1] if frame_skip == 1 else np.maximum(screens[-1], screens[-2])
        assert np.array_equal(frame, expected)
        assert reward == expected_reward
        flickers += not np.array_equal(expected, screens[-1])
    assert frame_skip == 1 or flickers > 0


@pytest.mark.parametrize("game", ["Pong", "Seaquest", "Qbert"])
def test_the_frame_at_game_over_is_the_last_screen(game: str) -> None:
    """Gymnasium's preprocessing, as the released code's, shows the frame before once more."""
    gymnasium.register_envs(ale_py)
    bare = gymnasium.make(f"{game}NoFrameskip-v4", max_episode_steps=None)
    other = AtariPreprocessing(
        bare, noop_max=0, screen_size=(160, 210), grayscale_obs=False, terminal_on_life_loss=False
    )
    other.reset(seed=0)
    env = AtariEnv(game, EMULATOR)
    env.begin(EpisodeKey(0, 0))
    rng = np.random.default_rng(0)
    before, lives_lost, over = np.empty(0), 0, False
    while not over:
        action = int(rng.integers(len(env.action_codes)))
        frame, reward, over, _, info = env.step(action)
        stale, other_reward, other_over, _, _ = other.step(action)
        assert (reward, over) == (other_reward, other_over)
        lives_lost += info["life_lost"] and not over
        if not over:
            assert np.array_equal(frame, stale)
            before = stale
    assert np.array_equal(stale, before)
    last = bare.unwrapped.ale.getScreenRGB()  # type: ignore[attr-defined]
    assert not np.array_equal(frame, stale)
    assert (frame >= last).all() and (frame == last).mean() > 0.99
    assert lives_lost == {"Pong": 0, "Seaquest": 3, "Qbert": 3}[game]


def test_the_action_set_can_be_reduced() -> None:
    full = AtariEnv("Boxing", EMULATOR)
    reduced = AtariEnv("Boxing", EMULATOR.model_copy(update={"actions": FIRST_SIX_ACTIONS}))
    assert (full.action_space.n, reduced.action_space.n) == (18, 6)  # type: ignore[attr-defined]
    assert reduced.action_codes == FIRST_SIX_ACTIONS == full.action_codes[:6]
    swapped = AtariEnv("Boxing", EMULATOR.model_copy(update={"actions": (3, 4)}))
    frames, _ = play(swapped, KEY, [0, 1, 1, 0] * 10)
    expected, _ = play(full, KEY, [3, 4, 4, 3] * 10)
    assert equal(frames, expected)


@pytest.mark.parametrize("game", GAMES)
def test_every_game_is_there(game: str) -> None:
    env = AtariEnv(game, EMULATOR)
    frame = env.begin(EpisodeKey(0, 0))
    assert frame.shape == (210, 160, 3)
    assert frame.dtype == np.uint8
    assert 3 <= len(env.action_codes) <= 18
    assert env.ram().shape == (128,)


def test_lives_and_the_end_of_breakout() -> None:
    env = AtariEnv("Breakout", EMULATOR)
    env.begin(KEY)
    lost, lives = 0, 5
    for step in range(4000):
        # Fire, then stay: the ball is missed at once.
        _, _, terminated, truncated, info = env.step(1 if step % 5 == 0 else 0)
        assert not truncated
        assert info["life_lost"] == (info["lives"] < lives)
        lost += info["life_lost"]
        lives = info["lives"]
        assert terminated == (lives == 0)
        if terminated:
            break
    assert (lost, lives) == (5, 0)
    # A new episode has all its lives, and losing the last one was not a loss of the new one.
    env.begin(KEY)
    assert env.step(0)[4] == {"lives": 5, "life_lost": False}


def test_keys_are_drawn_in_their_range() -> None:
    rng = np.random.default_rng(0)
    keys = [draw_episode_key(rng, EMULATOR) for _ in range(2000)]
    assert {key.num_noops for key in keys} == set(range(31))
    assert len({key.emulator_seed for key in keys}) == 2000
    assert all(0 <= key.emulator_seed < 2**31 for key in keys)
    none = EMULATOR.model_copy(update={"max_noops": 0})
    assert draw_episode_key(rng, none).num_noops == 0


def test_a_view_is_the_mean_of_its_pixels() -> None:
    native = np.random.default_rng(0).integers(0, 256, (210, 160, 3), dtype=np.uint8)
    view = ViewConfig(height=32, width=16, crop=(20, 180, 8, 152))
    out = apply_view(native, view)
    blocks = native[20:180, 8:152].reshape(32, 5, 16, 9, 3).astype(np.float64)
    assert out.shape == (32, 16, 3)
    # Rounded to a level.
    assert np.abs(out - blocks.mean(axis=(1, 3))).max() <= 0.5 + 1e-3


@given(st.integers(16, 210), st.integers(16, 160))
def test_a_flat_screen_stays_flat_at_any_size(height: int, width: int) -> None:
    native = np.empty((210, 160, 3), dtype=np.uint8)
    native[:] = (200, 100, 7)
    out = apply_view(native, ViewConfig(height=height, width=width, crop=None))
    assert out.shape == (height, width, 3)
    assert (out == (200, 100, 7)).all()


def test_views_of_many_frames_are_views_of_each() -> None:
    native = np.random.default_rng(0).integers(0, 256, (3, 210, 160, 3), dtype=np.uint8)
    view = ViewConfig(height=20, width=24, crop=None)
    whole = apply_view_all(native, view)
    assert all(np.array_equal(whole[i], apply_view(native[i], view)) for i in range(3))
    assert apply_view_all(native[:0], view).shape == (0, 20, 24, 3)


def score(game: str, collector: Collector, num_steps: int) -> float:
    """Total reward of two fixed episodes of at most `num_steps` env steps."""
    env = AtariEnv(game, EMULATOR)
    total = 0.0
    for index in range(2):
        config = PlayConfig(collector=collector, max_hold_steps=8, random_fraction=0.02)
        player = scripted_players(game, config)(env.action_codes, np.random.default_rng(index))
        screen = env.begin(EpisodeKey(100 + index, 5))
        for _ in range(num_steps):
            screen, reward, terminated, *_ = env.step(player.act(screen, env.ram()))
            total += reward
            if terminated:
                break
    return total


@pytest.mark.parametrize(("game", "margin"), [("Breakout", 8), ("Pong", 12)])
def test_the_expert_beats_random_play(game: str, margin: int) -> None:
    """Over two episodes of 400 env steps; measured: 22 against 7, and 1 against -20."""
    assert score(game, "expert", 400) > score(game, "random_held", 400) + margin


def test_random_actions_are_held_and_uniform() -> None:
    player = HeldRandomPlayer(4, max_hold_steps=8, rng=np.random.default_rng(0))
    memory = np.zeros(128, dtype=np.uint8)
    actions = []
    holds = []
    for _ in range(4000):
        if not player.holding:
            holds.append(0)
        actions.append(player.act(memory, memory))
        holds[-1] += 1
    assert set(holds[:-1]) == set(range(1, 9))
    shares = np.bincount(actions, minlength=4) / len(actions)
    # 4000 / 4.5 draws: four standard errors of a share, held lengths included, are about .07.
    assert np.abs(shares - 0.25).max() < 0.07
