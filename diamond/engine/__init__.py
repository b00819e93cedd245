"""The engine: the store of stages and the claims on them.

What a stage computes is in `diamond.makers`; what it is, in `diamond.stages`.
"""
