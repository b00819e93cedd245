"""Imagined games for Stable-Baselines3, which has an interface of its own for vector environments.

Stable-Baselines3 is no dependency: only this module imports it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from diamond.errors import RequestError
from diamond.world.vec import START_INFOS, Frames, WorldModelVectorEnv

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
except ModuleNotFoundError as error:
    raise RequestError(
        "StableBaselinesEnv needs the package stable-baselines3\n  pip install stable-baselines3"
    ) from error


class StableBaselinesEnv(VecEnv):
    """A `WorldModelVectorEnv` as a vector environment of Stable-Baselines3.

    Where a row ends its observation is the first one of the next episode, and its info has
    ``terminal_observation`` and ``TimeLimit.truncated``; the burn-in frames of the next episode are
    in `reset_infos`. After `seed` every row has a stream of its own. The rows are one object: an
    attribute has one value for all of them, and a method is called once.
    """

    def __init__(self, envs: WorldModelVectorEnv) -> None:
        """Adapt what `make_vec` made.

        Raises:
            RequestError: Its rows do not begin anew in the step in which they end.
        """
        mode = envs.metadata["autoreset_mode"]
        if mode is not AutoresetMode.SAME_STEP:
            raise RequestError(
                f"autoreset_mode={mode.value!r}: Stable-Baselines3 knows "
                f"{AutoresetMode.SAME_STEP.value!r} alone\n  leave it out in make_vec"
            )
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Frames:
        """Begin every row anew with the seeds that `seed` left, which are used once."""
        seeds = None if None in self._seeds else self._seeds
        options = next(filter(None, self._options), None)
        observations, infos = self.envs.reset(seed=seeds, options=options)
        self._keep_burn_in(infos)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Take the actions (num_envs,) of the next `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Frames, NDArray[np.float32], NDArray[np.bool_], list[dict[str, object]]]:
        """Imagine one env step.

        Returns:
            Observations, rewards (num_envs,), whether each row is over (num_envs,), infos.
        """
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        told: list[dict[str, object]] = [
            {"TimeLimit.truncated": bool(cut)} for cut in truncated & ~terminated
        ]
        over = terminated | truncated
        for row in np.flatnonzero(over):
            told[row]["terminal_observation"] = infos["final_obs"][row]
        self._keep_burn_in(infos)
        return observations, rewards.astype(np.float32), over, told

    def close(self) -> None:
        """Let go of the imagined games."""
        self.envs.close()

    def get_images(self) -> Sequence[Frames | None]:
        """The current frame of every row; None without a render mode."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The value of an attribute, for every row."""
        value = getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of all rows."""
        self._check_all(indices)
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once; what it returns, for every row."""
        self._check_all(indices)
        return [getattr(self.envs, method_name)(*method_args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """Rows have no wrappers of their own."""
        return [False for _ in self._get_indices(indices)]

    def _keep_burn_in(self, infos: Mapping[str, Any]) -> None:
        for row in np.flatnonzero(infos.get("_burn_in_frames", ())):
            self.reset_infos[row] = {n: infos[n][row] for n in START_INFOS if n in infos}

    def _check_all(self, indices: VecEnvIndices) -> None:
        if len(set(self._get_indices(indices))) < self.num_envs:
            raise RequestError(f"indices={indices}: the rows are one object\n  leave indices out")
