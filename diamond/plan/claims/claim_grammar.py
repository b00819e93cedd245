"""The grammar of claims: comparisons of expressions in what arms scored, and how they are written.

Reading one from text: `claim_parser`. Which arm is meant: `claim_arms`. Verdicts:
`diamond.findings.claim_verdicts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from diamond.config.metric_table import METRIC_OF, METRICS, RETURN

FIDELITY_METRICS: tuple[str, ...] = tuple(spec.name for spec in METRICS)
"""Metrics of imagined trajectories, any of which may be the primary one."""
RETURN_METRICS: tuple[str, ...] = (RETURN.name, "hns")
"""What a policy earned: one number a run, without a time step."""
CLAIM_METRICS: tuple[str, ...] = tuple(dict.fromkeys((*METRIC_OF, *RETURN_METRICS)))

Relation = Literal["<", ">"]
Operator = Literal["+", "-", "*", "/"]
EXAMPLE = "l1[formulation=ddpm @100] > 2 * l1[formulation=edm @100]"
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
