"""Optuna studies: search a space of axes on the stages of ablations.

The only home of Optuna; pages and figures are made in `diamond.report`.
"""
