"""What every part of a result is made of: numbers that may be absent, and a few words."""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator

Unit = Literal["seed", "start"]

MEAN = "mean"
"""Where a value is the mean over the horizon, or the one value of a metric of a set."""


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def defined(values: Iterable[float | None]) -> tuple[float | None, ...]:
    """Numbers as a result has them: None for NaN and infinity, which JSON does not have."""
    found = tuple(values)
    # The sum says it of all at once: a large result has millions of numbers.
    with suppress(TypeError, OverflowError):
        if math.isfinite(sum(cast("tuple[float, ...]", found))):
            return found
    return tuple(_defined(value) for value in found)


Number = Annotated[float | None, BeforeValidator(_defined)]
Numbers = Annotated[tuple[float | None, ...], BeforeValidator(defined)]
