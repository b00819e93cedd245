"""The space of a sweep: what each parameter may be, and the text that sets it; no Optuna here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictStr, model_validator

from diamond.config.base import Record
from diamond.plan.axis import shown
from diamond.plan.toml_files import text_of

Kind = Literal["int", "float", "categorical"]
Value = int | float | str
"""What a parameter is in a trial: a number, or the text of a choice."""
Values = Mapping[str, Value]
"""Value per parameter that a trial was asked for."""
ChoiceText = Annotated[StrictStr, BeforeValidator(text_of)]
DIGITS = 4
"""Significant digits of a float: further ones say nothing, and names stay short."""
STEP_TOLERANCE = 1e-8
"""How far a value may be from a whole number of steps, in steps: what decimals lose in binary."""
KINDS = ("int", "float", "choices")
"""Keys of which a declared parameter has exactly one."""


class DeclaredParameter(Record):
    """A parameter as a file declares it."""

    whole: tuple[int, int] | None = Field(None, alias="int", description="least and greatest value")
    real: tuple[float, float] | None = Field(
        None, alias="float", description="least and greatest value"
    )
    choices: tuple[ChoiceText, ...] | None = Field(None, description="the values of a closed list")
    step: float | None = Field(None, gt=0, description="distance of neighbouring values")
    log: StrictBool = Field(False, description="whether values are drawn on a logarithmic scale")
    when: dict[str, tuple[ChoiceText, ...]] | None = Field(
        None, description="asked for only where another parameter has one of these values"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [n for n, v in zip(KINDS, (self.whole, self.real, self.choices), strict=True) if v]
        if len(given) != 1:
            raise ValueError(
                f"a parameter has exactly one of {', '.join(KINDS)}; this one has "
                f"{' and '.join(given) or 'none'}"
            )
        if self.choices is not None:
            self._check_choices(self.choices)
        else:
            self._check_range(*(self.whole or self.real or (0, 0)))
        if self.when is not None and len(self.when) != 1:
            raise ValueError("when names exactly one other parameter and its values")
        return self

    def _check_choices(self, choices: tuple[str, ...]) -> None:
        if len(set(choices)) != len(choices):
            raise ValueError(f"choices {list(choices)} repeat a value")
        if len(choices) < 2:
            raise ValueError(
                f"choices {list(choices)} leave nothing to search; a fixed value stands in "
                "[settings]"
            )
        if self.log or self.step is not None:
            raise ValueError("choices have neither log nor step")

    def _check_range(self, low: float, high: float) -> None:
        if low >= high:
            raise ValueError(
                f"the range [{low}, {high}] is empty or one value: the least stands first, and a "
                "fixed value stands in [settings]"
            )
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("log needs a range above 0, and no step")
        if self.whole is not None and self.step is not None and self.step != int(self.step):
            raise ValueError(f"step {self.step} of a whole number is not whole")
        if self.step is not None and self.step > high - low:
            raise ValueError(
                f"step {self.step:g} leaves one value of the range [{low:g}, {high:g}]; a fixed "
                "value stands in [settings]"
            )
        if self.real is not None:
            self._check_digits(low, _last(low, high, self.step))

    def _check_digits(self, low: float, last: float) -> None:
        step = self.step or 0.0
        for value in (low, low + step, last - step, last):
            if abs(rounded(value) - value) > STEP_TOLERANCE * abs(value):
                raise ValueError(
                    f"{value:.10g} has more than {DIGITS} digits, to which values are rounded"
                )


@dataclass(frozen=True)
class Condition:
    """Another parameter and the values of it for which a parameter is asked."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """One dimension of a space.

    Attributes:
        name: Name of an axis or config field.
        kind: What its values are.
        low: Least value of a range.
        high: Greatest value of a range, a whole number of steps above the least.
        step: Distance of neighbouring values, None where any is allowed.
        log: Whether values are drawn on a logarithmic scale.
        choices: Texts of a closed list.
        when: Where it is asked for, None: always.
    """

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    when: Condition | None = None

    @staticmethod
    def of(name: str, declared: DeclaredParameter) -> "Parameter":
        """The parameter that a file declares."""
        when = None
        if declared.when is not None:
            ((other, values),) = declared.when.items()
            when = Condition(other, values)
        if declared.choices is not None:
            return Parameter(name, "categorical", choices=declared.choices, when=when)
        if declared.whole is not None:
            step = declared.step or 1
            low, high = declared.whole
            last = int(_last(low, high, step))
            return Parameter(name, "int", low, last, step, declared.log, when=when)
        assert declared.real is not None
        low_, high_ = declared.real
        last_ = _last(low_, high_, declared.step)
        return Parameter(name, "float", low_, last_, declared.step, declared.log, when=when)

    @property
    def is_finite(self) -> bool:
        """Whether its values can be counted."""
        return self.kind == "categorical" or self.step is not None

    def holds(self, value: Value) -> bool:
        """Whether it may have a value: one of its choices, or in its range and on its steps."""
        if self.kind == "categorical":
            return value in self.choices
        if isinstance(value, str) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < STEP_TOLERANCE

    def read(self, text: str) -> Value | None:
        """The value that a text stands for; None where it is none of this parameter's."""
        if self.kind == "categorical":
            return text if text in self.choices else None
        try:
            value: Value = int(text) if self.kind == "int" else float(text)
        except ValueError:
            return None
        return value if self.holds(value) else None

    def text(self, value: Value) -> str:
        """The text that sets the axis to a value; a float is rounded to `DIGITS` digits."""
        if isinstance(value, str):
            return value
        return shown(int(value) if self.kind == "int" else rounded(value))

    def values(self) -> tuple[Value, ...]:
        """All values of a finite parameter, in their order."""
        assert self.is_finite
        if self.kind == "categorical":
            return self.choices
        assert self.step is not None
        count = _num_steps(self.low, self.high, self.step) + 1
        found = [self.low + index * self.step for index in range(count)]
        return tuple(int(v) if self.kind == "int" else rounded(v) for v in found)

    def ends(self) -> tuple[Value, ...]:
        """The values at its ends, or all of a closed list: what is tried before anything runs."""
        if self.kind == "categorical":
            return self.choices
        return tuple(int(v) if self.kind == "int" else v for v in (self.low, self.high))


Space = tuple[Parameter, ...]
"""Parameters in the order in which they are asked for."""


def rounded(value: float) -> float:
    """A number with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _num_steps(low: float, high: float, step: float) -> int:
    """Whole steps in a range."""
    return int((high - low) / step + STEP_TOLERANCE)


def _last(low: float, high: float, step: float | None) -> float:
    """The greatest value of a range that lies on its steps."""
    return high if step is None else float(f"{low + _num_steps(low, high, step) * step:.12g}")


def is_asked(parameter: Parameter, values: Values) -> bool:
    """Whether a parameter is asked for, given what stands before it."""
    when = parameter.when
    return when is None or values.get(when.name) in when.values


def texts_of(space: Space, values: Values) -> dict[str, str]:
    """Text per axis that a trial sets."""
    return {p.name: p.text(values[p.name]) for p in space if p.name in values}


def grid_of(space: Space) -> Iterator[dict[str, Value]]:
    """All combinations of a space of finite parameters, each once."""
    seen: set[tuple[tuple[str, Value], ...]] = set()
    for combination in product(*(parameter.values() for parameter in space)):
        chosen: dict[str, Value] = {}
        for parameter, value in zip(space, combination, strict=True):
            if is_asked(parameter, chosen):
                chosen[parameter.name] = value
        key = tuple(chosen.items())
        if key not in seen:
            seen.add(key)
            yield chosen


def values_of(space: Space, texts: Mapping[str, str]) -> dict[str, Value] | None:
    """The point of a space that texts of its axes stand for; None where one lies outside."""
    chosen: dict[str, Value] = {}
    for parameter in space:
        if is_asked(parameter, chosen):
            value = parameter.read(texts[parameter.name])
            if value is None:
                return None
            chosen[parameter.name] = value
    return chosen


def range_text(parameter: Parameter) -> str:
    """What a parameter may be, in words: ``1 to 10``, ``0.001 to 0.1, logarithmic``."""
    if parameter.kind == "categorical":
        return ", ".join(parameter.choices)
    low, high = (parameter.text(value) for value in (parameter.low, parameter.high))
    extra = ", logarithmic" if parameter.log else ""
    if parameter.step is not None and (parameter.kind == "float" or parameter.step != 1):
        extra = f", in steps of {parameter.step:g}"
    return f"{low} to {high}{extra}"


def condition_text(parameter: Parameter) -> str:
    """Where a parameter is asked for, in words; empty where always."""
    when = parameter.when
    return "" if when is None else f"where {when.name} is {' or '.join(when.values)}"


def check_conditions(space: Sequence[Parameter]) -> str | None:
    """What is wrong with the conditions of a space, None where nothing is."""
    before: dict[str, Parameter] = {}
    for parameter in space:
        when = parameter.when
        if when is not None:
            other = before.get(when.name)
            if other is None or other.kind != "categorical":
                allowed = [p.name for p in before.values() if p.kind == "categorical"]
                return (
                    f"{parameter.name} hangs on {when.name!r}, which is no parameter with choices "
                    f"that stands before it\n  allowed: {', '.join(allowed) or 'there is none'}"
                )
            strange = [value for value in when.values if value not in other.choices]
            if strange:
                return (
                    f"{parameter.name} hangs on {when.name} being {strange[0]!r}, which it never "
                    f"is\n  allowed: {', '.join(other.choices)}"
                )
        before[parameter.name] = parameter
    return None
