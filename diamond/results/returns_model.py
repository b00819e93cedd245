"""What policies and players earned in the real game, in the result."""

from pydantic import Field

from diamond.config.base import Record
from diamond.config.player_names import UnseeingPlayer
from diamond.results.values import Number


class Points(Record):
    """What a player earned in the real game."""

    mean: float = Field(description="over episodes, points of the game")
    lo: Number = Field(default=None, description="lower bound of the interval over episodes")
    hi: Number = Field(default=None, description="upper bound")
    n: int = Field(description="episodes")
    distinct: int | None = Field(
        default=None, description="episodes that differ in actions or rewards; null if unknown"
    )
    reason: str | None = Field(default=None, description="why there is no interval")


class PlayerPoints(Points):
    """What a player earned that looks at no frame, and how much more the policy did."""

    player: UnseeingPlayer = Field(
        description="`random`; `random_held`: each action 1 to 8 env steps; `constant`: the best "
        "of the actions; `blind`: with the policy's own action frequencies"
    )
    action: str | None = Field(default=None, description="that `constant` takes")
    difference: float = Field(description="the policy's mean minus this one")
    difference_lo: Number = Field(default=None, description="lower bound of its interval")
    difference_hi: Number = Field(default=None, description="upper bound")
    difference_reason: str | None = Field(default=None, description="why it has no interval")


class PolicyPoints(Points):
    """What a policy earned in the real game, beside players that look at no frame."""

    players: tuple[PlayerPoints, ...] = Field(
        default=(), description="those that have played; Welch's t intervals over episodes"
    )

    def player(self, name: UnseeingPlayer) -> PlayerPoints | None:
        """One of the players; None where it has not played."""
        return next((one for one in self.players if one.player == name), None)


class StickyPoints(PolicyPoints):
    """The same with sticky actions."""

    sticky_actions: float = Field(description="chance that the game repeats the last action")


class LearningPoint(Points):
    """What a policy earned in the middle of its training."""

    updates: int = Field(description="of the policy")


class Returns(PolicyPoints):
    """What the policy of a run earned in the real game."""

    hns: Number = Field(
        default=None, description="human-normalised score; null unless the whole game was played"
    )
    label: str = Field(default="", description="what the returns can be compared with")
    sticky: StickyPoints | None = Field(
        default=None, description="with sticky actions; null where it was not asked for"
    )
    curve: tuple[LearningPoint, ...] = Field(
        default=(), description="against its updates, the end of training last; empty without tests"
    )
