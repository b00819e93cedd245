"""The engine: the store of stages, claims on them, the processes that make them.

What a stage computes is in `diamond.makers`; what it is, in `diamond.stages`.
"""
