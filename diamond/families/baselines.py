"""Families without training: repeat the last frame, or show the median background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from diamond.config.worlds import INTERFACE, WorldConfig
from diamond.families.interface import Family, Implementation, Material, Step

if TYPE_CHECKING:
    from torch import Tensor

    from diamond.rng import Noise


class StillState(NamedTuple):
    """A frame per trajectory (b, c, h, w) that never changes."""

    still: Tensor


class StillWorld:
    """Every following frame is the same one; no rewards, no ends."""

    history = 1

    def __init__(self, stills: Tensor | None) -> None:
        """Take one frame (b, c, h, w) in [-1, 1] per start, in the order of `start`.

        None repeats the last.
        """
        self._stills = stills

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> StillState:
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


class CopyLastConfig(WorldConfig):
    """Nothing is to be chosen."""

    family: Literal["copy_last"] = "copy_last"


class MedianBackgroundConfig(WorldConfig):
    """Nothing is to be chosen."""

    family: Literal["median_background"] = "median_background"


def _copy_last(_: Material) -> StillWorld:
    return StillWorld(None)


def _median_background(material: Material) -> StillWorld:
    assert material.backgrounds is not None
    return StillWorld(material.backgrounds())


COPY_LAST_WORLD = Implementation((), _copy_last)
MEDIAN_BACKGROUND_WORLD = Implementation((), _median_background)

COPY_LAST = Family(
    name="copy_last",
    interface=INTERFACE,
    config=CopyLastConfig,
    preset=lambda preset, game: CopyLastConfig(),
    made_by="diamond.families.baselines:COPY_LAST_WORLD",
    controls=(),
    title="copy last frame",
)
MEDIAN_BACKGROUND = Family(
    name="median_background",
    interface=INTERFACE,
    config=MedianBackgroundConfig,
    preset=lambda preset, game: MedianBackgroundConfig(),
    made_by="diamond.families.baselines:MEDIAN_BACKGROUND_WORLD",
    controls=(),
    title="median background",
)
