"""The real game by value: a tagged union with a member for each kind of environment."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from diamond.config.base import Record
from diamond.config.game_names import kind_of

Padding = Literal["none", "start"]
Pixels = Literal["observation", "render"]
EMULATOR_HERTZ = 60
"""Frames of the Atari emulator in a second of play."""
MINATAR_CELLS = (10, 10)
"""Rows and columns of every game of MinAtar."""


class EnvironmentConfig(Record):
    """What all kinds of environments have; shared by references, frames and returns."""

    kind: str
    padding: Padding = Field(
        default="none",
        description="start: an episode may be shorter than what is read of it: its first frame is "
        "repeated in front, with no-ops, and nothing is learnt or scored there",
        json_schema_extra={"neutral": "none"},
    )

    @property
    def replayable(self) -> bool:
        """Whether equal seeds and actions give equal frames."""
        return True

    @property
    def most_noops(self) -> int:
        """Most no-op frames after a reset."""
        return 0

    @property
    def hertz(self) -> float:
        """Env steps in a second of play; a guess where the game has no time of its own."""
        return 30.0

    @property
    def usual_steps(self) -> float:
        """Env steps of a usual episode, for what a plan costs; unknown: as long as it may be."""
        return math.inf

    @property
    def chosen_actions(self) -> tuple[int, ...] | None:
        """The codes that the agent may take; None where it has the game's own."""
        return None

    @property
    def stickiness(self) -> float | None:
        """Chance that the game repeats the last action; None where it cannot."""
        return None

    @property
    def cells(self) -> tuple[int, int] | None:
        """Rows and columns of a game of cells, each a pixel of the screen; None of any other."""
        return None


class AtariConfig(EnvironmentConfig):
    """An Atari 2600 game of `ale-py`."""

    kind: Literal["atari"] = "atari"
    frame_skip: int = Field(ge=1, le=16, description="emulator frames per env step")
    max_noops: int = Field(
        ge=0, le=30, description="most no-op frames after a reset, drawn per episode"
    )
    actions: tuple[int, ...] | None = Field(
        description="emulator action codes that the agent may take; null is the game's minimal set"
    )
    mode: int = Field(
        default=0, ge=0, description="game mode of the cartridge", json_schema_extra={"neutral": 0}
    )
    difficulty: int = Field(
        default=0,
        ge=0,
        description="difficulty switch of the cartridge",
        json_schema_extra={"neutral": 0},
    )
    sticky_actions: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="chance that the emulator repeats the last action; Atari 100k has 0",
        json_schema_extra={"neutral": 0.0},
    )

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        if self.actions is not None:
            if len(set(self.actions)) != len(self.actions) or not self.actions:
                raise ValueError(f"actions {self.actions} must be distinct and at least one")
            if not all(0 <= code < 18 for code in self.actions):
                raise ValueError(f"actions {self.actions} must be emulator codes from 0 to 17")
        return self

    @property
    def most_noops(self) -> int:
        """Most no-op frames after a reset."""
        return self.max_noops

    @property
    def stickiness(self) -> float:
        """Chance that the game repeats the last action."""
        return self.sticky_actions

    @property
    def hertz(self) -> float:
        """Env steps in a second of play."""
        return EMULATOR_HERTZ / self.frame_skip

    @property
    def chosen_actions(self) -> tuple[int, ...] | None:
        """The codes that the agent may take; None where it has the game's own."""
        return self.actions


class MinAtarConfig(EnvironmentConfig):
    """A game of MinAtar: 10 x 10 cells, each drawn as one pixel of a palette."""

    kind: Literal["minatar"] = "minatar"
    sticky_actions: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="chance that the game repeats the last action; MinAtar's own is .1",
    )
    trail: bool = Field(
        default=True,
        description="whether what shows a motion is drawn (trails, speeds, directions of aliens); "
        "without it one frame has no velocity",
    )

    @property
    def stickiness(self) -> float:
        """Chance that the game repeats the last action."""
        return self.sticky_actions

    @property
    def hertz(self) -> float:
        """Env steps in a second of a film."""
        return 6.0

    @property
    def usual_steps(self) -> float:
        """Env steps of an episode of a player that is a little better than chance."""
        return 100.0

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of a game of cells, each a pixel of the screen."""
        return MINATAR_CELLS


class GymnasiumConfig(EnvironmentConfig):
    """Any environment of Gymnasium with pixels and discrete actions."""

    kind: Literal["gymnasium"] = "gymnasium"
    pixels: Pixels | None = Field(
        default=None,
        description="what a frame is: the observation, or what the environment renders; null "
        "takes the observation where it is one",
    )
    options: dict[str, JsonValue] = Field(
        default={},
        description="JSON that goes to the constructor of the environment; max_episode_steps cuts "
        "its episodes",
    )
    deterministic: bool | None = Field(
        default=None,
        description="whether equal seeds and actions give equal frames; null is probed, and true "
        "must be what is found",
    )
    source: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the file that defines a game of module:ID, so that another game "
        "makes other results; null is found out",
        json_schema_extra={"neutral": None},
    )

    @property
    def replayable(self) -> bool:
        """Whether equal seeds and actions give equal frames."""
        return self.deterministic is not False


class RecordingConfig(EnvironmentConfig):
    """Frames that were recorded before, without a game: `diamond import-frames`."""

    kind: Literal["recording"] = "recording"
    digest: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="of the recording; null is found out"
    )
    continuous: bool = Field(
        default=False, description="whether an action is several numbers, which no policy chooses"
    )
    rewards: bool = Field(
        default=False, description="whether it says what actions earned and which ended the game"
    )

    @property
    def replayable(self) -> bool:
        """Whether equal seeds and actions give equal frames: there is no game to ask."""
        return False


Environment = AtariConfig | MinAtarConfig | GymnasiumConfig | RecordingConfig
EnvironmentField = Annotated[Environment, Field(discriminator="kind")]
KINDS: tuple[type[EnvironmentConfig], ...] = (
    AtariConfig,
    MinAtarConfig,
    GymnasiumConfig,
    RecordingConfig,
)
_ADAPTER: TypeAdapter[Environment] = TypeAdapter(EnvironmentField)


def read_environment(data: Any) -> Environment:
    """The section `environment` of plain data."""
    return _ADAPTER.validate_python(data)


def default_environment(game: str) -> Environment:
    """A game as the presets play it: Atari as in Atari 100k, without sticky actions."""
    match kind_of(game):
        case "atari":
            return AtariConfig(frame_skip=4, max_noops=30, actions=None)
        case "minatar":
            return MinAtarConfig(padding="start")
        case "recording":
            return RecordingConfig(padding="start")
        case _:
            return GymnasiumConfig(padding="start")
