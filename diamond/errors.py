"""Errors of the user and exit codes.

A fault of the program is never one of these and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from typing import TypeVar


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    RUN_FAILED = 1
    BAD_REQUEST = 2
    INTERRUPTED = 130


class DiamondError(Exception):
    """An error that the user can mend.

    Its text says what, the value, what is allowed and what to do.
    """

    exit_code: ExitCode = ExitCode.BAD_REQUEST


class RequestError(DiamondError):
    """The command asks for something that does not exist or is out of range."""


class StoreError(DiamondError):
    """The home folder cannot be read or written."""


class WeightsError(DiamondError):
    """Saved weights do not belong to the network: a tensor is missing or not known."""


class StageFailedError(DiamondError):
    """A stage stopped with an error, for instance a loss that is not finite."""

    exit_code = ExitCode.RUN_FAILED


class OvertakenError(DiamondError):
    """Another process took over what this one was making, because this one had stopped."""

    exit_code = ExitCode.RUN_FAILED


class InterruptedRunError(DiamondError):
    """The user or the system asked the run to stop; what is done so far is kept."""

    exit_code = ExitCode.INTERRUPTED


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that looks most like `word`, or None when nothing is close."""
    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    matches = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


MAX_SHOWN = 40
"""Words of a list that an error shows."""


Word = TypeVar("Word", bound=str)


def one_of(kind: str, value: str, allowed: Iterable[Word], hint: str) -> Word:
    """Return the word of a closed list that a text is.

    Args:
        kind: What the word stands for, such as ``"design"``.
        value: The word as the user wrote it.
        allowed: Every allowed word.
        hint: The next command or flag to try.

    Raises:
        RequestError: It is none of them; the text names the nearest one.
    """
    words = tuple(allowed)
    for word in words:
        if word == value:
            return word
    raise unknown(kind, value, words, hint)


def unknown(kind: str, value: str, allowed: Iterable[str], hint: str) -> RequestError:
    """Build the error for a word that is not in a closed list.

    Args:
        kind: What the word stands for, such as ``"game"``.
        value: The word as the user wrote it.
        allowed: Every allowed word.
        hint: The next command or flag to try.
    """
    words = sorted(allowed)
    match = nearest(value, words)
    shown = f"allowed: {', '.join(words[:MAX_SHOWN])}" if words else f"there is no {kind} yet"
    if len(words) > MAX_SHOWN:
        shown += f" and {len(words) - MAX_SHOWN} more"
    guess = f" Did you mean {match!r}?" if match else ""
    return RequestError(f"unknown {kind} {value!r}.{guess}\n  {shown}\n  {hint}")
