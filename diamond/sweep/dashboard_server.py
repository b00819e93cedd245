"""Optuna's dashboard as a server in this process: no password on a command line, no log."""

import logging
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from optuna.storages import BaseStorage

from diamond.tracking.ui_server import HOST, unusable_port


class _Server(ThreadingMixIn, WSGIServer):
    """Answers several requests at once; a browser opens connections that it may never use."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Report a fault, but not that a page was left before it was complete."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(WSGIRequestHandler):
    """Keeps no log of requests."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def bind_dashboard(storage: BaseStorage, port: int) -> WSGIServer:
    """Return the dashboard on a port of the loopback address; it answers once it is served.

    Args:
        storage: Whose studies to show.
        port: TCP port, 1 to 65535.

    Raises:
        RequestError: The port is in use, or may not be used.
    """
    logging.getLogger("optuna_dashboard").setLevel(logging.ERROR)
    app = optuna_dashboard.wsgi(storage)
    try:
        return make_server(HOST, port, app, server_class=_Server, handler_class=_Handler)
    except OSError as error:
        raise unusable_port(error, port, "diamond ui --studies --port 8090") from error
