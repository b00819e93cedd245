"""The page of MLflow's user interface, without the assistant that opens over a first visit.

The assistant takes a quarter of the width, asks for a language model, and moves the answer of a
study below the fold. Its button stays.
"""

from flask import Flask, Response, request

_CLOSED = (
    b"<script>localStorage.setItem("
    b"'mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')</script>"
)
"""MLflow opens the assistant where this browser has not seen it yet; this says that it has."""


def without_assistant(app: Flask) -> None:
    """Let the page of MLflow's server leave the assistant closed until it is asked for.

    Args:
        app: MLflow's server, which has answered no request yet.
    """

    @app.after_request
    def close(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            response.direct_passthrough = False
            response.set_data(response.get_data().replace(b"<head>", b"<head>" + _CLOSED, 1))
        return response
