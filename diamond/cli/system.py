"""Between a command and the system: standard streams that lose no work, paths that are no text."""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

import typer

from diamond.errors import ExitCode, RequestError

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDOUT, STDERR = 1, 2


class _Output(io.FileIO):
    """The file of a standard stream; once the system refused to write, it drops what comes.

    A command makes what it was asked for whether or not anybody can read what it says meanwhile.
    """

    refused: OSError | None = None

    def write(self, data: "Buffer", /) -> int:
        """Write, or drop what cannot be written."""
        if self.refused is None:
            try:
                return super().write(data)
            except OSError as error:
                self.refused = error
        return memoryview(data).nbytes


class Streams:
    """Standard output and standard error, in place of Python's own. They raise no error."""

    def __init__(self) -> None:
        """Replace the streams of the process."""
        # A file that is opened later must not take the number of a stream that was closed.
        while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
            pass
        os.close(number)
        self._results = _Output(STDOUT, "w", closefd=False)
        sys.stdout = _text(self._results, sys.stdout)
        sys.stderr = _text(_Output(STDERR, "w", closefd=False), sys.stderr)

    def close(self, code: int) -> int:
        """Write what is left of the results; returns the exit code of the command.

        Args:
            code: The exit code when all could be written. A reader who went away has read enough.
        """
        sys.stdout.flush()
        refused = self._results.refused
        if refused is None or refused.errno == errno.EPIPE:
            return code
        typer.echo(
            f"diamond: cannot write standard output: {refused.strerror}\n"
            "  what the command made is kept; only what it printed is lost",
            err=True,
        )
        return code or ExitCode.RUN_FAILED


def quiet_mlflow() -> None:
    """Tell MLflow, before it is imported, to keep to itself."""
    # It reports its use to its makers unless it is told not to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # What it does to a database, step by step, is no news.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # It would print the address of every run of a server, password and all, between our output.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def check_text(what: str, word: str) -> None:
    """Refuse a path, or another word, that is not text in the encoding of the system.

    Args:
        what: What it is: ``"the argument"``.
        word: As Python reads it from the system.

    Raises:
        RequestError: It holds bytes that are no letters: no database and no page can hold it.
    """
    try:
        word.encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"{what} {word!r} is not text in {sys.getfilesystemencoding().upper()}\n"
            "  rename it, or reach it by a link with a name that is"
        ) from None


def _text(file: _Output, before: TextIO | None) -> io.TextIOWrapper:
    """A stream in the encoding of the one before; it shows as an escape what that lacks."""
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=file.fileno() == STDERR or file.isatty(),
    )
