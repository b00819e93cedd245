"""A claim in linear form: sums of coefficients times what arms scored, below or above 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from diamond.errors import RequestError
from diamond.plan.claims.claim_grammar import (
    EXAMPLE,
    Absolute,
    Binary,
    Comparison,
    Expression,
    Negation,
    Number,
    Operator,
    Quantity,
    Relation,
    render_claim,
)


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
