"""The answer of a study in three parts, as every place that shows it has it."""

from pydantic import Field

from diamond.config.base import Record


class Part(Record):
    """One part of an answer: a sentence that says it, and the numbers behind it."""

    head: str = Field(description="in a sentence; every place shows it bold")
    text: str = Field(default="", description="the numbers and what they are of; may be empty")
    command: str = Field(default="", description="that tells more; empty where there is none")


class Answer(Record):
    """What a study says of one game. Plain text; numbers are written once, here."""

    game: str = Field(description="the game")
    best: str | None = Field(
        default=None,
        description="the best arm, or trial; null where none is shown to be better than another",
    )
    found: Part = Field(description="what was found on the primary metric")
    against: Part = Field(description="what speaks against it, exploratory")
    sure: Part = Field(description="how sure it is, and what would tell more")
