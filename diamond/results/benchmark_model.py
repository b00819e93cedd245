"""What `diamond scores` says of files of scores, beside what is published."""

from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.results.metric_model import Estimate
from diamond.results.values import Number, Numbers


class Profile(Record):
    """The share of runs above each human-normalised score."""

    tau: tuple[float, ...] = Field(description="human-normalised scores")
    fraction: Numbers = Field(description="share of runs above each of them")
    lo: Numbers = Field(description="lower bound; null with one run a game")
    hi: Numbers = Field(description="upper bound")


class GameMean(Record):
    """The scores of a file in one game."""

    scores: tuple[float, ...] = Field(description="of each run, points of the game")
    mean: float = Field(description="of them")
    hns: float = Field(description="mean human-normalised score")


class ScoredFile(Record):
    """One file of scores."""

    label: str = Field(description="its name without suffix")
    path: str = Field(description="where it was read")
    games: tuple[str, ...] = Field(description="that it has")
    num_runs: int = Field(description="of each game")
    aggregates: dict[str, Estimate] = Field(
        description="mean, median, iqm and optimality_gap over runs and games"
    )
    superhuman: int = Field(description="games with a mean of at least the human score")
    profile: Profile = Field(description="performance profile")
    per_game: dict[str, GameMean] = Field(description="by game")
    notes: tuple[str, ...] = Field(description="what to know when reading it")


class Improvement(Record):
    """Whether a run of one file scores above one of another, mean over games."""

    x: str = Field(description="label of the one")
    y: str = Field(description="label of the other")
    games: tuple[str, ...] = Field(description="that both have")
    probability: Number = Field(description="P(x > y); null without a game in common")
    lo: Number = Field(description="lower bound")
    hi: Number = Field(description="upper bound")
    notes: tuple[str, ...] = Field(description="what to know when reading it")


class Reference(Record):
    """Scores that human-normalised scores are relative to."""

    random: float = Field(description="of a player that acts at random")
    human: float = Field(description="of people")


class Printed(Record):
    """Aggregates as a source prints them."""

    mean: float | None = Field(description="of human-normalised scores")
    median: float | None = Field(description="of the games")
    iqm: float | None = Field(description="interquartile mean")
    superhuman: int | None = Field(description="games at or above the human score")
    games: int | None = Field(description="number of games where that is not the usual")
    source: str = Field(description="where it is printed")


class PublishedScores(Record):
    """A published agent over the games of a group."""

    agent: str = Field(description="its name")
    year: int = Field(description="of publication")
    family: str | None = Field(description="what it is")
    mean: float | None = Field(description="computed from its mean scores of these games")
    median: float | None = Field(description="computed likewise")
    superhuman: int | None = Field(description="computed likewise")
    scores: dict[str, float] | None = Field(description="mean score by game")
    printed: Printed | None = Field(description="as printed, over all games alone")
    source: str = Field(description="of its scores")
    notes: str | None = Field(description="what to know when reading it")

    def aggregate(self, name: str) -> tuple[float | None, bool]:
        """A value and whether it is quoted, not computed from its mean scores."""
        computed = {"mean": self.mean, "median": self.median}.get(name)
        if computed is not None or self.printed is None:
            return computed, False
        printed = {"mean": self.printed.mean, "median": self.printed.median}
        quoted = (printed | {"iqm": self.printed.iqm}).get(name)
        return quoted, quoted is not None


class PublishedGroup(Record):
    """The published agents over one set of games."""

    games: tuple[str, ...] = Field(description="that a file has")
    agents: tuple[PublishedScores, ...] = Field(description="as far as they are known")


class Benchmark(Record):
    """Files of scores against each other and against published agents."""

    format: Literal["diamond-scores/2"] = Field(
        default="diamond-scores/2", description="of this form"
    )
    benchmark: str = Field(description="its name")
    hns: str = Field(description="how scores are normalised")
    seed: int = Field(description="of all resampling")
    num_resamples: int = Field(description="bootstrap samples")
    level: float = Field(description="nominal coverage of the intervals")
    method: str = Field(description="of the intervals")
    files: tuple[ScoredFile, ...] = Field(description="in the order given")
    comparisons: tuple[Improvement, ...] = Field(description="of every two files")
    references: dict[str, Reference] = Field(description="by game")
    published: tuple[PublishedGroup, ...] = Field(description="for every set of games of a file")
