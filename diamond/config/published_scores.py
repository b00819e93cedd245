"""Published scores on Atari 100k, facts with their sources; no score of this project is here."""

from functools import cache
from importlib import resources

from diamond.config.base import Record

FACTS = "atari100k_published.json"


class PublishedAggregates(Record):
    """Aggregates of human-normalised scores over the 26 games as a paper prints them."""

    mean: float | None = None
    median: float | None = None
    iqm: float | None = None
    superhuman: int | None = None
    source: str


class PublishedAgent(Record):
    """An agent with a mean score for each of the 26 games; its single runs are not published."""

    year: int
    family: str
    scores: dict[str, float]
    published_aggregates: PublishedAggregates
    source: str
    notes: str | None = None


class AggregatesOnly(Record):
    """An agent of which only aggregates are at hand, over the 26 games or the number given."""

    agent: str
    year: int
    mean: float | None = None
    median: float | None = None
    iqm: float | None = None
    runs: int | None = None
    games: int | None = None
    source: str


class Published(Record):
    """Everything that the file of facts holds; scores are in points of the game."""

    benchmark: str
    games: tuple[str, ...]
    hns: str
    random: dict[str, float]
    human: dict[str, float]
    agents: dict[str, PublishedAgent]
    aggregates_only: tuple[AggregatesOnly, ...]


@cache
def published() -> Published:
    """Read the facts that ship with the package, once in a process."""
    text = resources.files("diamond.config").joinpath(FACTS).read_text(encoding="utf-8")
    return Published.model_validate_json(text)
