"""The command that serves MLflow's user interface for a store; starting it is the caller's."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from diamond.errors import StoreError
from diamond.tracking.uris import absolute_uri, is_server, server_page

# Without MLflow's background jobs the server is up in half the time and in half the memory.
_SETTINGS: Mapping[str, str] = MappingProxyType({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})


@dataclass(frozen=True)
class UiServer:
    """How to start the server: its arguments, and what its environment needs beside the usual."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def ui_server(tracking_uri: str, port: int) -> UiServer:
    """Return what starts the server on the loopback address.

    The store is named in full, so that no folder in the working directory can take its place, and
    in the environment: whoever lists processes sees their arguments, with any password.
    Artifacts are read where the runs say they are.

    Args:
        tracking_uri: The database that holds the runs.
        port: TCP port, 1 to 65535.

    Raises:
        StoreError: The address is a server already, or no store.
    """
    uri = absolute_uri(tracking_uri)
    if is_server(uri):
        raise StoreError(
            f"{server_page(uri)} is a tracking server: it serves its own user interface.\n"
            "  Open that address in a browser."
        )
    command = (
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--workers", "1"),
    )
    return UiServer(command, {**_SETTINGS, "MLFLOW_BACKEND_STORE_URI": uri})
