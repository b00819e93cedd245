"""What may be done at an env step, and how it is told to networks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTIONS_FILE = "action_codes.json"
ActionArray = NDArray[np.int64] | NDArray[np.float32]
"""(...) indices of discrete actions, or (..., k) numbers of continuous ones, scaled."""


@dataclass(frozen=True)
class ActionSpace:
    """Either one of several actions, or several numbers, leads from each frame to the next.

    Attributes:
        codes: The game's code of each discrete action; an action is an index into them. Empty
            where actions are continuous.
        low: The value of each number of continuous actions that becomes -1.
        high: The one that becomes 1, not below `low`.
    """

    codes: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def is_continuous(self) -> bool:
        """Whether an action is several numbers."""
        return not self.codes

    @property
    def shape(self) -> dict[str, int]:
        """What networks need: num_actions, 0 of continuous actions; of these action_size, too."""
        if self.is_continuous:
            return {"num_actions": 0, "action_size": len(self.low)}
        return {"num_actions": len(self.codes)}

    def encode(self, actions: Sequence[Any]) -> ActionArray:
        """Recorded actions as networks read them.

        Args:
            actions: t codes, or t sequences of k numbers.

        Returns:
            (t,) int64 indices into the codes; or (t, k) float32, in [-1, 1] where the numbers are
            from `low` to `high`, 0 where both are equal.

        Raises:
            ValueError: An action is not in the set.
        """
        if self.is_continuous:
            low, high = np.array(self.low), np.array(self.high)
            values = np.asarray(actions, dtype=np.float64).reshape(-1, len(low))
            span = high - low
            scaled = 2 * (values - low) / np.where(span > 0, span, 1) - 1
            return np.where(span > 0, scaled, 0).astype(np.float32)
        index_of = {code: index for index, code in enumerate(self.codes)}
        missing = set(actions) - set(index_of)
        if missing:
            raise ValueError(
                f"recorded episodes use the actions {sorted(missing)}, not in the action set "
                f"{self.codes}"
            )
        return np.array([index_of[code] for code in actions], dtype=np.int64)

    def nothing(self, *size: int) -> ActionArray:
        """What stands where no action was taken: zeros, (*size) int64 or (*size, k) float32."""
        if self.is_continuous:
            return np.zeros((*size, len(self.low)), dtype=np.float32)
        return np.zeros(size, dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write action_codes.json: a list of codes, or an object of the lists low and high."""
        said: object = list(self.codes)
        if self.is_continuous:
            said = {"low": list(self.low), "high": list(self.high)}
        (folder / ACTIONS_FILE).write_text(json.dumps(said) + "\n")

    @staticmethod
    def load(folder: Path) -> "ActionSpace":
        """Read what `save` wrote."""
        said = json.loads((folder / ACTIONS_FILE).read_text())
        if isinstance(said, dict):
            return ActionSpace(low=tuple(said["low"]), high=tuple(said["high"]))
        return ActionSpace(tuple(said))
