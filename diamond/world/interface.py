"""What a world model is to the rest of the program.

Start, step, and a state that is an opaque batch of tensors.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from diamond.rng import Noise


class State(Protocol):
    """The state of a batch of imagined trajectories; every operation returns a new value."""

    def select(self, rows: Tensor) -> Self:
        """Keep the given rows (m,) int64."""
        ...

    def replace(self, rows: Tensor, other: Self) -> Self:
        """Put the rows of `other` (m of them) at the given rows (m,) int64."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for saving."""
        ...

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same kind of state from saved tensors."""
        ...


S = TypeVar("S", bound=State)


class Step(NamedTuple):
    """What follows one action in every trajectory.

    Attributes:
        frame: (b, c, h, w) float32 in [-1, 1].
        reward: (b,) float32 in {-1, 0, 1}.
        end: (b,) bool.
    """

    frame: Tensor
    reward: Tensor
    end: Tensor


class WorldModel(Protocol[S]):
    """A generative model of a game; families differ in their state only."""

    @property
    def history(self) -> int:
        """Real frames that `start` needs at least."""
        ...

    def start(self, frames: Tensor, actions: Tensor) -> S:
        """Begin trajectories after real frames.

        Args:
            frames: (b, t, c, h, w) in [-1, 1], oldest first; t is at least the history.
            actions: (b, t - 1) int64, action i leads from frame i to frame i + 1.
        """
        ...

    def step(self, state: S, action: Tensor, noise: Noise) -> tuple[S, Step]:
        """Advance every trajectory by one action (b,) int64."""
        ...

    def frame(self, state: S) -> Tensor:
        """The current frame of every trajectory (b, c, h, w)."""
        ...
