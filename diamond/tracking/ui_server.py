"""MLflow's user interface as a server in this process: it ends with the command."""

import errno
import os
import socket
import warnings
from collections.abc import Callable

from diamond.errors import RequestError, StoreError
from diamond.tracking.ui_page import without_assistant
from diamond.tracking.uris import absolute_uri, is_server, server_page

HOST = "127.0.0.1"


def ui_store(tracking_uri: str) -> str:
    """Return the address of the database that the server shows, in full.

    No folder in the working directory can take its place.

    Raises:
        StoreError: The address is a server already, or no store.
    """
    uri = absolute_uri(tracking_uri)
    if is_server(uri):
        raise StoreError(
            f"{server_page(uri)} is a tracking server: it serves its own user interface.\n"
            "  Open that address in a browser."
        )
    return uri


def bind_port(port: int) -> socket.socket:
    """Return a socket that listens on a port of the loopback address.

    Whoever comes before the server is up waits. A port that is bound alone would be taken twice,
    and the second server would end seconds later.

    Args:
        port: TCP port, 1 to 65535.

    Raises:
        RequestError: The port is in use, or may not be used.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise unusable_port(error, port, "diamond ui --port 5010") from error
    return listening


def unusable_port(error: OSError, port: int, command: str) -> RequestError:
    """Build the error for a port that cannot be bound.

    Args:
        error: What the system said; raised again where the port is not its cause.
        command: One that would work.
    """
    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
        raise error
    why = "is in use" if error.errno == errno.EADDRINUSE else "may not be used"
    return RequestError(f"port {port} of {HOST} {why}\n  choose another, for instance: {command}")


def serve_mlflow(uri: str, listening: socket.socket, on_start: Callable[[], None]) -> None:
    """Serve until a signal comes.

    A process of its own would outlive a command that is killed, and import what lies in the
    working directory. Artifacts are read where the runs say they are.

    Args:
        uri: From `ui_store`.
        listening: From `bind_port`.
        on_start: Called once the server answers.

    Raises:
        StoreError: The server does not start.
    """
    # How MLflow's own command tells its server; no argument shows a password to other users.
    os.environ |= {"_MLFLOW_SERVER_FILE_STORE": uri, "_MLFLOW_SERVER_REGISTRY_STORE": uri}
    # Without MLflow's background jobs the server is up in half the time and in half the memory.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # MLflow reads the environment when its server is imported.
    import uvicorn  # noqa: PLC0415

    # What its libraries tell its makers is no news to who looks at runs.
    with warnings.catch_warnings(action="ignore"):
        from mlflow.server import app as pages  # noqa: PLC0415
        from mlflow.server.fastapi_app import app  # noqa: PLC0415

    without_assistant(pages)

    class Server(uvicorn.Server):
        """One that says when it answers."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_start()

    server = Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[listening])
    if not server.started:
        raise StoreError("MLflow's server did not start\n  its reason is above")
