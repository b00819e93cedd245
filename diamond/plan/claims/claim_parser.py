"""A claim read from its text; parsed, never run."""

import math
import re
from collections.abc import Collection
from typing import NoReturn

from diamond.config.metric_table import is_set
from diamond.errors import RequestError, nearest
from diamond.plan.claims.claim_grammar import (
    CLAIM_METRICS,
    EXAMPLE,
    RETURN_METRICS,
    Absolute,
    Binary,
    Comparison,
    Expression,
    Negation,
    Number,
    Quantity,
    Relation,
)
from diamond.plan.claims.linear_claim import read_claim

MAX_NESTING = 40

_TOKEN = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|[<>]=?|==?|\S")
_TIME_STEP = re.compile(r"\s*@\s*(\S*)\s*$")


def parse_claim(text: str, own: Collection[str] | None = ()) -> Comparison:
    """Parse ``l1[formulation=ddpm] > 2 * l1[formulation=edm @100] + 0.1``.

    Args:
        text: The claim.
        own: Metrics of the user's own that it may name; None where names were checked before.

    Raises:
        RequestError: It is not of the grammar, not a comparison of linear expressions, or names a
            metric that there is not.
    """
    comparison = _Parser(text, own).comparison()
    read_claim(comparison, text)
    return comparison


class _Parser:
    """A claim being read from left to right. Mutable: the place moves on."""

    def __init__(self, text: str, own: Collection[str] | None) -> None:
        self._text = text
        self._allowed = None if own is None else (*CLAIM_METRICS, *own)
        self._place = 0
        self._nesting = 0

    def comparison(self) -> Comparison:
        left = self._sum()
        word = self._next()
        if word not in ("<", ">"):
            if word in ("<=", ">=", "=", "=="):
                self._fail(
                    f"{word!r} is no relation of a claim: an interval cannot tell equal from "
                    "nearly equal; write '<' or '>', or abs(a - b) < margin"
                )
            self._fail("a claim compares two sides with '<' or '>'")
        relation: Relation = "<" if word == "<" else ">"
        self._take()
        right = self._sum()
        if self._next():
            self._fail("here the claim should end")
        return Comparison(left, relation, right)

    def _sum(self) -> Expression:
        left = self._product()
        while True:
            match self._next():
                case "+" | "-" as operator:
                    self._take()
                    left = Binary(operator, left, self._product())
                case _:
                    return left

    def _product(self) -> Expression:
        left = self._factor()
        while True:
            match self._next():
                case "*" | "/" as operator:
                    self._take()
                    left = Binary(operator, left, self._factor())
                case _:
                    return left

    def _factor(self) -> Expression:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"more than {MAX_NESTING} brackets and signs inside each other")
        word = self._next()
        if word == "-":
            self._take()
            found: Expression = Negation(self._factor())
        elif word == "(":
            found = self._bracketed()
        elif word == "abs":
            self._take()
            found = Absolute(self._bracketed())
        elif word[:1].isdigit() or (word[:1] == "." and len(word) > 1):
            found = self._number(word)
        elif word[:1].isalpha() or word[:1] == "_":
            found = self._quantity(word)
        else:
            self._fail("here a number, metric[arm], abs(...) or a bracket should stand")
        self._nesting -= 1
        return found

    def _bracketed(self) -> Expression:
        if self._next() != "(":
            self._fail("here '(' should stand")
        self._take()
        inner = self._sum()
        if self._next() != ")":
            self._fail("here ')' should stand")
        self._take()
        return inner

    def _number(self, word: str) -> Number:
        value = float(word)
        if not math.isfinite(value):
            self._fail(f"the number {word} is too large")
        self._take()
        return Number(value)

    def _quantity(self, metric: str) -> Quantity:
        allowed = self._allowed
        if allowed is not None and metric not in allowed:
            match = nearest(metric, allowed)
            guess = f" Did you mean {match!r}?" if match else ""
            self._fail(
                f"unknown metric {metric!r}.{guess} Allowed: {', '.join(allowed)}; one of your own "
                "where the settings ask for it: fidelity.metrics"
            )
        self._take()
        if self._next() != "[":
            self._fail(f"after {metric} the arm should stand: {metric}[steps=1]")
        self._take()
        selector = self._selector()
        time_step = None
        at = _TIME_STEP.search(selector)
        if at is not None:
            if not at[1].isdecimal() or int(at[1]) < 1:
                self._fail(f"{at[1]!r} after '@' is no time step: whole numbers from 1")
            if metric in RETURN_METRICS or is_set(metric):
                self._fail(f"{metric} has no time steps: write {metric}[arm]")
            time_step = int(at[1])
            selector = selector[: at.start()]
        arm = " ".join(selector.split())
        if not arm:
            self._fail(f"{metric}[...] names no arm")
        return Quantity(metric, arm, time_step)

    def _selector(self) -> str:
        """The text up to the bracket that closes the one before it."""
        depth, begin, place = 1, self._place, self._place
        while depth:
            if place == len(self._text):
                self._fail("its '[' is never closed")
            depth += (self._text[place] == "[") - (self._text[place] == "]")
            place += 1
        self._place = place
        return self._text[begin : place - 1]

    def _next(self) -> str:
        """The word at the place, without leaving it; empty at the end."""
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1
        found = _TOKEN.match(self._text, self._place)
        return found[0] if found else ""

    def _take(self) -> None:
        self._place += len(self._next())

    def _fail(self, why: str) -> NoReturn:
        raise RequestError(
            f"cannot read the claim {self._text!r} at column {self._place + 1}: {why}\n"
            f"  for instance: {EXAMPLE}"
        )
