"""The command that serves MLflow's user interface for a store; starting it is the caller's."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from diamond.errors import StoreError
from diamond.tracking.uris import absolute_uri

# Without MLflow's background jobs the server is up in half the time and in half the memory.
UI_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
)


def ui_command(tracking_uri: str, port: int) -> list[str]:
    """Return the arguments that start the server on the loopback address.

    The store is named in full, so that no folder in the working directory can take its place.
    Artifacts are read where the runs say they are. Start it with `UI_ENVIRONMENT` added to the
    environment.

    Args:
        tracking_uri: The database that holds the runs.
        port: TCP port, 1 to 65535.

    Raises:
        StoreError: The address is a server already, or no store.
    """
    if tracking_uri.startswith(("http://", "https://")):
        raise StoreError(
            f"{tracking_uri} is a tracking server: it serves its own user interface.\n"
            "  Open that address in a browser."
        )
    uri = absolute_uri(tracking_uri)
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", uri),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--workers", "1"),
    ]
