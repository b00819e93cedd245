"""`diamond ui`: the MLflow UI on a home."""

import os
import subprocess
from pathlib import Path

from diamond.errors import ExitCode, RequestError
from diamond.tracking.ui import UI_ENVIRONMENT, ui_command
from diamond.tracking.uris import default_uri


def serve_ui(home: Path, tracking_uri: str | None, port: int) -> int:
    """Serve until interrupted; returns the exit code of the server.

    Raises:
        RequestError: There is nothing to show yet.
    """
    if tracking_uri is None and not (home / "mlflow.db").exists():
        raise RequestError(
            f"no runs in {str(home)!r} yet\n"
            "  make some first, for instance: diamond ablate steps=1,3,10"
        )
    print(f"MLflow UI: http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    command = ui_command(tracking_uri or default_uri(home), port)
    environment = {**os.environ, **UI_ENVIRONMENT}
    with subprocess.Popen(command, env=environment) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return ExitCode.DONE
