"""The grammar of the command line: ``axis=v1,v2`` with brackets for values that hold commas."""

import re
from dataclasses import dataclass
from typing import Literal

from diamond.errors import RequestError

OPENING, CLOSING = "[{(", "]})"
_MARKS = re.compile(r"\s*([][{}(),:])\s*")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_MAX_WHOLE = 2.0**53
"""Below it every whole number is a float; nothing that is set by a text is as large."""


@dataclass(frozen=True)
class Assignment:
    """An axis as the user wrote it and the texts of its values, in order, each once."""

    name: str
    values: tuple[str, ...]


def is_declaration(word: str) -> bool:
    """Whether a word of a command is meant as a declaration: a name or a file, not an axis."""
    return word.endswith(".toml") or "=" not in word


def one_form(value: str) -> str:
    """A value of an axis with its numbers written in one way: 1.0, 1e0 and 01 are 1.

    Equal values are one value, whoever writes them. A path stays as it is.
    """
    if "/" in value or '"' in value:
        return value
    return "".join(_number(part) for part in _MARKS.split(value.strip()))


def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if abs(number) >= _MAX_WHOLE:
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def parse_assignment(text: str, repeats: Literal["refused", "kept"] = "refused") -> Assignment:
    """Parse ``steps=1,3,10``, ``width=32,64`` or ``noise=timesteps,lognormal(-0.4,1.2)``.

    Commas inside brackets of any kind belong to the value, whose numbers get their one form.

    Args:
        text: What the user wrote.
        repeats: Whether a value may stand there again, as it may where lists go side by side.

    Raises:
        RequestError: No equals sign, an empty or repeated value, unbalanced brackets.
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise RequestError(
            f"cannot read {text!r}: an ablation is written axis=value,value\n"
            "  for instance: diamond ablate steps=1,3,10"
        )
    values = tuple(one_form(part) for part in split_outside(rest, ",", text))
    if any(not value for value in values):
        raise RequestError(f"{text!r} has an empty value; write {name}=1,3 without gaps")
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated and repeats == "refused":
        raise RequestError(f"{text!r} repeats the value {repeated[0]!r}; give each value once")
    return Assignment(name, values)


def parse_assignments(
    texts: tuple[str, ...], repeats: Literal["refused", "kept"] = "refused"
) -> tuple[Assignment, ...]:
    """Parse all assignments of a command.

    Args:
        texts: What the user wrote.
        repeats: Whether an axis may have a value twice.

    Raises:
        RequestError: There is none, one is malformed, or an axis is given twice.
    """
    if not texts:
        raise RequestError(
            "nothing to vary: give at least one axis=value,value\n"
            "  for instance: diamond ablate steps=1,3,10\n  `diamond axes` lists the axes"
        )
    assignments = tuple(parse_assignment(text, repeats) for text in texts)
    names = [assignment.name for assignment in assignments]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"axis {name!r} is given twice; list its values once: {name}=a,b")
    return assignments


def split_outside(text: str, separator: str, whole: str | None = None) -> list[str]:
    """Split at a letter wherever it stands outside brackets.

    Args:
        separator: One letter.
        whole: What the user wrote, for the error; by default the text.

    Raises:
        RequestError: Unbalanced brackets.
    """
    parts, current, still_open = [], "", ""
    for letter in text:
        if letter in OPENING:
            still_open += letter
        elif letter in CLOSING:
            if not still_open or OPENING.index(still_open[-1]) != CLOSING.index(letter):
                raise RequestError(f"brackets do not match in {(whole or text)!r}")
            still_open = still_open[:-1]
        if letter == separator and not still_open:
            parts.append(current)
            current = ""
        else:
            current += letter
    if still_open:
        raise RequestError(f"brackets do not match in {(whole or text)!r}")
    return [*parts, current]
