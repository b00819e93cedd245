"""The online protocol of Atari 100k: collect and train in turn."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from diamond.config.base import Record

Environment = Literal["imagination", "real"]
Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=1)]


class InitialCollection(Record):
    """Real play before the first update, until rewards were seen."""

    min_env_steps: int = Field(ge=1, description="env steps collected in any case")
    max_env_steps: int = Field(ge=1, description="env steps after which it ends anyway")
    minority_rewards: int = Field(
        ge=0,
        description="rewards that are enough, outside the most frequent of -1, 0, 1",
    )


class UpdatesConfig(Record):
    """Optimiser steps of each network in one epoch: of every part of the world model, by its name.

    The names are those of the family: ``denoiser``, ``reward_end``.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Count] = Field(init=False)

    policy: Count = Field(description="updates of the actor-critic")

    def parts(self) -> dict[str, int]:
        """Updates by part, the policy among them."""
        return {"policy": self.policy, **self.__pydantic_extra__}


class EpisodesConfig(Record):
    """Play in the real game on a schedule, for the learning curve alone."""

    every_epochs: int = Field(ge=1, description="epochs from one test to the next")
    num_episodes: int = Field(ge=1, description="real episodes of a test; a lost life ends none")


class OnlineConfig(Record):
    """One agent from nothing: what it collects, how often each network is updated."""

    environment: Environment = Field(
        description="where the actor-critic is trained: in imagination, or in the real game itself"
    )
    env_steps: int = Field(ge=1, description="env steps collected in all")
    initial: InitialCollection
    epoch_env_steps: int = Field(ge=1, description="env steps collected in an epoch")
    final_epochs: int = Field(
        ge=1, description="epochs after the last collection; all epochs of environment=real"
    )
    max_episode_steps: int = Field(
        ge=1, description="env steps after which a collected game is cut and the next one begins"
    )
    epsilon: float = Field(ge=0, le=1, description="chance of a random action while collecting")
    recency_weights: tuple[Weight, ...] = Field(
        min_length=1,
        description="shares of the samples from equal parts of the episodes, oldest first",
    )
    first_updates: UpdatesConfig
    updates: UpdatesConfig
    test: EpisodesConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        least, most = self.initial.min_env_steps, self.initial.max_env_steps
        if not least <= most <= self.env_steps:
            raise ValueError(
                f"online.initial: min_env_steps {least} <= max_env_steps {most} "
                f"<= env_steps {self.env_steps} must hold"
            )
        for name, steps in (("max_env_steps", most - least), ("env_steps", self.env_steps - least)):
            if steps % self.epoch_env_steps:
                raise ValueError(
                    f"online: from initial.min_env_steps {least} to {name} is not a whole number "
                    f"of epochs of {self.epoch_env_steps} env steps"
                )
        if abs(sum(self.recency_weights) - 1) > 1e-9:
            raise ValueError(f"online.recency_weights {self.recency_weights} must sum to 1")
        if self.first_updates.policy + self.updates.policy == 0:
            raise ValueError("online: the actor-critic has no updates")
        return self

    def num_updates(self, part: str, epoch: int) -> int:
        """Updates of a part at the end of an epoch (1-based)."""
        return self.first_updates.parts()[part] + (epoch - 1) * self.updates.parts()[part]

    def num_epochs(self, collected: int) -> tuple[int, int]:
        """Epochs with collection and epochs in all after an initial collection.

        Args:
            collected: Env steps of the initial collection.
        """
        if self.environment == "real":
            return 0, self.final_epochs
        collecting = (self.env_steps - collected) // self.epoch_env_steps
        return collecting, collecting + self.final_epochs
