"""Losses, training loops and play in the real game; they know no MLflow."""
