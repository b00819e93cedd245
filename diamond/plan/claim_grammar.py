"""The grammar of claims: comparisons of linear expressions in what arms scored; parsed, never run.

Which arm is meant: `diamond.plan.claim_arms`. Verdicts: `diamond.findings.claim_verdicts`.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn, assert_never

from diamond.config.metric_table import METRIC_OF, METRICS, RETURN, is_set
from diamond.errors import RequestError, nearest

FIDELITY_METRICS: tuple[str, ...] = tuple(spec.name for spec in METRICS)
"""Metrics of imagined trajectories, any of which may be the primary one."""
RETURN_METRICS: tuple[str, ...] = (RETURN.name, "hns")
"""What a policy earned: one number a run, without a time step."""
CLAIM_METRICS: tuple[str, ...] = tuple(dict.fromkeys((*METRIC_OF, *RETURN_METRICS)))

Relation = Literal["<", ">"]
Operator = Literal["+", "-", "*", "/"]
MAX_NESTING = 40
EXAMPLE = "l1[formulation=ddpm @100] > 2 * l1[formulation=edm @100]"

_TOKEN = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|[<>]=?|==?|\S")
_TIME_STEP = re.compile(r"\s*@\s*(\S*)\s*$")
_STRENGTH: Mapping[Operator, int] = {"+": 1, "-": 1, "*": 2, "/": 2}
_UNARY_STRENGTH = 3


@dataclass(frozen=True)
class Number:
    """A constant, at least 0."""

    value: float


@dataclass(frozen=True)
class Quantity:
    """What an arm scored.

    Attributes:
        metric: Name of the metric.
        arm: Name of the arm, or values of axes that tell it: ``formulation=edm steps=1``.
        time_step: Time step, None for the mean over the horizon.
    """

    metric: str
    arm: str
    time_step: int | None = None


@dataclass(frozen=True)
class Negation:
    """An expression with the other sign."""

    of: "Expression"


@dataclass(frozen=True)
class Absolute:
    """The magnitude of an expression."""

    of: "Expression"


@dataclass(frozen=True)
class Binary:
    """Two expressions and what joins them."""

    operator: Operator
    left: "Expression"
    right: "Expression"


Expression = Number | Quantity | Negation | Absolute | Binary


@dataclass(frozen=True)
class Comparison:
    """A claim: the left expression is below or above the right one."""

    left: Expression
    relation: Relation
    right: Expression


@dataclass(frozen=True)
class Linear:
    """A linear expression: the sum of coefficient times quantity, plus a constant."""

    terms: Mapping[Quantity, float]
    constant: float

    def plus(self, other: "Linear", factor: float = 1.0) -> "Linear":
        """This expression plus a multiple of another; terms that cancel are gone."""
        terms = dict(self.terms)
        for quantity, coefficient in other.terms.items():
            terms[quantity] = terms.get(quantity, 0.0) + factor * coefficient
        kept = {quantity: value for quantity, value in terms.items() if value != 0}
        return Linear(kept, self.constant + factor * other.constant)


@dataclass(frozen=True)
class Reading:
    """A comparison as linear ones: left minus right, below or above 0.

    Attributes:
        parts: One expression, or two where the claim has a magnitude.
        relation: How every part stands to 0 if the claim holds.
        holds: Whether the claim needs all parts or any of them.
    """

    parts: tuple[Linear, ...]
    relation: Relation
    holds: Literal["all", "any"]


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


def read_claim(comparison: Comparison, text: str | None = None) -> Reading:
    """Bring a comparison to linear form.

    ``E + k |A| < 0`` holds for k > 0 where both ``E + k A`` and ``E - k A`` are below 0, and for
    k < 0 where any of them is.

    Args:
        comparison: The claim.
        text: How it was written, for the error.

    Raises:
        RequestError: A product or quotient of quantities, more than one magnitude, or no quantity.
    """
    shown = render_claim(comparison) if text is None else text
    linear, magnitudes = _linear(Binary("-", comparison.left, comparison.right), shown)
    if not magnitudes:
        parts: tuple[Linear, ...] = (linear,)
        holds: Literal["all", "any"] = "all"
    elif len(magnitudes) > 1:
        raise _refused(shown, "it has more than one abs(...)")
    else:
        ((factor, inner),) = magnitudes
        parts = (linear.plus(inner, factor), linear.plus(inner, -factor))
        holds = "all" if (factor > 0) == (comparison.relation == "<") else "any"
    if not all(part.terms for part in parts):
        raise _refused(shown, "no quantity is left in it once equal ones cancel")
    return Reading(parts, comparison.relation, holds)


def quantities(expression: Expression) -> tuple[Quantity, ...]:
    """The quantities of an expression, each once, in the order in which they stand."""
    match expression:
        case Number():
            found: tuple[Quantity, ...] = ()
        case Quantity():
            found = (expression,)
        case Negation(of) | Absolute(of):
            found = quantities(of)
        case Binary(_, left, right):
            found = (*quantities(left), *quantities(right))
        case _:
            assert_never(expression)
    return tuple(dict.fromkeys(found))


def claim_quantities(comparison: Comparison) -> tuple[Quantity, ...]:
    """The quantities of both sides of a claim, each once."""
    return tuple(dict.fromkeys((*quantities(comparison.left), *quantities(comparison.right))))


def render_claim(comparison: Comparison) -> str:
    """Write a claim in one way only; parsing it again gives the same comparison."""
    return f"{render(comparison.left)} {comparison.relation} {render(comparison.right)}"


def render(expression: Expression) -> str:
    """Write an expression with the fewest brackets."""
    return _render(expression, 0)


def render_quantity(quantity: Quantity) -> str:
    """Write a quantity: ``l1[steps=1 @100]``."""
    at = "" if quantity.time_step is None else f" @{quantity.time_step}"
    return f"{quantity.metric}[{quantity.arm}{at}]"


def _render(expression: Expression, strength: int) -> str:
    match expression:
        case Number(value):
            return repr(int(value)) if value.is_integer() and value < 1e15 else repr(value)
        case Quantity():
            return render_quantity(expression)
        case Absolute(of):
            return f"abs({render(of)})"
        case Negation(of):
            text, own = f"-{_render(of, _UNARY_STRENGTH)}", _UNARY_STRENGTH
        case Binary(operator, left, right):
            own = _STRENGTH[operator]
            text = f"{_render(left, own)} {operator} {_render(right, own + 1)}"
        case _:
            assert_never(expression)
    return f"({text})" if own < strength else text


def _linear(expression: Expression, shown: str) -> tuple[Linear, list[tuple[float, Linear]]]:
    """A linear expression and magnitudes with their factors, which together are an expression."""
    match expression:
        case Number(value):
            return Linear({}, value), []
        case Quantity():
            return Linear({expression: 1.0}, 0.0), []
        case Negation(of):
            return _scaled(_linear(of, shown), -1.0)
        case Absolute(of):
            inner, magnitudes = _linear(of, shown)
            if magnitudes:
                raise _refused(shown, "it has an abs(...) inside another")
            if not inner.terms:
                return Linear({}, abs(inner.constant)), []
            return Linear({}, 0.0), [(1.0, inner)]
        case Binary(operator, left, right):
            return _joined(operator, _linear(left, shown), _linear(right, shown), shown)
        case _:
            assert_never(expression)


def _joined(
    operator: Operator,
    left: tuple[Linear, list[tuple[float, Linear]]],
    right: tuple[Linear, list[tuple[float, Linear]]],
    shown: str,
) -> tuple[Linear, list[tuple[float, Linear]]]:
    if operator in ("+", "-"):
        linear, magnitudes = _scaled(right, 1.0 if operator == "+" else -1.0)
        return left[0].plus(linear), left[1] + magnitudes
    if operator == "*" and _is_constant(left):
        return _scaled(right, left[0].constant)
    if not _is_constant(right):
        what = "multiplies two quantities" if operator == "*" else "divides by a quantity"
        raise _refused(shown, f"it {what}; a claim is linear in what arms scored")
    if operator == "*":
        return _scaled(left, right[0].constant)
    if right[0].constant == 0:
        raise _refused(shown, "it divides by 0")
    return _scaled(left, 1 / right[0].constant)


def _is_constant(side: tuple[Linear, list[tuple[float, Linear]]]) -> bool:
    return not side[0].terms and not side[1]


def _scaled(
    side: tuple[Linear, list[tuple[float, Linear]]], factor: float
) -> tuple[Linear, list[tuple[float, Linear]]]:
    linear, magnitudes = side
    scaled = [(factor * own, inner) for own, inner in magnitudes if factor * own != 0]
    return Linear({}, 0.0).plus(linear, factor), scaled


def _refused(text: str, why: str) -> RequestError:
    return RequestError(f"cannot use the claim {text!r}: {why}\n  for instance: {EXAMPLE}")


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
