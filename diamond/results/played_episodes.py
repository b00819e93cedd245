"""What a player played in the real game, as the stage `returns` writes it."""

from pydantic import Field

from diamond.config.base import Record


class PlayedEpisode(Record):
    """One real episode."""

    total_reward: float = Field(description="undiscounted, unclipped return")
    num_steps: int = Field(description="env steps")
    truncated: bool = Field(description="whether it was cut")
    digest: str = Field(description="of its actions and rewards")


class Played(Record):
    """The episodes of a player."""

    episodes: tuple[PlayedEpisode, ...] = Field(description="in the order of their starts")
    action_counts: tuple[int, ...] = Field(description="how often it took each action, by index")

    @property
    def returns(self) -> tuple[float, ...]:
        """The return of each episode."""
        return tuple(episode.total_reward for episode in self.episodes)

    @property
    def mean(self) -> float:
        """The mean return."""
        return sum(self.returns) / len(self.episodes)

    @property
    def num_distinct(self) -> int:
        """Episodes that differ in their actions or rewards."""
        return len({episode.digest for episode in self.episodes})

    @property
    def any_cut(self) -> bool:
        """Whether an episode was cut."""
        return any(episode.truncated for episode in self.episodes)


class Measured(Record):
    """A player in the game as the study has it, and with sticky actions."""

    played: Played
    sticky: Played | None = Field(default=None, description="null where it was not asked for")


class ConstantAction(Measured):
    """An action that is always taken."""

    action: str = Field(description="its name")
    screened: float = Field(description="mean return of the episodes that it was chosen by")


class CurveEpisodes(Record):
    """The policy as it was in training."""

    updates: int = Field(description="of the policy")
    played: Played


class PlayedGames(Measured):
    """All that a player of the stage played."""

    constants: tuple[ConstantAction, ...] = Field(
        default=(), description="of the player `constant`: the best of the screening, best first"
    )
    curve: tuple[CurveEpisodes, ...] = Field(
        default=(), description="of a policy: before the end of its training"
    )
