"""`diamond ui`: the MLflow UI on a home."""

from pathlib import Path

from diamond.cli.interrupt import interruptible
from diamond.cli.options import say_tracking
from diamond.errors import ExitCode, RequestError
from diamond.tracking.mlflow_links import studies_link
from diamond.tracking.ui_server import HOST, bind_port, serve_mlflow, ui_store
from diamond.tracking.uris import default_uri, sqlite_path


def serve_ui(home: Path, tracking_uri: str | None, port: int) -> int:
    """Serve until interrupted.

    The address that is printed leads to the table of studies: MLflow's own first page does not.

    Raises:
        RequestError: There is nothing to show yet, or the port cannot be used.
        StoreError: The store cannot be opened or served.
    """
    database = sqlite_path(default_uri(home)) if tracking_uri is None else None
    if database is not None and not database.exists():
        raise RequestError(
            f"no runs in {str(home)!r} yet\n"
            "  make some first, for instance: diamond ablate steps=1,3,10"
        )
    say_tracking(home, tracking_uri)
    uri = ui_store(tracking_uri or default_uri(home))
    with interruptible():
        try:
            with bind_port(port) as listening:
                from diamond.tracking.mlflow_open import find_experiment

                experiment_id = find_experiment(uri, home)
                page = "" if experiment_id is None else studies_link(experiment_id)
                address = f"MLflow UI: http://{HOST}:{port}/{page}  (Ctrl-C ends it)"
                serve_mlflow(uri, listening, lambda: print(address, flush=True))
        except KeyboardInterrupt:
            pass
    return ExitCode.DONE
