"""The grammar of the command line: ``axis=v1,v2`` with brackets for values that hold commas."""

from dataclasses import dataclass

from diamond.errors import RequestError

OPENING, CLOSING = "[{(", "]})"


@dataclass(frozen=True)
class Assignment:
    """An axis as the user wrote it and the texts of its values, in order, each once."""

    name: str
    values: tuple[str, ...]


def parse_assignment(text: str) -> Assignment:
    """Parse ``steps=1,3,10``, ``width=32,64`` or ``noise=timesteps,lognormal(-0.4,1.2)``.

    Commas inside brackets of any kind belong to the value.

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
    values = tuple(_split(rest, text))
    if any(not value for value in values):
        raise RequestError(f"{text!r} has an empty value; write {name}=1,3 without gaps")
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise RequestError(f"{text!r} repeats the value {repeated[0]!r}; give each value once")
    return Assignment(name, values)


def parse_assignments(texts: tuple[str, ...]) -> tuple[Assignment, ...]:
    """Parse all assignments of a command.

    Raises:
        RequestError: There is none, one is malformed, or an axis is given twice.
    """
    if not texts:
        raise RequestError(
            "nothing to vary: give at least one axis=value,value\n"
            "  for instance: diamond ablate steps=1,3,10\n  `diamond axes` lists the axes"
        )
    assignments = tuple(parse_assignment(text) for text in texts)
    names = [assignment.name for assignment in assignments]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"axis {name!r} is given twice; list its values once: {name}=a,b")
    return assignments


def _split(rest: str, text: str) -> list[str]:
    values, current, still_open = [], "", ""
    for letter in rest:
        if letter in OPENING:
            still_open += letter
        elif letter in CLOSING:
            if not still_open or OPENING.index(still_open[-1]) != CLOSING.index(letter):
                raise RequestError(f"brackets do not match in {text!r}")
            still_open = still_open[:-1]
        if letter == "," and not still_open:
            values.append(current.strip())
            current = ""
        else:
            current += letter
    if still_open:
        raise RequestError(f"brackets do not match in {text!r}")
    return [*values, current.strip()]
