"""Games of every kind: what a frame is, that equal keys and actions give it again, what is refused.

Atari 100k is in test_envs.py.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minatar import Environment as BareMinAtar
from numpy.typing import NDArray

from diamond.config.environments import default_environment, read_environment
from diamond.config.game_names import GAMES, MINATAR_GAMES, OTHER_ATARI_GAMES
from diamond.config.recording import ViewConfig
from diamond.envs.atari import rom_name
from diamond.envs.gymnasium_env import GymnasiumEnv
from diamond.envs.open_game import open_game
from diamond.envs.palette import COLOURS
from diamond.envs.real_game import EpisodeKey, GameEnv
from diamond.envs.view import apply_view
from diamond.errors import DiamondError, ExitCode, RequestError, StageFailedError
from tests import own_games

Frames = NDArray[np.uint8]

KEY = EpisodeKey(emulator_seed=123456789, num_noops=0)
DRIFT, GREY, BROKEN = (f"tests.own_games:Own/{name}-v0" for name in ("Drift", "Grey", "Broken"))


def opened(game: str, **fields: Any) -> GameEnv:
    section = default_environment(game).model_dump() | fields
    return open_game(game, read_environment(section))


def refused(game: str, **fields: Any) -> DiamondError:
    with pytest.raises(DiamondError) as caught:
        opened(game, **fields)
    return caught.value


def some_actions(env: GameEnv, num_steps: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    actions: list[int] = rng.integers(len(env.action_codes), size=num_steps).tolist()
    return actions


def play(env: GameEnv, actions: Sequence[int], key: EpisodeKey = KEY) -> Frames:
    """Frames from the reset to the end or the last action."""
    frames = [env.begin(key)]
    for action in actions:
        frame, _, terminated, truncated, _ = env.step(action)
        frames.append(frame)
        if terminated or truncated:
            break
    return np.stack(frames)


# --- what all kinds have ----------------------------------------------------------------------

EVERY_KIND: dict[str, dict[str, Any]] = {
    "Pitfall": {"sticky_actions": 0.25},
    "SpaceInvaders": {"mode": 2, "difficulty": 1},
    "MinAtar/Breakout-v1": {"sticky_actions": 0.5},
    "MiniGrid-DoorKey-5x5-v0": {},
    "CarRacing-v3": {"options": {"continuous": False}},
    "CartPole-v1": {},
}


@pytest.mark.parametrize("game", EVERY_KIND)
def test_a_key_and_its_actions_make_the_same_frames_in_any_process_of_play(game: str) -> None:
    env = opened(game, **EVERY_KIND[game])
    actions = some_actions(env, 40)
    first = play(env, actions)
    # Another game is left where its last action was not the first one.
    play(env, some_actions(env, 11, seed=1), EpisodeKey(5, 2))
    again, fresh = play(env, actions), play(opened(game, **EVERY_KIND[game]), actions)
    assert np.array_equal(first, again)
    assert np.array_equal(first, fresh)
    assert first.shape[1:] == (*env.native_size, 3) == env.observation_space.shape
    assert first.dtype == np.uint8
    assert len(set(env.action_names)) == len(env.action_codes) >= 2
    # The comparison means something.
    assert not np.array_equal(first[0], first[-1])
    env.close()


@given(st.integers(8, 256), st.integers(8, 256), st.sampled_from(["area", "nearest"]))
def test_a_view_of_any_size_of_any_screen(height: int, width: int, resize: Any) -> None:
    native = np.full((10, 12, 3), (200, 100, 7), dtype=np.uint8)
    view = ViewConfig(height=height, width=width, crop=(1, 9, 2, 12), resize=resize)
    seen = apply_view(native, view)
    assert seen.shape == (height, width, 3)
    assert (seen == (200, 100, 7)).all()


# --- Atari beyond Atari 100k ------------------------------------------------------------------


def test_the_names_are_those_of_the_emulator_package() -> None:
    names = {*GAMES, *OTHER_ATARI_GAMES}
    assert len(names) == len(GAMES) + len(OTHER_ATARI_GAMES) == 104
    gymnasium.register_envs(ale_py)
    assert {f"ALE/{name}-v5" for name in names} == {
        spec.id for spec in gymnasium.registry.values() if spec.namespace == "ALE"
    }
    assert all(ale_py.roms.get_rom_path(rom_name(name)) is not None for name in names)


@pytest.mark.parametrize(("game", "rows"), [("Pitfall", 210), ("KingKong", 250), ("AirRaid", 250)])
def test_screens_have_the_rows_of_their_cartridge(game: str, rows: int) -> None:
    env = opened(game)
    frame = env.begin(KEY)
    assert frame.shape == (rows, 160, 3)
    assert env.native_size == (rows, 160)
    view = ViewConfig(height=64, width=64, crop=(0, 250, 0, 160))
    if rows == 250:
        assert apply_view(frame, view).shape == (64, 64, 3)
    else:
        with pytest.raises(ValueError, match=r"within the screen of 210 x 160 pixels"):
            view.check_native(env.native_size)


@pytest.mark.parametrize(
    ("game", "mode", "difficulty"),
    [("SpaceInvaders", 2, 0), ("Pong", 0, 1), ("DemonAttack", 0, 1), ("Galaxian", 2, 0)],
)
def test_mode_and_difficulty_are_those_of_the_bare_emulator(
    game: str, mode: int, difficulty: int
) -> None:
    """The cartridges of Demon Attack and Galaxian have no mode 0."""
    env = opened(game, mode=mode, difficulty=difficulty, frame_skip=1)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", KEY.emulator_seed)
    ale.loadROM(ale_py.roms.get_rom_path(rom_name(game)) or "")
    if mode:
        ale.setMode(mode)
    if difficulty:
        ale.setDifficulty(difficulty)
    ale.reset_game()
    expected = [ale.getScreenRGB()]
    actions = some_actions(env, 100)
    for action in actions:
        ale.act(env.action_codes[action])
        expected.append(ale.getScreenRGB())
    assert np.array_equal(play(env, actions), np.stack(expected))


@pytest.mark.parametrize("field", ["mode", "difficulty"])
def test_a_mode_that_the_cartridge_lacks_is_refused(field: str) -> None:
    error = refused("SpaceInvaders", **{field: 99})
    assert isinstance(error, RequestError)
    assert f"environment.{field}=99: SpaceInvaders has no such {field}" in str(error)
    assert "allowed: 0, 1" in str(error)


# --- MinAtar ----------------------------------------------------------------------------------

MOTIONS = {"trail", "speed1", "speed2", "speed3", "speed4", "speed5", "alien_left", "alien_right"}


def bare_minatar(game: str) -> BareMinAtar:
    name = {"SpaceInvaders": "space_invaders"}.get(game[8:-3], game[8:-3].lower())
    bare = BareMinAtar(name, sticky_action_prob=0.0)
    bare.seed(KEY.emulator_seed)
    bare.reset()
    return bare


def topmost(cells: NDArray[np.bool_], channels: dict[str, int]) -> list[list[str | None]]:
    """The name of what is seen in each cell: of several things the first, a trail only alone."""
    facing = [word for word in channels if word in {"alien_left", "alien_right"}]
    trails = [word for word in channels if word in MOTIONS and word not in facing]
    things = [word for word in channels if word not in MOTIONS]
    order = [*facing, *things, *reversed(trails)]
    return [
        [next((word for word in order if cells[y, x, channels[word]]), None) for x in range(10)]
        for y in range(10)
    ]


@pytest.mark.parametrize("game", MINATAR_GAMES)
def test_a_cell_has_the_colour_of_the_topmost_thing(game: str) -> None:
    env, without, bare = opened(game), opened(game, trail=False), bare_minatar(game)
    channels: dict[str, int] = bare.env.channels
    env.begin(KEY)
    without.begin(KEY)
    colours: dict[str | None, set[tuple[int, ...]]] = {}
    for action in some_actions(env, 300):
        frame, reward, terminated, truncated, _ = env.step(action)
        still = without.step(action)[0]
        assert (reward, terminated) == bare.act(env.action_codes[action])
        assert not truncated
        seen = topmost(bare.state(), channels)
        moves = np.array([[word in MOTIONS for word in row] for row in seen])
        assert np.array_equal(frame[~moves], still[~moves])
        assert (frame[moves] != still[moves]).any(axis=-1).all()
        for y, row in enumerate(seen):
            for x, word in enumerate(row):
                colours.setdefault(word, set()).add(tuple(frame[y, x].tolist()))
        if terminated:
            break
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == len(colours) >= 3
    assert set.union(*colours.values()) <= {tuple(colour) for colour in COLOURS.tolist()}
    assert colours[None] == {(0, 0, 0)}


def test_version_0_has_all_actions_and_version_1_those_that_do_something() -> None:
    six = ("noop", "left", "up", "right", "down", "fire")
    for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"):
        assert opened(f"MinAtar/{game}-v0").action_names == six
    assert opened("MinAtar/Breakout-v1").action_names == ("noop", "left", "right")
    assert opened("MinAtar/Breakout-v1").action_codes == (0, 1, 3)
    assert opened("MinAtar/Freeway-v1").action_names == ("noop", "up", "down")
    assert opened("MinAtar/SpaceInvaders-v1").action_names == ("noop", "left", "right", "fire")


def test_sticky_actions_repeat_and_do_not_reach_into_the_next_episode() -> None:
    env, key = opened("MinAtar/Breakout-v1", sticky_actions=0.9), EpisodeKey(7, 0)
    actions = [1, 2] * 4
    first = play(env, actions, key)
    assert not np.array_equal(first, play(opened("MinAtar/Breakout-v1"), actions, key))
    env.begin(EpisodeKey(1, 0))
    for _ in range(100):
        env.step(2)  # the last action is "right" then, and the first one of this key is sticky
    assert np.array_equal(first, play(env, actions, key))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in {"minatar", "minigrid"}]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in gymnasium.registry if name.startswith(("MiniGrid", "Baby"))]:
        monkeypatch.delitem(gymnasium.registry, name)
    for package in ("minatar", "minigrid"):
        monkeypatch.setitem(sys.modules, package, None)
    for game, package in (
        ("MinAtar/Breakout-v1", "minatar"),
        ("MiniGrid-Empty-5x5-v0", "minigrid"),
        ("BabyAI-OpenDoor-v0", "minigrid"),
    ):
        error = refused(game)
        assert isinstance(error, RequestError)
        assert f"pip install {package}" in str(error)


# --- Gymnasium --------------------------------------------------------------------------------


def test_minigrid_shows_the_whole_map_as_it_renders_it() -> None:
    env = opened("MiniGrid-Empty-16x16-v0")
    assert isinstance(env, GymnasiumEnv)
    assert env.pixels == "render"
    assert env.native_size == (512, 512)  # 16 x 16 tiles of 32 pixels
    assert env.action_names == ("left", "right", "forward", "pickup", "drop", "toggle", "done")
    # The agent sees 7 x 7 tiles, and the goal is in the far corner.
    assert env.begin(KEY)[14 * 32 + 16, 14 * 32 + 16].tolist() == [0, 255, 0]
    with pytest.raises(RequestError, match=r"(?s)no pixels: Dict.*environment\.pixels=render"):
        opened("MiniGrid-Empty-16x16-v0", pixels="observation")


def test_car_racing_is_seen_by_its_observation_and_its_limit_is_no_end() -> None:
    options = {"continuous": False, "max_episode_steps": 5}
    env = opened("CarRacing-v3", options=options)
    assert isinstance(env, GymnasiumEnv)
    assert (env.pixels, env.native_size) == ("observation", (96, 96))
    assert len(env.action_codes) == 5
    env.begin(KEY)
    said = [env.step(3)[2:4] for _ in range(5)]
    assert said == [(False, False)] * 4 + [(False, True)]
    drawn = opened("CarRacing-v3", options=options, pixels="render")
    assert drawn.native_size == (400, 600)


def test_what_is_rendered_stays_whole_when_another_environment_is_closed() -> None:
    """Closing one ends all of pygame."""
    first, second = opened("CartPole-v1"), opened("CartPole-v1")
    expected = play(second, [0, 1, 0, 1])
    second.begin(KEY)
    first.close()
    assert np.array_equal(play(second, [0, 1, 0, 1]), expected)
    second.close()


UNWATCHED = """
import os
from diamond.config.environments import GymnasiumConfig
from diamond.envs.open_game import open_game
from diamond.envs.real_game import EpisodeKey
for game in ("CartPole-v1", "CarRacing-v3", "MiniGrid-Empty-5x5-v0", "CartPole-v0"):
    options = {"continuous": False} if game == "CarRacing-v3" else {}
    env = open_game(game, GymnasiumConfig(options=options))
    env.begin(EpisodeKey(0, 0))
    env.step(0)
print(os.environ.get("SDL_VIDEODRIVER"))
"""


@pytest.mark.parametrize("driver", [None, "dummy"])
def test_nothing_is_said_and_no_window_is_asked_for(driver: str | None) -> None:
    """In a process that has drawn nothing yet, and whose warnings are errors."""
    told = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
    if driver is not None:
        told["SDL_VIDEODRIVER"] = driver
    command = [sys.executable, "-W", "error", "-c", UNWATCHED]
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(driver)


def test_grey_frames_actions_from_a_first_one_and_lives() -> None:
    env = opened(GREY)
    assert env.native_size == (12, 10)
    assert env.action_codes == (0, 1, 2)
    assert env.begin(KEY).shape == (12, 10, 3)
    steps = [env.step(action) for action in (0, 1, 2, 2, 2, 2)]
    assert [int(frame[0, 0, 0]) for frame, *_ in steps] == [5, 6, 7, 7, 7, 7]
    assert all((frame == frame[..., :1]).all() for frame, *_ in steps)
    assert [info["life_lost"] for *_, info in steps] == [False, True] * 3
    assert [over for _, _, over, _, _ in steps] == [False] * 5 + [True]
    # The next episode has all its lives.
    env.begin(KEY)
    assert env.step(0)[4] == {"lives": 3, "life_lost": False}


def test_a_game_that_drifts_is_played_but_not_replayed() -> None:
    env = opened(DRIFT, deterministic=False)
    assert not env.replayable
    assert not np.array_equal(play(env, [0] * 5), play(env, [0] * 5))


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("game", "fields", "said"),
    [
        ("CarRacing-v2", {}, ["unknown game 'CarRacing-v2'", "Did you mean 'CarRacing-v3'"]),
        ("MiniGrid-Emty-5x5-v0", {}, ["Did you mean 'MiniGrid-Empty-5x5-v0'"]),
        ("tests.own_games:Own/Dritf-v0", {}, ["mean 'tests.own_games:Own/Drift-v0'?"]),
        ("tests.no_games:Own/Drift-v0", {}, ["'tests.no_games' does not load", "PYTHONPATH"]),
        ("CarRacing-v3", {}, ["Box(", "discrete", "environment.options.continuous=false"]),
        ("Pendulum-v1", {}, ["the actions of Pendulum-v1 are Box", "discrete"]),
        ("CarRacing-v3", {"options": {"continous": False}}, ["'continous'", "'continuous'?"]),
        ("CartPole-v1", {"options": {"render_mode": "human"}}, ["'render_mode'", "allowed: max"]),
        ("CartPole-v1", {"pixels": "observation"}, ["no pixels: Box", "environment.pixels=render"]),
        (BROKEN, {"options": {"wrong": "floats"}}, ["no pixels: Box", "nor does it render"]),
        (BROKEN, {"options": {"wrong": "actions"}}, ["the actions of", "discrete"]),
        (BROKEN, {"options": {"wrong": "make"}}, ["cannot be made with", "OSError: no such level"]),
        (BROKEN, {"pixels": "render"}, ["renders no rgb_array", "allowed: observation"]),
    ],
)
def test_what_cannot_be_played_is_refused(
    game: str, fields: dict[str, Any], said: list[str]
) -> None:
    error = refused(game, **fields)
    assert isinstance(error, RequestError)
    assert error.exit_code is ExitCode.BAD_REQUEST
    assert all(words in str(error) for words in said), str(error)


def test_the_words_of_gymnasium_on_a_missing_package_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    error = refused("CarRacing-v3", options={"continuous": False})
    assert isinstance(error, RequestError)
    assert 'pip install "gymnasium[box2d]"' in str(error)


def test_an_environment_that_raises_or_changes_its_size_stops_with_a_sentence() -> None:
    own_games.CLOSED.clear()
    for wrong, said in (
        ("reset", "raised in reset: ValueError: no start"),
        ("shape", "(3, 16, 16"),
    ):
        error = refused(BROKEN, options={"wrong": wrong})
        assert isinstance(error, StageFailedError)
        assert said in str(error)
    assert own_games.CLOSED == ["reset", "shape"]  # what was not opened is closed
    env = opened(BROKEN)
    env.begin(KEY)
    with pytest.raises(StageFailedError, match=r"raised in step: ZeroDivisionError: the wheel"):
        env.step(0)
    growing = opened(BROKEN, options={"wrong": "size"})
    growing.begin(KEY)
    with pytest.raises(StageFailedError, match=r"16 x 20 pixels, and its first one had 16 x 16"):
        growing.step(0)


def test_a_module_that_raises_while_it_loads_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        if name == "tests.own_games":
            raise SyntaxError("line 3")
        return import_module(name)

    monkeypatch.setattr("diamond.envs.gymnasium_env.importlib.import_module", fail)
    assert "'tests.own_games' does not load: SyntaxError: line 3" in str(refused(DRIFT))
