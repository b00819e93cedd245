"""Families without training: repeat the last frame, or show the median background."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from diamond.rng import Noise
from diamond.world.interface import Step


@dataclass(frozen=True)
class StillState:
    """A frame per trajectory (b, c, h, w) that never changes."""

    still: Tensor

    def select(self, rows: Tensor) -> "StillState":
        """Keep the given rows."""
        return StillState(self.still[rows])

    def replace(self, rows: Tensor, other: "StillState") -> "StillState":
        """Put the rows of `other` at the given rows."""
        return StillState(self.still.index_copy(0, rows, other.still))

    def tensors(self) -> dict[str, Tensor]:
        """The frame by name."""
        return {"still": self.still}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "StillState":
        """A state from a saved frame."""
        return StillState(tensors["still"])


class StillWorld:
    """Every following frame is the same one; no rewards, no ends."""

    history = 1

    def __init__(self, stills: Tensor | None) -> None:
        """Take one frame (b, c, h, w) in [-1, 1] per start, in the order of `start`.

        None repeats the last.
        """
        self._stills = stills

    def start(self, frames: Tensor, actions: Tensor) -> StillState:
        """Choose the frame of every trajectory."""
        if self._stills is None:
            return StillState(frames[:, -1])
        assert len(frames) == len(self._stills)
        return StillState(self._stills)

    def step(self, state: StillState, action: Tensor, noise: Noise) -> tuple[StillState, Step]:
        """Return the same frame again."""
        zeros = state.still.new_zeros(len(state.still))
        return state, Step(state.still, zeros, zeros.bool())

    def frame(self, state: StillState) -> Tensor:
        """The frame."""
        return state.still


def copy_last_world() -> StillWorld:
    """The baseline that repeats the last real frame."""
    return StillWorld(None)


def median_background_world(backgrounds: Tensor) -> StillWorld:
    """The baseline that shows the median of each real episode (b, c, h, w).

    It has seen the future.
    """
    return StillWorld(backgrounds)
