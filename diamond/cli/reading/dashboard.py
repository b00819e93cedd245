"""`diamond ui --studies`: Optuna's dashboard on a home or another storage."""

from pathlib import Path

from diamond.cli.interrupt import interruptible
from diamond.errors import ExitCode, RequestError


def serve_studies(home: Path, storage: str | None, port: int) -> int:
    """Serve until interrupted.

    Args:
        home: Whose journal is shown where no storage is named.
        storage: Address of another storage.
        port: TCP port on the loopback address.

    Raises:
        RequestError: There is nothing to show yet, or the port cannot be used.
        StoreError: The storage cannot be opened.
    """
    from diamond.sweep.addresses import default_storage, storage_address
    from diamond.tracking.uris import hide_secrets

    address = default_storage(home) if storage is None else storage_address(storage)
    with interruptible():
        try:
            from diamond.sweep.dashboard_links import dashboard_link
            from diamond.sweep.dashboard_server import bind_dashboard
            from diamond.sweep.storage import find_storage

            found = find_storage(address)
            if found is None:
                raise RequestError(
                    f"no Optuna studies in {hide_secrets(address)!r} yet\n"
                    "  run one first, for instance: diamond sweep studies/sampler.toml\n"
                    "  or name another place with --home or --storage"
                )
            with bind_dashboard(found, port) as server:
                print(f"Optuna dashboard: {dashboard_link(port)}  (Ctrl-C ends it)", flush=True)
                server.serve_forever()
        except KeyboardInterrupt:
            pass
    return ExitCode.DONE
