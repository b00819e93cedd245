"""A study in the tracking store, written in a thread of its own: the stages never wait for it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from diamond.engine.files import locked
from diamond.engine.home import open_tracking
from diamond.engine.run_identity import study_key
from diamond.engine.store import Store
from diamond.errors import StoreError
from diamond.tracking.mlflow_links import run_link
from diamond.tracking.uris import is_server, server_page

TRACKING_SECONDS = 15.0
"""Least time between two imports of training curves while stages run."""
TRACKING_SHARE = 0.02
"""Most of one core that these imports take: the longer one took, the longer the next one waits."""
UI_PORT = 5000
"""Where `diamond ui` serves unless told otherwise."""
T = TypeVar("T")
Job = Callable[[], T]
"""What is done in the thread; it writes within `TrackingThread.study_run`."""


def pause_seconds(spent: float) -> float:
    """Time between two imports of which the last took `spent` seconds of a core."""
    return max(TRACKING_SECONDS, spent / TRACKING_SHARE)


class TrackingThread:
    """Opens the tracking store and does what is put to it, in this order, until it is stopped."""

    def __init__(
        self, home: Store, study: str, uri: str | None, again: Job[None] | None = None
    ) -> None:
        """Assign; nothing is opened.

        Args:
            home: The home.
            study: Name of the study.
            uri: MLflow tracking URI, None for the home's own.
            again: Done from time to time while nothing else is; None: nothing.
        """
        self._home = home
        self._study = study
        self._uri = uri
        self._again = again
        self._jobs: SimpleQueue[Job[None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._store: Any = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Open the store and do what comes, until `finish` or `stop`."""
        if self._uri is not None and is_server(self._uri):
            # MLflow imports IPython at its first request. In this thread matplotlib, where it finds
            # IPython half imported, fails.
            with suppress(ImportError):
                import_module("IPython")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Stop a command whose results cannot be tracked before it has cost much.

        Raises:
            StoreError: The tracking store cannot be opened or written; any other error is a fault.
        """
        if self._error is not None:
            raise self._error

    def put(self, job: Job[T]) -> "Future[T]":
        """Do something once what was put before is done; the future holds what it returned."""
        found: Future[T] = Future()

        def do() -> None:
            try:
                found.set_result(job())
            except BaseException as error:
                # Who waits for the answer must not wait for ever.
                found.set_exception(error)
                raise

        self._jobs.put(do)
        return found

    def finish(self, last: Job[T]) -> T:
        """Do what is left, then this, and end; returns what this returned.

        Raises:
            StoreError: The tracking store cannot be opened or written.
        """
        if self._thread is None:
            self.start()
        found = self.put(last)
        self.stop()
        self.check()
        return found.result()

    def stop(self, last: Job[None] | None = None) -> None:
        """Do what is left, show what still runs as killed, and end; once is enough.

        Args:
            last: Done before; what the store refuses then is no news unless `check` asks.
        """
        if self._thread is None:
            return
        for job in (last, self._end_own):
            if job is not None:
                self._jobs.put(job)
        self._jobs.put(None)
        self._thread.join()
        self._thread = None

    @contextmanager
    def study_run(self) -> Iterator[tuple[Any, str]]:
        """The store and the id of the study's run, for a job that writes.

        Several commands may work on one study: each reads what the others wrote before it writes.

        Raises:
            StoreError: The store could not be opened.
        """
        if self._store is None:
            raise self._error or StoreError("the tracking store is not open")
        with locked(self._home.home / "studies" / self._study / ".tracking.lock"):
            self._store.reconcile()
            yield self._store, self._store.begin_study(study_key(self._study), self._study)

    def page(self, run_id: str) -> str:
        """The address of a run, for a browser."""
        return self.address(run_link(self._store.experiment_id, run_id))

    def address(self, link: str) -> str:
        """The address of a place in MLflow, for a browser; without a server that of `diamond ui`.

        Args:
            link: From `mlflow_links`.
        """
        own = f"http://127.0.0.1:{UI_PORT}"
        base = server_page(self._uri) if self._uri and is_server(self._uri) else own
        return f"{base}/{link}"

    def _serve(self) -> None:
        self._do(self._open)
        pause = None if self._again is None or self._store is None else 0.0
        while True:
            try:
                job = self._jobs.get(timeout=pause)
            except Empty:
                began = time.thread_time()
                self._do(self._repeat)
                pause = pause_seconds(time.thread_time() - began)
                continue
            if job is None:
                return
            self._do(job)

    def _do(self, job: Job[None]) -> None:
        try:
            job()
        except Exception as error:
            self._error = self._error or error

    def _open(self) -> None:
        self._store = open_tracking(self._home.home, self._uri)

    def _repeat(self) -> None:
        assert self._again is not None
        # What a busy or restarting store refuses now is sent with the next import.
        with suppress(StoreError):
            self._again()

    def _end_own(self) -> None:
        if self._store is not None:
            self._store.end_own()
