"""On which line of a TOML text something stands, which the standard library does not say."""

import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Find the line on which a key begins, for an element of a list that of the list.

    The text is read line by line: the first beginning of it that holds the key ends with the key's
    value, which began after the last beginning that could be read.

    Args:
        text: A valid TOML text.
        path: Keys and positions from the top, such as ``("claims", 0, "text")``; a key with dots
            may stand there in parts. Where the end of the path is not there, its nearest holder is
            looked for.

    Returns:
        The line, counted from 1; None where nothing of the path is there.
    """
    for length in range(len(path), 0, -1):
        if _holds(tomllib.loads(text), path[:length]):
            return _first_line(text, path[:length])
    return None


def _first_line(text: str, path: Sequence[str | int]) -> int:
    lines = text.splitlines(keepends=True)
    readable = 0
    for number in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(data, path):
            return readable + 1
        readable = number
    raise AssertionError("the whole text holds the path")


def _holds(data: Any, path: Sequence[str | int]) -> bool:
    if not path:
        return True
    key, *rest = path
    if isinstance(key, int):
        return isinstance(data, list) and key < len(data) and _holds(data[key], rest)
    if not isinstance(data, dict):
        return False
    if key in data:
        return _holds(data[key], rest)
    first, dot, inner = key.partition(".")
    return bool(dot) and first in data and _holds(data[first], [inner, *rest])
