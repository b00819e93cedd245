"""Ctrl-C, SIGTERM and a closed terminal as one exception, wherever a command was started."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from diamond.errors import InterruptedRunError
from diamond.tracking.uris import HIDDEN


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM, SIGHUP, and SIGINT even where it was ignored, into KeyboardInterrupt.

    In any thread but the main one, which alone hears of signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Under nohup a command outlives its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def resumable(command: str, kept: str = "what was done is kept. Go on with") -> Iterator[None]:
    """Tell who interrupts a command how to go on.

    Args:
        command: The command, to be repeated.
        kept: What is kept, in words that "the same command" follows.

    Raises:
        InterruptedRunError: The user or the system asked to stop.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        hidden = f"\n  {HIDDEN} stands for a password" if HIDDEN in command else ""
        raise InterruptedRunError(
            f"interrupted; {kept} the same command:\n  {command}{hidden}"
        ) from None
