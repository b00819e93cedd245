"""A world model as a Gymnasium environment: one game that is imagined, not played."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from diamond.world.vec import RENDER_MODE, START_INFOS, Frames, WorldModelVectorEnv, make_vec


class WorldModelEnv(gymnasium.Env[Frames, np.int64]):
    """The one row of a `WorldModelVectorEnv`, without autoreset.

    Observations are frames (h, w, 3) uint8, rewards -1, 0 or 1. `terminated` is an end that the
    model draws, `truncated` says that the episode has `horizon` env steps; `reset` has to follow
    either. ``info["burn_in_frames"]`` of `reset` has the real frames (t - 1, h, w, 3) uint8 before
    the first observation, for agents with a memory.

    Equal seeds give equal trajectories, those of `make_vec` with one row.
    """

    def __init__(self, row: WorldModelVectorEnv) -> None:
        """Put one imagined game behind Gymnasium's interface.

        Args:
            row: Has one row and the autoreset mode NEXT_STEP, so that a row that is over stays as
                it is.
        """
        self._row = row
        self._over = False
        self.metadata = {
            "render_modes": row.metadata["render_modes"],
            "render_fps": row.metadata["render_fps"],
        }
        self.render_mode = row.render_mode
        self.observation_space = row.single_observation_space
        self.action_space = row.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin an episode from a fresh real start.

        Args:
            seed: Seed of all that follows; None goes on with the numbers of the last seed.
            options: None are known.

        Returns:
            Observation, and info with the burn-in frames.
        """
        super().reset(seed=seed)
        self._row.np_random = self.np_random
        observations, infos = self._row.reset(options=options)
        self._over = False
        return observations[0], {name: infos[name][0] for name in START_INFOS if name in infos}

    def step(self, action: np.int64) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Imagine one env step.

        Args:
            action: In [0, num_actions).

        Returns:
            Observation, reward, terminated, truncated, an empty info.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset() before step()")
        observations, rewards, terminated, truncated, _ = self._row.step(np.array([action]))
        self._over = bool(terminated[0] or truncated[0])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Frames | None:
        """The current frame (h, w, 3) uint8; None without a render mode."""
        shown = self._row.render()
        return None if shown is None else shown[0]

    def close(self) -> None:
        """Let go of the imagined game."""
        self._row.close()


def make(
    checkpoint: str | Path,
    horizon: int | None = None,
    steps: int | None = None,
    *,
    starts: str | Path | None = None,
    device: str | None = None,
    render_mode: str | None = RENDER_MODE,
) -> WorldModelEnv:
    """Make the world model of a checkpoint an environment.

    Args:
        checkpoint: As in `make_vec`, and so are the others.
        horizon: Env steps after which an episode is truncated.
        steps: Denoising steps a frame.
        starts: Folder with real frames of this game to start from.
        render_mode: "rgb_array" or None.

    Raises:
        RequestError: As `make_vec`.
        WeightsError: As `make_vec`.
    """
    row = make_vec(
        checkpoint,
        1,
        horizon,
        steps,
        starts=starts,
        device=device,
        autoreset_mode="NextStep",
        render_mode=render_mode,
    )
    return WorldModelEnv(row)
