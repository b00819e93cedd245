"""Axes, the grammar of `axis=v1,v2`, stages by name and key, and the plan of a study.

No torch, no numpy.
"""
