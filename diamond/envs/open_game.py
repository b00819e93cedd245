"""Opening a real game of any kind."""

from typing import assert_never

from diamond.config.environments import (
    AtariConfig,
    Environment,
    GymnasiumConfig,
    MinAtarConfig,
    RecordingConfig,
)
from diamond.config.recording import ViewConfig
from diamond.envs.atari import AtariEnv
from diamond.envs.gymnasium_env import GymnasiumEnv
from diamond.envs.minatar import MinAtarEnv
from diamond.envs.real_game import GameEnv
from diamond.errors import RequestError


def open_game(game: str, environment: Environment) -> GameEnv:
    """Open a game.

    Raises:
        RequestError: It cannot be played: its package is missing, it has no pixels, its actions are
            not discrete.
    """
    match environment:
        case AtariConfig():
            return AtariEnv(game, environment)
        case MinAtarConfig():
            return MinAtarEnv(game, environment)
        case GymnasiumConfig():
            return GymnasiumEnv(game, environment)
        case RecordingConfig():
            raise RequestError(
                f"{game} is a recording: there is no game to play\n"
                "  name the game that it is of with --game"
            )
        case _:
            assert_never(environment)


def action_codes(game: str, environment: Environment) -> tuple[int, ...]:
    """The game's own numbers of the actions that the agent may take."""
    env = open_game(game, environment)
    env.close()
    return env.action_codes


def data_shape(game: str, environment: Environment, view: ViewConfig) -> dict[str, int]:
    """What networks need to know of frames and actions: num_actions, height, width."""
    num_actions = len(action_codes(game, environment))
    return {"num_actions": num_actions, "height": view.height, "width": view.width}
