"""Event logs of stages and their import into MLflow; only `mlflow_store` imports mlflow."""
