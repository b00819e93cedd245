"""Claims of a declaration with their verdicts."""

from typing import Literal

from pydantic import Field

from diamond.config.base import Record
from diamond.plan.declarations import Override
from diamond.results.values import Number, Unit

Verdict = Literal["PASS", "FAIL", "UNDECIDED"]


class Declared(Record):
    """Whether claims were made before the results."""

    file: str = Field(description="of the declaration")
    hash: str = Field(description="of the claims")
    declared_at: str | None = Field(default=None, description="when, UTC; null: never")
    status: str = Field(description="in words")
    post_hoc: bool = Field(description="whether verdicts come after the results")
    overrides: tuple[Override, ...] = Field(
        default=(), description="options that took the place of what was declared"
    )


class ClaimPart(Record):
    """One difference that a claim is about."""

    difference: str = Field(description="left minus right, in words of the claim")
    relation: Literal["<", ">"] = Field(description="of the difference to 0")
    verdict: Verdict = Field(description="by the interval")
    reason: str | None = Field(default=None, description="why it is undecided")
    seeds: tuple[int, ...] = Field(description="that have a value")
    values: tuple[float, ...] = Field(description="of these seeds")
    absent: tuple[str, ...] = Field(default=(), description="seeds without a value, and why")
    mean: Number = Field(description="of the values")
    lo: Number = Field(description="lower bound")
    hi: Number = Field(description="upper bound")
    n: int = Field(description="units")
    unit: Unit = Field(description="what is replicated")
    method: str = Field(description="how the interval was made")
    p: Number = Field(default=None, description="exact sign-flip p; it decides nothing")
    p_min: Number = Field(default=None, description="the smallest that so many seeds can give")
    seeds_missing: int | None = Field(
        default=None, description="for a decision with probability .8; 101 is more than 100"
    )


class ClaimGame(Record):
    """A claim on one game."""

    game: str = Field(description="the game")
    verdict: Verdict = Field(description="on this game")
    reason: str | None = Field(default=None, description="why it is undecided")
    within_model: bool = Field(default=False, description="judged by starts of one trained model")
    holds: Literal["all", "any"] = Field(default="all", description="which of the parts must hold")
    arms: dict[str, str] = Field(default={}, description="arm per quantity")
    parts: tuple[ClaimPart, ...] = Field(default=(), description="the differences that it reads")


class Claim(Record):
    """A claim of a declaration with its verdict."""

    name: str = Field(description="its name")
    text: str = Field(description="what is claimed, with its source")
    expression: str = Field(description="what is computed")
    on_primary: bool = Field(description="whether it reads the primary metric alone")
    verdict: Verdict = Field(description="PASS where it passes on every game")
    within_model: bool = Field(default=False, description="judged by starts of one trained model")
    games: tuple[ClaimGame, ...] = Field(description="game by game")
