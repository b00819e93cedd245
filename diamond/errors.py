"""Errors of the user and exit codes.

A fault of the program is never one of these and keeps its traceback.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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


class StageReleasedError(DiamondError):
    """The process that made a stage was asked to end: it saved what it had and let go of it."""


class EngineError(DiamondError):
    """What starts workers on other machines is not there, refuses, or does not answer."""


class InterruptedRunError(DiamondError):
    """The user or the system asked the run to stop; what is done so far is kept."""

    exit_code = ExitCode.INTERRUPTED


class SystemRefusalError(DiamondError):
    """The system refuses what a command needs, for instance room on the disk."""

    def __init__(self, text: str, exit_code: ExitCode) -> None:
        """Keep the text and what the process tells its caller."""
        super().__init__(text)
        self.exit_code = exit_code


_ROOM = "free room there (`diamond gc` lists what no study needs)"
_OTHER_PLACE = "give a place that you may write, with --home or the option that names the file"
_ANOTHER_PLACE: Mapping[int, str] = {
    errno.EACCES: _OTHER_PLACE,
    errno.EPERM: _OTHER_PLACE,
    errno.EROFS: _OTHER_PLACE,
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "give a path without links that lead to themselves",
    errno.EOPNOTSUPP: "give a place on a file system with locks and hard links",
}
"""What to do where the system refuses a place, by error number."""
_MORE_OF_IT: Mapping[int, str] = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "allow larger files: `ulimit -f unlimited`",
    errno.EMFILE: "allow more open files: `ulimit -n 4096`",
    errno.ENFILE: "end other programs, which hold all open files of the machine",
    errno.EAGAIN: "end other programs, or allow more processes: `ulimit -u`",
    errno.ENOMEM: "end other programs, or give fewer --jobs",
    errno.ENOLCK: "ask who runs the file server for locks, or give another place with --home",
    errno.EIO: "look after the disk, or give another place with --home",
    errno.ESTALE: "mount the file server again",
}
"""What to do where the machine lacks something or fails, by error number."""


def refusal(error: OSError | MemoryError) -> SystemRefusalError | None:
    """What the system says, as an error of the user; None where it may be a fault of the program.

    Args:
        error: As Python raised it.
    """
    if isinstance(error, FileNotFoundError) and error.filename is None:
        # Only the current folder has no name of its own.
        return SystemRefusalError(
            "the current folder was removed\n  go to one that exists: cd", ExitCode.BAD_REQUEST
        )
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno
    place = number in _ANOTHER_PLACE
    advice = (_ANOTHER_PLACE if place else _MORE_OF_IT).get(number or 0)
    if advice is None:
        return None
    said = "the memory ran out" if isinstance(error, MemoryError) else str(error.strerror)
    if isinstance(error, OSError) and error.filename is not None:
        said += f": {error.filename!r}"
    if not place:
        advice += ", then give the same command again: what is finished is kept"
    return SystemRefusalError(
        f"the system refused: {said}\n  {advice}",
        ExitCode.BAD_REQUEST if place else ExitCode.RUN_FAILED,
    )


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what the system refuses as an error of the user.

    Raises:
        SystemRefusalError: The machine refused a place, or lacks something.
    """
    try:
        yield
    except (OSError, MemoryError) as fault:
        refused = refusal(fault)
        if refused is None:
            raise
        raise refused from fault


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that looks most like `word`, or None when nothing is close."""
    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    matches = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return the sentence that asks for the nearest word, with a space before it, or nothing."""
    match = nearest(word, allowed)
    return f" Did you mean {match!r}?" if match else ""


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
    shown = f"allowed: {', '.join(words[:MAX_SHOWN])}" if words else f"there is no {kind} yet"
    if len(words) > MAX_SHOWN:
        shown += f" and {len(words) - MAX_SHOWN} more"
    guess = did_you_mean(value, words)
    return RequestError(f"unknown {kind} {value!r}.{guess}\n  {shown}\n  {hint}")
