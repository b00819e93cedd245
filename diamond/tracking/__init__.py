"""Event logs of stages and their import into MLflow; only `mlflow_open`, `mlflow_store` and
`ui_server` import mlflow."""
