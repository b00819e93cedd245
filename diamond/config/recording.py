"""What real frames are recorded: how the screen is seen, who plays, which sets there are."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from diamond.config.base import Record
from diamond.config.networks import PositiveInt

Collector = Literal["random_held", "expert", "policy"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ViewConfig(Record):
    """What the agent sees of the screen."""

    height: int = Field(ge=8, le=256, description="rows of a frame, pixels")
    width: int = Field(ge=8, le=256, description="columns of a frame, pixels")
    crop: tuple[int, int, int, int] | None = Field(
        description="rows from, to and columns from, to of the screen that are kept; null keeps all"
    )
    resize: Literal["area", "nearest"] = Field(
        default="area",
        description="how the screen becomes a frame; nearest keeps the colours of a palette",
        json_schema_extra={"neutral": "area"},
    )
    colour: Literal["rgb", "grey"] = Field(
        default="rgb",
        description="grey: luminance, in all three channels",
        json_schema_extra={"neutral": "rgb"},
    )

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise ValueError(f"crop {self.crop} must be top < bottom, left < right")
        return self

    def check_native(self, size: tuple[int, int]) -> None:
        """Refuse a crop beyond the screen.

        Args:
            size: Height and width of the screen, pixels.

        Raises:
            ValueError: Some of it is outside.
        """
        if self.crop is not None and (self.crop[1] > size[0] or self.crop[3] > size[1]):
            raise ValueError(
                f"crop {self.crop} must be within the screen of {size[0]} x {size[1]} pixels"
            )

    def shows_cells(self, cells: tuple[int, int] | None) -> bool:
        """Whether every cell is equally many whole pixels, in its own colour.

        Args:
            cells: Rows and columns of the screen in cells; None of a game without.
        """
        if cells is None or self.colour != "rgb":
            return False
        top, bottom, left, right = self.crop or (0, cells[0], 0, cells[1])
        rows, columns = bottom - top, right - left
        if (self.height, self.width) == (rows, columns):
            return True
        return self.resize == "nearest" and not (self.height % rows or self.width % columns)


class PlayConfig(Record):
    """Who plays when real frames are recorded."""

    collector: Collector = Field(
        description="who plays: random held actions, the game's scripted expert, or, for frames "
        "alone, a trained policy"
    )
    max_hold_steps: int = Field(
        ge=1, description="a random action is held 1 to this many env steps"
    )
    random_fraction: float = Field(
        ge=0, le=1, description="chance that the expert begins a held random action at an env step"
    )


class CounterfactualsConfig(Record):
    """What the game shows from the same states under other actions."""

    horizon_steps: int = Field(
        ge=1, description="env steps under other actions after a start, at most those recorded"
    )


class RecordingPolicy(Record):
    """A trained policy that plays with sampled actions: its weights and what they need to act."""

    weights: Digest
    num_actions: int = Field(ge=1, description="actions that it was trained on")
    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each encoder block"
    )
    lstm_size: int = Field(ge=1, description="units of the LSTM cell")
    view: ViewConfig


class OffDataConfig(Record):
    """Further held-out episodes, of a better player than that of the training frames."""

    play: PlayConfig
    num_starts: int = Field(ge=1, description="held-out episodes, one start in each")
    policy: RecordingPolicy | None = Field(
        default=None,
        description="the trained policy of collector policy",
        json_schema_extra={"neutral": None},
    )


class ReferencesConfig(Record):
    """Held-out real trajectories against which every arm is scored."""

    play: PlayConfig
    num_starts: int = Field(ge=1, description="held-out episodes, one start in each")
    horizon_steps: int = Field(ge=1, description="env steps recorded after a start")
    max_offset_steps: int = Field(
        ge=0, description="a start's context begins 0 to this many env steps in"
    )
    counterfactuals: CounterfactualsConfig | None = Field(
        default=None,
        description="real frames under other actions from the same states",
        json_schema_extra={"neutral": None},
    )
    recorded: Digest | None = Field(
        default=None,
        description="the recording whose held-out part takes the place of played episodes, by its "
        "digest",
        json_schema_extra={"neutral": None},
    )
    first_start: int = Field(
        default=0,
        ge=0,
        description="number of the first held-out start; the others follow",
        json_schema_extra={"neutral": 0},
    )
    off_data: OffDataConfig | None = Field(
        default=None,
        description="starts of a better player, scored apart by the same metrics",
        json_schema_extra={"neutral": None},
    )

    @model_validator(mode="after")
    def _check_off_data(self) -> Self:
        if self.off_data is not None and self.recorded is not None:
            raise ValueError("references.off_data: recorded episodes have no other player")
        return self


class RecordedSet(Record):
    """A recording that the training frames are of, in place of frames that are played."""

    digest: Digest
    rewards: bool = Field(
        description="whether it says what actions earned and which ended the game"
    )


class FramesConfig(Record):
    """The static training set of real frames."""

    play: PlayConfig
    num_frames: int = Field(ge=64, description="recorded frames, final frames of episodes included")
    policy: RecordingPolicy | None = Field(
        default=None,
        description="the trained policy of collector policy",
        json_schema_extra={"neutral": None},
    )
    recorded: RecordedSet | None = Field(
        default=None,
        description="the recording that they are of, null where they are played",
        json_schema_extra={"neutral": None},
    )
