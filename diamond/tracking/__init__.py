"""Event logs of stages and their import into MLflow.

Only `mlflow_open`, `mlflow_store` and `ui_server` import mlflow.
"""
