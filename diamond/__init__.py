"""Ablation and experiment tracking for DIAMOND, a diffusion world model for reinforcement learning."""

__version__ = "0.1.0"
