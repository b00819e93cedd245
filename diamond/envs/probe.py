"""What a game is and whether it can be replayed, found out by playing it in a process of its own.

Its argument is `[game, environment]` as JSON; it writes `Facts` or `{"error": ...}`.
"""

import json
import sys
from hashlib import sha256
from typing import Any

import numpy as np

from diamond.config.environments import read_environment
from diamond.envs.gymnasium_env import GymnasiumEnv
from diamond.envs.open_game import open_game
from diamond.envs.real_game import EpisodeKey, GameEnv
from diamond.errors import DiamondError

NUM_STEPS = 100
"""Env steps that are played, over as many episodes as they take."""
SEED = 20241118


def main() -> None:
    """Play, and say what was found."""
    game, environment = json.loads(sys.argv[1])
    try:
        found = probed(game, environment)
    except DiamondError as error:
        found = {"error": str(error)}
    print(json.dumps(found))


def probed(game: str, environment: Any) -> dict[str, Any]:
    """Facts of a game, and the digests of two equal plays."""
    env = open_game(game, read_environment(environment))
    digests = [_digest(env), _digest(env)]
    env.close()
    return {
        "num_actions": len(env.action_codes),
        "native_size": list(env.native_size),
        "pixels": env.pixels if isinstance(env, GymnasiumEnv) else None,
        "source": env.source if isinstance(env, GymnasiumEnv) else None,
        "digests": digests,
    }


def _digest(env: GameEnv) -> str:
    """Of all that a play shows: frames, rewards, ends."""
    rng, seen, episode = np.random.default_rng(SEED), sha256(), 0
    over = True
    for _ in range(NUM_STEPS):
        if over:
            seen.update(env.begin(EpisodeKey(SEED + episode, 0)).tobytes())
            episode += 1
        action = int(rng.integers(len(env.action_codes)))
        frame, reward, terminated, truncated, info = env.step(action)
        seen.update(frame.tobytes())
        seen.update(repr((reward, terminated, truncated, bool(info["life_lost"]))).encode())
        over = terminated or truncated
    return seen.hexdigest()


if __name__ == "__main__":
    main()
