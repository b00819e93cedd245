"""Ablations of DIAMOND, a diffusion world model for reinforcement learning, with tracking."""

__version__ = "0.1.0"
