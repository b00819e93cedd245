"""Recordings in plans: which a command names, what a run on one is, what a reader must know."""
